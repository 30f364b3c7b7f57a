"""CONTRIBUTING.md: its links, files and commands exist, and the operation that it adds works as it says."""

import re
import sys
import types

import numpy as np
from documents import ROOT, codes_of, commands_in
from test_documented_commands import wrong_with
from test_documented_names import FILE, dead_links, found
from test_project import makefile_targets

import minimobilebert.kernels
from minimobilebert.gradcheck import cases, check_gradients
from minimobilebert.kernels.runtime.backend import use_backend

PAGE = ROOT / "CONTRIBUTING.md"
CODES = codes_of(PAGE, PAGE.read_text(encoding="utf-8"))
EXAMPLE = {"ops/softsign.py", "kernels/softsign.py"}


def test_links_lead_somewhere():
    pages = [PAGE, ROOT / "CHANGELOG.md"]
    assert [link for page in pages for link in dead_links(page)] == []


def test_files_and_folders_exist():
    named = [code.text for code in CODES if code.kind == "inline"]
    files = {text for text in named if re.fullmatch(rf"{FILE}|[\w./]+/|\.[\w./]+|[A-Z]\w+\.cff", text)} - EXAMPLE
    lesson = ROOT / "lessons" / "02_linear"
    assert [file for file in sorted(files) if not found("CONTRIBUTING.md", file) and not (lesson / file).exists()] == []
    assert len(files) > 20


def test_rooms_and_files_of_the_map_exist():
    plan = re.search(r"^```\n(commands/.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    folders = set(re.findall(r"(?<![\w/])([a-z]+)/", plan))
    packages = {path.parent.name for path in (ROOT / "minimobilebert").rglob("__init__.py")} - {"minimobilebert"}
    assert packages | {"lessons", "tests"} == folders | {"fused"}
    files = {path.name for path in (ROOT / "minimobilebert").rglob("*.py")}
    assert set(re.findall(r"\b[a-z_]+\.py", plan)) <= files


def test_commands_exist():
    commands = [command for code in CODES if code.kind in ("line", "inline") for command in commands_in(code)]
    assert len(commands) > 10
    for command in commands:
        words = command.split()
        if words[0] == "make":
            assert words[1:] == [] or words[1] in makefile_targets(), command
        else:
            assert wrong_with(words[3:]) is None, command


def test_the_operation_that_is_added_is_right_with_both_back_ends(monkeypatch):
    operation, kernel, case = (code.text for code in CODES if code.kind == "python")
    modules = {}
    for room, text in (("kernels", kernel), ("ops", operation)):
        module = modules[room] = types.ModuleType(f"minimobilebert.{room}.softsign")
        module.__package__ = f"minimobilebert.{room}"
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(sys.modules[module.__package__], "softsign", module, raising=False)
        exec(compile(text, f"{PAGE.name}, {room}", "exec"), vars(module))
    monkeypatch.setattr(cases, "CASES", {})
    added = {**vars(cases), "softsign": modules["ops"], "_case": lambda function: function}
    exec(compile(case, f"{PAGE.name}, case", "exec"), added)
    for seed in range(8):
        drawn = added["softsign_backward"](np.random.default_rng(seed))
        for backend in ("numpy", "numba"):
            with use_backend(backend):
                check_gradients(drawn.forward, drawn.backward, drawn.inputs, seed=seed).raise_on_failure()
    assert modules["ops"].softsign_forward.compiled_twin is minimobilebert.kernels.softsign.softsign_forward
