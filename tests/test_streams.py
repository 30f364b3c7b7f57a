"""Streams that are closed, full, without a reader or in another encoding: one line at most, and the right exit code."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from fine_tuning_data import write_model

from minimobilebert.cli import COMMANDS, main
from minimobilebert.commands.failures import failure
from minimobilebert.commands.memory import _SMALLER

ROOT = pathlib.Path(__file__).resolve().parents[1]
on_posix = pytest.mark.skipif(os.name == "nt", reason="closed descriptors and /dev/full are POSIX's")

# A command that prints a message, then results, and ends with code 3; it also says which file its first own one is.
PROGRAM = """
import sys
from minimobilebert import cli
def run(arguments):
    file = open({own!r}, "w", encoding="utf-8")
    print("message \\u2014 \\u65e5", file=sys.stderr)
    for line in range({lines}):
        print("result \\u2014 \\u65e5 \\udcff", line)
    file.write(f"done {{file.fileno()}}")
    if {fails}:
        raise ValueError("a.txt: found x, expected y")
    return 3
cli.COMMANDS["try"] = ("try", "", lambda parser: None, run)
sys.exit(cli.main(["try"]))
"""


@pytest.fixture
def shell(tmp_path):
    """shell(redirections, lines) -> finished process, what the command wrote into its own file"""

    def run(redirections, lines=1, fails=False, **environment):
        own = tmp_path / "own.txt"
        own.unlink(missing_ok=True)
        program = tmp_path / "program.py"
        program.write_text(PROGRAM.format(own=str(own), lines=lines, fails=fails), encoding="utf-8")
        done = subprocess.run(
            ["bash", "-c", f'set -o pipefail; "$0" "$1" {redirections}', sys.executable, str(program)],
            capture_output=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment},
        )  # fmt: skip
        return done, own.read_text(encoding="utf-8") if own.exists() else None

    return run


LOST = "minimobilebert: failed: standard output: cannot be written"


MANY = 20_000  # lines: more than stay in a buffer to the end


@on_posix
@pytest.mark.parametrize(
    ("redirections", "lines", "code", "out", "err"),
    [
        ("", 1, 3, 1, ["message — 日"]),
        (">&-", 1, 1, 0, ["message — 日", LOST + " (Bad file descriptor)"]),
        (">&-", MANY, 1, 0, ["message — 日", LOST + " (Bad file descriptor)"]),
        ("2>&-", 1, 3, 1, []),
        ("<&- 2>&-", MANY, 3, MANY, []),
        ("<&- >&- 2>&-", 1, 1, 0, []),
        ("> /dev/full", 1, 1, 0, ["message — 日", LOST + " (No space left on device)"]),
        ("> /dev/full", MANY, 1, 0, ["message — 日", LOST + " (No space left on device)"]),
        ("2> /dev/full", 1, 3, 1, []),
        ("> /dev/full 2> /dev/full", MANY, 1, 0, []),
        ("2>&1 > /dev/null | true", MANY, 3, 0, []),  # nobody reads the messages; the work is done
        ("| true", 1, 3, 0, ["message — 日"]),
        ("| head -1", MANY, 3, 1, ["message — 日"]),
    ],
)
def test_exit_codes(shell, redirections, lines, code, out, err):
    done, own = shell(redirections, lines)
    assert done.returncode == code, done.stderr.decode()
    found = done.stdout.decode().splitlines()
    assert len(found) == out and done.stderr.decode().splitlines() == err
    if out:
        assert found[0] == r"result — 日 \udcff 0"
    lost_on_the_way = code == 1 and lines > 1
    assert (own == "") if lost_on_the_way else int(own.removeprefix("done ")) > 2  # nothing meets a closed descriptor


@on_posix
def test_the_first_failure_is_told(shell):
    done, _ = shell("> /dev/full", fails=True)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == ["message — 日", "minimobilebert: error: a.txt: found x, expected y"]


@on_posix
@pytest.mark.parametrize(
    ("environment", "dash"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, "—"),
        ({"PYTHONIOENCODING": "cp1252"}, "\x97"),
        ({"PYTHONIOENCODING": "latin-1:strict"}, r"\u2014"),
        ({"PYTHONIOENCODING": "ascii:surrogateescape"}, r"\u2014"),
        ({"PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, r"\u2014"),
        ({"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"}, r"\u2014"),
    ],
)
def test_what_an_encoding_does_not_have_is_escaped(shell, environment, dash):
    done, own = shell("", **environment)
    encoding = "latin-1" if dash == "\x97" else "utf-8"
    assert done.returncode == 3 and own.startswith("done")
    ideograph = "日" if dash == "—" else r"\u65e5"
    assert done.stdout.decode(encoding).splitlines() == [f"result {dash} {ideograph} \\udcff 0"]
    assert done.stderr.decode(encoding).splitlines() == [f"message {dash} {ideograph}"]


@on_posix
def test_a_command_reads_utf8_and_prints_json_whatever_the_terminal_is(tmp_path):
    model = write_model(tmp_path / "prä", head="pretraining")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MINIMOBILEBERT_BACKEND": "numpy"}

    def run(*words, code=0):
        done = subprocess.run([sys.executable, "-m", "minimobilebert", *words, "--model", model], cwd=ROOT,
                              capture_output=True, env={**os.environ, **plain}, input="Tée —\n".encode())  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    row = json.loads(run("embed", "--json").stdout)[0]
    assert row["text"] == "Tée —"
    given = json.loads(run("embed", "Tée —", "--json").stdout)[0]
    assert given == row  # as an argument, too
    broken = run("embed", b"T\xe9e", code=2).stderr.decode()
    assert "argument text: found byte 0xe9 at 1, expected text in UTF-8" in broken and "Traceback" not in broken


@on_posix
@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONUTF8": "1"}]
)
def test_names_of_files_are_text_that_json_holds(tmp_path, environment):
    program = """import sys, pathlib; from minimobilebert.support.files import name_of, path_of, write_json
assert path_of(name_of(sys.argv[1])) == sys.argv[1]
write_json(pathlib.Path(sys.argv[2]) / "names.json", [name_of(word) for word in (sys.argv[1], pathlib.Path(sys.argv[3]))])
"""
    subprocess.run([sys.executable, "-c", program, "é/日", tmp_path, b"caf\xe9"], cwd=ROOT, check=True,
                   env={**os.environ, **environment})  # fmt: skip
    assert json.loads((tmp_path / "names.json").read_text(encoding="utf-8")) == ["é/日", r"caf\xe9"]


@pytest.mark.parametrize("words", [["--help"], ["embed", "--help"], ["--version"]])
@on_posix
def test_help_into_a_full_disk(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "minimobilebert", *words], cwd=ROOT, stdout=full,
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert done.returncode == 1 and done.stderr == LOST + " (No space left on device)\n"


def test_too_little_memory_is_one_line_that_says_what_to_make_smaller(monkeypatch, capsys):
    from minimobilebert.tasks import squad_data

    def too_large(*_, **__):
        raise MemoryError("Unable to allocate 4.66 TiB\nfor an array")

    monkeypatch.setattr(squad_data, "read_squad", too_large)
    assert main(["squad-score", "a.json", "b.json"]) == 1
    assert capsys.readouterr().err == (
        "minimobilebert: failed: not enough memory (Unable to allocate 4.66 TiB for an array); try less at a time\n"
    )
    assert failure(MemoryError(), "train-tiny") == (
        "failed: not enough memory; try --set with a smaller batch_size or sequence_length",
        1,
    )
    assert set(_SMALLER) <= set(COMMANDS)
