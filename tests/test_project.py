"""The project as a whole: floors of the house, command line, sizes of the paper's models, README and Makefile."""

import ast
import inspect
import io
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from minimobilebert import __version__, bootstrap
from minimobilebert.cli import COMMANDS, main, make_parser
from minimobilebert.commands import project
from minimobilebert.commands.paper_sizes import describe_presets
from minimobilebert.config import PRESETS, ConfigError, ModelConfig, config_from_dict, preset
from minimobilebert.doctor import diagnose
from minimobilebert.gradcheck import check_gradients
from minimobilebert.inference.model import Model

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minimobilebert"

# What each room may import besides itself, from the ground up: a room may only name rooms above it in this list.
GROUND = {"config", "support", "__init__", "__version__"}
ROOMS = {
    "support": {"__init__"},
    "kernels": set(),
    "ops": {"kernels"},
    "distributed": {"ops", "kernels"} | GROUND,
    "text": {"distributed"} | GROUND,
    "model": {"ops", "kernels"} | GROUND,
    "distillation": {"model", "ops", "kernels"} | GROUND,
    "training": {"distributed", "model", "ops", "kernels", "text"} | GROUND,
    "tasks": {"model", "ops", "kernels", "text"} | GROUND,
    "download": {"tasks"} | GROUND,
    "interop": {"download", "tasks", "training", "model", "ops", "text"} | GROUND,
    "inference": {"training", "tasks", "model", "ops", "text", "kernels"} | GROUND,
    "parity": {"interop", "model", "ops", "kernels", "text"} | GROUND,
    "pipeline": {"distributed", "distillation", "inference", "training", "tasks", "model", "ops", "kernels", "text"}
    | GROUND,
    "finetuning": {"distributed", "pipeline", "inference", "training", "tasks", "model", "ops", "kernels", "text"}
    | GROUND,
}
ROOMS["distilling"] = {"distributed", "pipeline", "distillation", "inference", "interop", "download", "training", "tasks", "model", "ops", "kernels",
                       "text"} | GROUND  # fmt: skip
ROOMS["bench"] = {"distributed", "distilling", "distillation", "finetuning", "pipeline", "parity", "interop", "inference", "training", "model",
                  "ops", "kernels", "text"} | GROUND  # fmt: skip
ROOMS["verification"] = {"pipeline", "inference", "distillation", "tasks", "training", "model", "ops", "kernels",
                         "text"} | GROUND  # fmt: skip
ROOMS["gradcheck"] = {"distillation", "model", "ops", "kernels"} | GROUND
ROOMS["course"] = {"pipeline", "kernels", "gradcheck"} | GROUND
ROOMS["website"] = {"course"} | GROUND
ROOMS["commands"] = {*ROOMS, "bootstrap", "doctor"} | GROUND
# Rooms that have rooms of their own: the same rule inside. Without course/teacher/ a student edition must work.
INNER = {
    "kernels": {"runtime": set(), "gemm": {"runtime", "activation_scalars", "exponential", "multiply_add", "normal_distribution", "rows"},
                "teaching": {"runtime", "gemm", "multiply_add"}},
    "course": {"sandbox": set(), "shared": {"sandbox"}, "student": {"shared", "sandbox"}, "teacher": {"student", "shared", "sandbox"}},
    "ops": {"fused": {"linear", "nonorm", "activations"}},
    "interop": {"onnx": {"hf_config", "hf_tokenizer", "safetensors_files", "sentence_folders"}, "page": {"onnx"}},
}  # fmt: skip


def imported_rooms(file, above=0):
    """The rooms that a file imports by relative imports: of the package, or, one floor down, of its own room."""
    depth = len(file.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth - above:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down_only(room):
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for file in files:
        for other in imported_rooms(file):
            assert other == room or other in ROOMS[room], f"{file.relative_to(ROOT)} imports {other}"


@pytest.mark.parametrize(("room", "inner"), [(room, inner) for room in INNER for inner in INNER[room]])
def test_imports_inside_a_room_go_down_only(room, inner):
    files = list((PACKAGE / room / inner).glob("*.py"))
    assert files
    for file in files:
        for other in imported_rooms(file, above=1):
            assert other == inner or other in INNER[room][inner], f"{file.relative_to(ROOT)} imports {other}"


def test_every_room_has_its_floor():
    rooms = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ROOMS)
    for place, room in enumerate(ROOMS):
        assert ROOMS[room] & rooms <= set(list(ROOMS)[:place]), f"{room} may import a room that is not below it"


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_import_is_light():
    code = (
        "import sys, time; start = time.perf_counter(); import minimobilebert; spent = time.perf_counter() - start;"
        "print(spent, [m for m in ('numpy', 'numba') if m in sys.modules])"
    )
    spent, modules = python("-c", code).stdout.split(maxsplit=1)
    assert modules.strip() == "[]" and float(spent) < 0.5


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom minimobilebert.cli import main\n"
        "try: main(['train-tiny', '--help'])\nexcept SystemExit: pass\nassert 'numpy' not in sys.modules"
    )
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"python -m minimobilebert {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [["nonsense"], ["train-tiny", "--nonsense"], ["gradcheck", "--seed", "x"]])
def test_unusable_arguments_end_with_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_help_of_sweep_names_its_rates(capsys):
    from minimobilebert.pipeline.sweep import RATES

    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    assert ",".join(f"{rate:g}" for rate in RATES) in capsys.readouterr().out


