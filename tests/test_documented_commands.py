"""Every command in the README and the lessons exists, with its options, and a test runs it (documented_runs.py)."""

import argparse
import contextlib
import io
import re
import shlex
import subprocess

import pytest
from documented_runs import COURSE, ELSEWHERE, MINI, RUN, make, needs_make
from documents import ROOT, documented_commands, documented_options

from minimobilebert.cli import COMMANDS, make_parser
from minimobilebert.commands.options import pairs
from minimobilebert.course.teacher.edition_texts import makefile
from minimobilebert.distilling.settings import SHAPES as DISTIL_SETTINGS
from minimobilebert.pipeline.settings import settings_from_strings, values_from_strings

COMMAND = documented_commands()


def test_every_documented_command_is_run_by_a_test():
    nobody = [f"{COMMAND[key][0][0]}: {key}" for key in COMMAND if key not in RUN and key not in ELSEWHERE]
    assert nobody == [], "give each an entry in RUN or ELSEWHERE"
    assert [key for key in [*RUN, *ELSEWHERE] if key not in COMMAND] == [], "no document has these"
    assert not RUN.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_other_tests_exist_and_speak_of_the_command(test):
    file, _, name = test.partition("::")
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", text, re.MULTILINE)
    for command in (key for key, value in ELSEWHERE.items() if value == test):
        word = re.sub(f"^{MINI}|^make |^python .*/", "", command).partition(" ")[0].removesuffix(".py")
        assert re.search(word.replace("-", "[-_]"), text), f"{test}: {command}"


# --- what stands there can be given


def wrong_with(words):
    """What the parser has against `python -m minimobilebert words`, or None"""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments, others = make_parser().parse_known_args(words)
        if others and not hasattr(arguments, "pytest"):
            return f"unrecognized arguments: {' '.join(others)}"
        if arguments.command == "distil":
            values_from_strings(pairs(arguments.set), DISTIL_SETTINGS, 1)
        else:
            settings_from_strings(1, pairs(getattr(arguments, "set", ())))
        for id in [*getattr(arguments, "tasks", ()), getattr(arguments, "task", None)]:
            if arguments.command in ("check", "hint", "mutants") and id not in (None, "..."):
                assert id in {task.lesson for task in COURSE.tasks} or COURSE.task(id)
    except (SystemExit, ValueError) as error:
        return said.getvalue().strip().rpartition("error: ")[2] or str(error)
    return None


def test_commands_parse():
    """Those of the documents, the examples of --help and the table of `make`."""
    found = [(place, text) for places in COMMAND.values() for place, text in places if text.startswith(MINI)]
    found += [(f"{name} --help", f"{MINI}{name} {example}") for name, (_, example, *_) in COMMANDS.items()]
    shown = re.findall(r'@echo ".*python3? -m minimobilebert (.*)"', (ROOT / "Makefile").read_text(encoding="utf-8"))
    wrong = []
    for place, text in found:
        problem = wrong_with(shlex.split(text)[3:])
        wrong += [f"{place}: {text}: {problem}"] if problem else []
    assert wrong == []
    assert {words.split()[0] for words in shown} == set(COMMANDS)


def test_commands_in_the_programs_texts_exist():
    """Error messages, --help and docstrings send the reader to commands, too."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in (ROOT / "minimobilebert").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"-m minimobilebert ([a-z][a-z-]+)", text)) <= set(COMMANDS), path
        if path.name != "edition_texts.py":
            assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets, path


@needs_make
def test_make_commands_are_commands():
    """Targets exist, variables reach the command, and the command parses."""
    wrong = []
    for place, text in (each for places in COMMAND.values() for each in places):
        target, *variables = shlex.split(text)[1:] if text.startswith("make ") else [None]
        if target is None or place.startswith("minimobilebert/course/teacher/edition_texts"):
            continue
        words = make(text)
        assert words[1:4] == ["-m", "minimobilebert", target], f"{place}: {text}"
        problem = wrong_with(words[3:])
        wrong += [f"{place}: {text}: {problem}"] if problem else []
        for name in (variable.partition("=")[0] for variable in variables):
            if "probe" not in " ".join(make(f"make {target} {name}=probe")):
                wrong.append(f"{place}: {text}: {target} does not use {name}")
    assert wrong == []


@needs_make
def test_a_student_edition_has_the_targets_its_documents_name_or_says_that_it_has_not(tmp_path):
    edition = makefile((ROOT / "Makefile").read_text(encoding="utf-8"))
    (tmp_path / "Makefile").write_text(edition, encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", edition, re.MULTILINE))
    for place, text in (each for places in COMMAND.values() for each in places):
        if text.startswith("make ") and place.startswith("minimobilebert/course/teacher/edition_texts"):
            words = make(text, tmp_path)
            assert text.split()[1] in targets and wrong_with(words[3:]) is None, f"{place}: {text}"
    done = subprocess.run(["make", "parity"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "make parity is no part of a student edition" in done.stderr


def some_command_takes(words):
    """Whether these options, with their values, belong to a command"""
    commands = next(a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for parser in commands.values():
        for group in parser._mutually_exclusive_groups:
            group.required = False
        for action in parser._actions:
            action.required = False
            action.nargs = action.nargs if action.option_strings else "?"
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
            bare = len(words) == 1 and words[0] in parser._option_string_actions  # named, without its value
            if bare or not parser.parse_known_args(words)[1]:
                return True
    return False


def test_options_and_variables_exist():
    variables = re.search(r"^VARIABLES := (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[
        1
    ].split()
    program = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "minimobilebert").rglob("*.py"))
    wrong = []
    for place, text in documented_options():
        words = ["1" if word == "N" else word for word in shlex.split(text)]
        if text.startswith("--"):
            good = some_command_takes(words)
            if words[0] == "--set" and good:
                good = wrong_with(["train-tiny", *words]) is None
        else:
            names = [word.partition("=")[0] for word in words]
            good = all(name in variables or ("_" in name and name in program) for name in names)
        wrong += [] if good else [f"{place}: {text}"]
    assert wrong == [] and len(documented_options()) > 10
