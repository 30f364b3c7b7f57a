"""Every documented command runs, with small texts and models, and leaves or prints what it should."""

import re
import shlex
import subprocess

import pytest
from command_folder import command_folder
from documented_runs import (
    EDITION,
    MINI,
    PREPARE,
    RUN,
    TINY,
    make,
    needs_compare,
    needs_interop,
    needs_make,
    needs_onnx,
)
from documents import ROOT, codes
from test_documented_names import dead_links

from minimobilebert.kernels.runtime.backend import use_backend


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    with command_folder(tmp_path_factory.mktemp("commands"), tmp_path_factory.mktemp("served")) as folder:
        yield folder


@pytest.fixture(scope="session")
def run(commands):
    """A function that runs a documented command, once, after the ones that it needs -> CommandFolder"""
    done = {}

    def run(key):
        how = RUN[key]
        if key not in done:
            for other in how.after:
                run(other)
            words = make(key) if key.startswith("make") else shlex.split(key)
            added = shlex.split(how.add)
            changed = {word.partition("=")[0] for word in added if "=" in word}  # settings; each may be given once
            words = [word for word in words if "=" not in word or word.partition("=")[0] not in changed]
            words = [how.placeholders.get(word, word) for word in [*words, *added][3:]]
            done[key] = commands.run(words)
        code, printed = done[key]
        assert code == 0, printed
        assert how.says in printed
        assert not how.leaves or (commands.folder / how.leaves).exists()
        return commands

    return run


def marks(key):
    """Where this command cannot run."""
    needs = {"make": needs_make, "convert": needs_interop, "baselines": needs_compare, "export": needs_onnx}
    return [mark for word, mark in needs.items() if word in key.split()]


@pytest.mark.parametrize(
    "key", [pytest.param(key, marks=marks(key)) for key in RUN], ids=lambda key: key.replace(MINI, "")
)
def test_it_runs(run, key):
    run(key)


@needs_make
def test_make_alone_lists_the_targets():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "make train-tiny   the whole paper" in done.stdout


@needs_make
def test_setup_installs_what_was_asked_for(commands):
    """Its two steps, without the network: .venv, then the project with its extras; a second call does nothing."""
    for command, steps in (("make setup", ["venv", "plots,test"]), ("python -m minimobilebert setup", []),
                           ("make setup EXTRAS=interop", ["interop,plots,test"]),
                           ("make setup EXTRAS=docs", ["docs,plots,test"])):  # fmt: skip
        commands.installed.clear()
        words = make(command) if command.startswith("make") else command.split()
        assert commands.run(words[3:])[0] == 0
        found = [words[2] if words[2] == "venv" else re.search(r"\[(.*)\]", words[-1])[1]
                 for words in commands.installed]  # fmt: skip
        assert found == steps


def test_the_python_in_the_reference_prints_what_stands_below_it(run, monkeypatch, capsys):
    page = [code for code in codes() if code.place.startswith("lessons/reference.md:")]
    programs = [place for place, code in enumerate(page) if code.kind == "python"]
    for place, command in zip(programs, (TINY, PREPARE), strict=True):
        monkeypatch.chdir(run(command).folder)
        with use_backend("numpy"):
            exec(compile(page[place].text, page[place].place, "exec"), {})
        assert capsys.readouterr().out.strip() == page[place + 1].text


def test_links_of_a_student_edition_lead_somewhere(run):
    pages = list((run(EDITION).folder / "student").rglob("*.md"))
    assert len(pages) > 15 and [link for path in pages for link in dead_links(path)] == []


def test_a_run_leaves_what_the_reference_says(run):
    folder = run(TINY).folder / "runs/tiny"
    page = (ROOT / "lessons/reference.md").read_text(encoding="utf-8")
    section = re.search(r"^## What a run leaves\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)[1]
    named = re.findall(r"`(\w+\.\w+)`", section)
    assert len(named) > 3 and [name for name in named if not list(folder.rglob(name))] == []