def test_no_command_at_all_lists_them(capsys):
    assert main([]) == 2
    listed = capsys.readouterr().err
    assert all(f"    {command} " in listed or f"    {command}\n" in listed for command in COMMANDS)


def test_models_are_exactly_as_large_as_the_papers(capsys):
    """Parameters of the bare encoder, and operations at 128 tokens (twice the multiply-adds)."""
    expected = {
        "bert-base": (109_482_240, 22.35), "bert-large": (335_141_888, 78.92), "ib-bert-large": (294_467_840, 75.75),
        "mobilebert": (24_581_888, 5.39), "mobilebert-paper": (25_359_104, 5.59), "mobilebert-tiny": (15_485_696, 3.07),
    }  # fmt: skip
    rows = {row["name"]: row for row in describe_presets()}
    for name, (parameters, gigaflops) in expected.items():
        assert rows[name]["parameters"] == parameters
        assert rows[name]["flops_128"] / 1e9 == pytest.approx(gigaflops, abs=0.005)
    assert set(rows) == set(PRESETS)
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == list(rows.values())


def test_models_takes_a_length_and_a_batch(capsys):
    assert main(["models", "--tokens", "384", "--batch", "8", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == describe_presets(384, 8)
    assert all({"flops_128", "flops_384", "bytes_total", "paper_parameters"} <= set(row) for row in rows)
    assert main(["models", "--tokens", "384", "--batch", "8"]) == 0
    table = capsys.readouterr().out
    assert "GFLOP@384" in table and "8 x 384" in table
    for option in ("--tokens", "--batch"):
        assert main(["models", option, "0"]) == 2
        assert capsys.readouterr().err == f"minimobilebert: error: {option[2:]}: found 0, expected at least 1\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hiden_size": 3}, "unknown setting 'hiden_size'"),
        ({"hidden_act": "swish"}, "hidden_act: found 'swish'"),
        ({"hidden_size": 0}, "hidden_size: found 0"),
        ({"hidden_size": 12.5}, "hidden_size: found 12.5, expected a whole number between 1 and 65536"),
        ({"num_attention_heads": 5}, "num_attention_heads: found 5, expected a divisor"),
        ({"bottleneck_attention": True}, "use_bottleneck: found False"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob: found 1.0"),
        ({"embedding_size": 1000}, "embedding_size: found 1000"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(change, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        ModelConfig().replace(**change)


def test_an_unknown_model_is_named():
    with pytest.raises(ConfigError, match="unknown model 'mobilbert'"):
        preset("mobilbert")


def test_doctor_finds_this_machine_well(capsys):
    assert [check for check in diagnose() if not check["ok"]] == []
    assert main(["doctor"]) == 0
    assert "all is well" in capsys.readouterr().out


def test_requirements_are_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.split("[<>=]", name)[0] for name in project["dependencies"]} == {"numpy", "numba", "tqdm"}
    extras = project["optional-dependencies"]
    linters = extras.pop("lint")  # exact versions: another version asks for another format
    assert all(re.fullmatch(r"\w+==[\d.]+", name) for name in linters)
    assert all("==" not in name for names in [project["dependencies"], *extras.values()] for name in names)
    assert set(bootstrap.ALWAYS) <= set(extras)


def test_the_version_is_the_same_wherever_it_stands():
    changes, citation = ((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
    version, date = re.search(r"^## \[(\d.*)\] - (\S+)$", changes, re.MULTILINE).groups()  # the newest one
    assert version == __version__
    assert f"\nversion: {version}\ndate-released: {date}\n" in citation
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"] == ["version"]


def public_functions():
    """What other people's programs call: functions, and the methods and properties of classes"""
    functions = (check_gradients, config_from_dict, preset)
    yield from functions
    for kind in (inspect.signature(check_gradients).return_annotation, ModelConfig, Model):
        for name, member in vars(kind).items():
            function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(kind, name)
            if inspect.isroutine(function) and not name.startswith("_"):
                yield function


def test_the_public_border_has_hints():
    """`make lint` checks that they are right; here only that none is missing, and that type checkers may read them."""
    functions = list(public_functions())
    assert len(functions) > 12
    for function in functions:
        signature = inspect.signature(function)
        hints = [each.annotation for each in signature.parameters.values() if each.name != "self"]
        assert inspect.Signature.empty not in [*hints, signature.return_annotation], function.__qualname__
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert (PACKAGE / "py.typed").exists() and settings["package-data"]["minimobilebert"] == ["py.typed"]


def test_lint_runs_three_programs_and_fails_where_one_does(monkeypatch, capsys):
    calls, codes = [], [0, 0, 0, 0, 1, 0, 0, 0, 0]
    monkeypatch.setattr(project, "require", lambda module, extra: None)
    monkeypatch.setattr(project.subprocess, "call", lambda words, cwd: calls.append(words[2:]) or codes[len(calls) - 1])
    assert (main(["lint"]), main(["lint"]), main(["lint", "--fix"])) == (0, 1, 0)
    assert calls[:6] == 2 * [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]]  # all, whatever one says
    assert calls[6:] == [["ruff", "check", "--fix"], ["ruff", "format"], ["mypy"]]

    def missing(module, extra):
        raise ValueError(f"{module} is not installed; it comes with the extra {extra!r}")

    monkeypatch.setattr(project, "require", missing)
    assert main(["lint"]) == 2 and len(calls) == 9
    assert capsys.readouterr().err == "minimobilebert: error: ruff is not installed; it comes with the extra 'lint'\n"


def test_set_up_notices_what_changed(tmp_path, monkeypatch):
    """The stamp of a finished set-up holds for the same project file, place and extras, and for no others."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python_file = bootstrap.python_of(tmp_path / ".venv")
    python_file.parent.mkdir(exist_ok=True, parents=True)
    python_file.touch()
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / ".venv" / "stamp.json")
    wanted = bootstrap.fingerprint(["compare"])
    assert not bootstrap.is_ready(wanted)  # no stamp yet: interrupted
    bootstrap.STAMP.write_text(json.dumps(wanted))
    assert bootstrap.is_ready(wanted) and bootstrap.is_ready(bootstrap.fingerprint([]))
    assert not bootstrap.is_ready(bootstrap.fingerprint(["interop"]))
    for damaged in ("", "[]", "{}", '{"extras": 3}', "[" * 100_000, '{"pyproject": 1, "extras": [], "root": ""}'):
        bootstrap.STAMP.write_text(damaged)
        assert not bootstrap.is_ready(wanted)
    bootstrap.STAMP.write_text(json.dumps(wanted))
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    assert not bootstrap.is_ready(bootstrap.fingerprint(["compare"]))


def makefile_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)) - {"help"}


def test_every_make_target_calls_its_twin():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in makefile_targets() - {"clean", "clean-cache"}:
        assert target in COMMANDS
        assert re.search(rf"^{target}:.*\n\t@\$\((MINI|python)\).*\b{target}\b", text, re.MULTILINE), target


def test_the_workflow_runs_commands_that_exist_on_supported_pythons():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    commands = set(re.findall(r"^ +- run: make (\S+) PYTHON=python$", text, re.MULTILINE))
    assert commands == {"lint", "doctor", "test", "gradcheck", "verify", "site"} <= makefile_targets()
    oldest = f"3.{bootstrap.OLDEST_PYTHON[1]}"
    assert re.search(r"^ +python: (\[.*\])$", text, re.MULTILINE)[1].startswith(f'["{oldest}", ')
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert settings["requires-python"] == f">={oldest}"


def cannot_run_alone(command):
    """Whether a command without any argument ends with exit code 2: it needs a text or a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
        try:
            return main([command]) == 2
        except SystemExit as stop:
            return stop.code == 2


def test_every_command_that_runs_without_arguments_has_a_make_target(capsys):
    """The others take texts and folders of the user's, which a shell quotes better than make does."""
    for target in makefile_targets() - {"clean", "clean-cache"}:
        make_parser().parse_args([target])  # nothing is required
    for command in set(COMMANDS) - makefile_targets():
        assert cannot_run_alone(command), f"{command} has no make target"


def test_make_help_shows_every_command():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = "\n".join(re.findall(r'@echo "(.*)"', text))
    assert {c for c in COMMANDS if not re.search(rf"-m minimobilebert {c}\b", shown)} == set()
    assert {t for t in makefile_targets() if not re.search(rf"^make {t}\b", shown, re.MULTILINE)} == set()
