"""Whatever a command ends with, it is one line and an exit code; a developer can still see the traceback."""

import argparse
import lzma
import re
import struct
import sys
import tomllib
import zipfile
import zlib

import pytest

from minimobilebert import cli
from minimobilebert.commands import failures
from minimobilebert.support.errors import TrainingDiverged
from minimobilebert.support.project import part_of_project


class Wrapped(SystemError):
    def __init__(self, cause):
        super().__init__("a function returned with an exception set")
        self.__cause__ = cause


INPUT = [
    (ValueError("a.json: line 3:\n found x,\r\n expected y"), "error: a.json: line 3: found x, expected y"),
    (FileNotFoundError(2, "No such file or directory", "a.txt"), "error: a.txt: No such file or directory"),
    (ModuleNotFoundError("x", name="minimobilebert.bench"), "error: doctor is not part of a student edition"),
    (
        SyntaxError("invalid syntax", (failures.__file__, 7, 1, "def (")),
        "error: minimobilebert/commands/failures.py, line 7: invalid syntax",
    ),
    (
        ModuleNotFoundError("No module named 'numba'", name="numba"),
        f"error: numba is not installed for {sys.executable}: make setup",
    ),
]
WORK = [
    (NotImplementedError("task 02.1 (linear): write it"), "failed: task 02.1 (linear): write it"),
    (Wrapped(NotImplementedError("task 02.1: write it")), "failed: task 02.1: write it"),
    (TrainingDiverged("step 3: the loss is nan"), "failed: step 3: the loss is nan"),
    (MemoryError(), "failed: not enough memory; try"),
    (MemoryError("Unable to allocate 3.64 TiB"), "failed: not enough memory (Unable to allocate 3.64 TiB)"),
]
BUGS = [
    KeyError("step"), IndexError("list index out of range"), TypeError("'int' object is not iterable"), AttributeError("x"),
    RecursionError("maximum recursion depth exceeded"), OverflowError("int too large to convert to float"),
    ZeroDivisionError("division by zero"), AssertionError(), StopIteration(), EOFError(), RuntimeError("a\nb"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), UnicodeEncodeError("ascii", "é", 0, 1, "no"),
    zlib.error("Error -3"), lzma.LZMAError("Corrupt"), struct.error("unpack requires 4 bytes"),
    zipfile.BadZipFile("File is not a zip file"), Exception("x" * 999),
    ModuleNotFoundError("No module named 'nowhere'", name="nowhere"), Wrapped(KeyError("a")), ExceptionGroup("g", [KeyError(1)]),
]  # fmt: skip


def run(monkeypatch, capsys, error):
    def command(arguments):
        raise error

    class Parser:
        def parse_known_args(self, argv):
            return argparse.Namespace(function=command, command="doctor"), []

    monkeypatch.setattr(cli, "make_parser", Parser)
    code = cli.main(["doctor"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(("error", "text", "code"), [(*case, 2) for case in INPUT] + [(*case, 1) for case in WORK])
def test_expected_failures_are_a_line(monkeypatch, capsys, error, text, code):
    found, message = run(monkeypatch, capsys, error)
    assert found == code and message.count("\n") == 1
    assert message.startswith(f"minimobilebert: {text}")


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
def test_every_other_exception_is_a_line_too(monkeypatch, capsys, error):
    code, message = run(monkeypatch, capsys, error)
    assert code == 1 and message.count("\n") == 1 and len(message) < 500
    assert re.match(
        rf"minimobilebert: failed: {type(error).__name__}.* at minimobilebert/commands/ranks.py:\d+: this is a bug",
        message,
    )
    assert "MINIMOBILEBERT_DEBUG=1" in message


@pytest.mark.parametrize("error", [KeyError("step"), ValueError("a.json: found x, expected y")])
def test_a_developer_sees_the_traceback(monkeypatch, capsys, error):
    for value, shown in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("MINIMOBILEBERT_DEBUG", value)
        _, message = run(monkeypatch, capsys, error)
        assert ("Traceback" in message and "raise error" in message) is shown


def test_an_interruption_is_no_failure(monkeypatch, capsys):
    assert run(monkeypatch, capsys, KeyboardInterrupt())[0] == 130
    code, message = run(monkeypatch, capsys, KeyboardInterrupt("interrupted; go on with x"))
    assert (code, message) == (130, "minimobilebert: interrupted; go on with x\n")


def test_the_packages_that_every_command_needs_are_the_project_s():
    names = {
        re.match(r"[a-z]+", line)[0]
        for line in tomllib.loads(part_of_project("pyproject.toml").read_text())["project"]["dependencies"]
    }
    assert names == set(failures.REQUIRED) - {"llvmlite"}  # numba's own


def test_an_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["doctor", "--nonsense"])
    usage, message = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: minimobilebert doctor") and message.endswith("unrecognized arguments: --nonsense")
