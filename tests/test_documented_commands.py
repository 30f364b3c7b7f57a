"""Every command in the README and the lessons exists, with its options, and a test runs it.

To document a command, give it a line in RUN (what makes it small, and what it leaves or prints), or, where it takes
long, one in ELSEWHERE: the test that runs the same command with small settings.
"""

import argparse
import contextlib
import functools
import io
import os
import re
import shlex
import shutil
import subprocess
from typing import NamedTuple

import pytest
from command_folder import SMALL, command_folder
from documents import ROOT, codes, documented_commands, documented_options
from test_documented_names import dead_links

from minimobilebert.cli import COMMANDS, make_parser
from minimobilebert.commands.options import pairs
from minimobilebert.course.edition_texts import MAKEFILE
from minimobilebert.course.manifest import load
from minimobilebert.kernels.backend import use_backend
from minimobilebert.pipeline.settings import settings_from_strings

COMMAND = documented_commands()
COURSE = load()
MINI = "python -m minimobilebert "
TINY, HF = "make train-tiny", MINI + "convert --from runs/tiny --to-hf FOLDER"
EDITION = "make student LESSONS=1-6 OUT=student"
GLUE, SQUAD = MINI + "download glue --to data/glue", MINI + "download squad --to data/squad"
SST2 = MINI + "finetune --task sst2 --data data/glue --model runs/tiny --out runs/sst2"
SQUAD2 = MINI + "finetune --task squad2 --data data/squad --model runs/minilm --out runs/squad2"
SQUAD2_DEV = MINI + "predict --task squad2 --data data/squad --model runs/squad2 --out runs/squad2/dev"
needs_interop = pytest.mark.skipif("not __import__('importlib').util.find_spec('safetensors')",
                                   reason="needs the extra interop: make setup EXTRAS=interop")  # fmt: skip


class Run(NamedTuple):
    says: str = ""  # what it prints, among other things
    leaves: str = ""  # a file that is there afterwards
    add: str = ""  # options that make it small; of an option that is given twice the last one counts
    after: tuple = ()  # the commands that make what this one reads
    placeholders: dict = {}  # what stands for FOLDER and the like


RUN = {
    # train
    TINY: Run("distilled student", "runs/tiny/report.html", SMALL),
    MINI + "train-tiny": Run("distilled student", add=SMALL, after=(TINY,)),  # the same run, which is finished
    "make train-tiny SEED=2": Run("distilled student", "runs/tiny-seed-2/report.html", SMALL),
    MINI + "train-tiny --text FOLDER --out runs/mine": Run(
        "distilled student", "runs/mine/report.html", SMALL + " vocab_size=150", placeholders={"FOLDER": "text"}),
    "make seeds": Run("distilled under scratch by 0.2: ", "runs/seeds/summary.json", "--seeds 1 " + SMALL),
    "make sweep": Run("0.001", add="--rates 1e-3", after=(TINY,)),
    "make ablate": Run("| bare |", "runs/ablate/ablations.svg", "--seeds 1 " + SMALL),
    MINI + "ablate --set teacher_steps=5000 --out runs/ablate-long": Run(  # read from the finished one
        "| bare |", add="--seeds 1 --out runs/ablate " + SMALL, after=("make ablate",)),
    # use
    MINI + "fill-mask 'The people of the United [MASK].' --top 3": Run("The people of the United", after=(TINY,)),
    MINI + "nsp 'We set sail at dawn.' 'The wind was fair.'": Run("follows", after=(TINY,)),
    MINI + "embed 'A ship at sea.' 'A boat on the water.'": Run("1.000", after=(TINY,)),
    MINI + "embed 'A ship sails on the sea.' 'A boat crosses the ocean.' 'The senate passed a tax law.'"
           " --model runs/minilm": Run("3  The senate passed a tax law."),
    HF: Run("tensors, mobilebert", "hf/model.safetensors", after=(TINY,), placeholders={"FOLDER": "hf"}),
    MINI + "convert --from-hf FOLDER --to runs/model": Run(
        "tensors, mobilebert", "runs/model/vocab.txt", after=(HF,), placeholders={"FOLDER": "hf"}),
    # fetch, fine-tune, score
    GLUE: Run("SST-2", "data/glue/RTE/dev.tsv"),
    GLUE + " --only rte,sst2": Run("SST-2", "data/part/RTE/dev.tsv", "--to data/part"),
    SQUAD: Run("v2.0", "data/squad/dev-v2.0.json"),
    SQUAD + " --only v1.1": Run("v1.1", "data/part/dev-v1.1.json", "--to data/part"),
    MINI + "download mobilebert --to data/mobilebert": Run("model", "data/mobilebert/model.safetensors"),
    SST2: Run("accuracy", "runs/sst2/summary.json", "--epochs 1", (TINY, GLUE)),
    MINI + "evaluate --task sst2 --data data/glue --model runs/sst2": Run("accuracy", after=(SST2,)),
    MINI + "predict --task sst2 --data data/glue --model runs/sst2 --out runs/sst2/submission": Run(
        "SST-2.tsv", "runs/sst2/submission/SST-2.tsv", after=(SST2,)),
    SQUAD2: Run("f1", "runs/squad2/summary.json", "--max-query 16 --stride 8 --epochs 1", (SQUAD,)),
    MINI + "answer --question 'Who wrote it?' --passage 'Melville wrote it in 1851.' --model runs/squad2": Run(
        "Melville", after=(SQUAD2,)),
    SQUAD2_DEV: Run("null_odds.json", "runs/squad2/dev/predictions.json", after=(SQUAD2,)),
    MINI + "squad-score data/squad/dev-v2.0.json runs/squad2/dev/predictions.json"
           " --null-odds runs/squad2/dev/null_odds.json": Run("best_f1_thresh", after=(SQUAD2_DEV,)),
    "make glue": Run("rte", "runs/glue", "--model runs/minilm --seeds 1 --epochs 1", (GLUE,)),
    "make squad": Run("squad1", "runs/squad", "--model runs/minilm --seeds 1 --epochs 1 --max-query 16 --stride 8",
                      (SQUAD,)),
    # the project
    "make doctor": Run("all is well"),
    "make gradcheck": Run("linear_backward"),
    "make models": Run("mobilebert"),
    "make test": Run(add="-q tests/test_seeds.py"),
    MINI + "test": Run(add="--version"),
    "make test ARGS='-k NAME'": Run(add="-q tests/test_seeds.py", placeholders={"NAME": "counts_claims"}),
    # the course
    EDITION: Run(" points", "student/lessons/edition.json"),
    MINI + "student --lessons 0-3 --out student-a1 --seed 11": Run(" points", "student-a1/lessons/edition.json"),
    MINI + "student --seed 12": Run(" points", "other/lessons/edition.json", "--lessons 3 --out other"),
    "make check T=TASK": Run("task 02.1", placeholders={"TASK": "02.1"}),
    MINI + "check TASK": Run("task 02.1", placeholders={"TASK": "02.1"}),
    MINI + "check --all --seed 90210": Run(f"{len(COURSE.tasks)} of {len(COURSE.tasks)} tasks pass"),
    "make hint T=TASK": Run("1 of 3", placeholders={"TASK": "02.1"}),
    "make progress": Run("not checked"),
    "make course": Run("02.1"),
    MINI + "course": Run("02.1"),
    MINI + "course --write": Run("02.1"),
    MINI + "mutants TASK": Run("03.6", placeholders={"TASK": "03"}),
    MINI + "grade FOLDER --out DIR": Run("ada", "grades/grades.csv",
                                         placeholders={"FOLDER": "submissions", "DIR": "grades"}),
    MINI + "grade submissions --out grades-a1 --policy a1.toml": Run("ada", "grades-a1/grades.csv"),
    "make gradescope": Run("autograder.zip", "autograder.zip"),
    "make gradescope OUT=a1.zip": Run("a1.zip", "a1.zip"),
    MINI + "gradescope --out a1.zip": Run("a1.zip", "a1.zip"),
}  # fmt: skip

ELSEWHERE = {
    "make": "test_documented_commands.py::test_make_alone_lists_the_targets",
    "make setup": "test_documented_commands.py::test_setup_installs_what_was_asked_for",
    "make setup EXTRAS=interop": "test_documented_commands.py::test_setup_installs_what_was_asked_for",
    MINI + "setup": "test_documented_commands.py::test_setup_installs_what_was_asked_for",
    # in a student edition
    "make check": "test_course_edition.py::test_a_student_s_way_through_a_task",
    MINI + "check": "test_course_edition.py::test_a_student_s_way_through_a_task",
    "make watch T=TASK": "test_course_edition.py::test_watch_checks_again_after_a_change",
    # long, or with the extra `compare`
    "make parity": "test_parity.py::test_the_commands_exit_code",
    "make bench": "test_bench.py::test_rows_of_all_parts",
    MINI + "bench --only ladder": "test_bench.py::test_table_and_ladder",
    MINI + "bench --only inference_mobilebert --threads 1 --json": "test_bench.py::test_rows_of_all_parts",
    "make mutants": "test_course_grading.py::test_every_mutant_of_nonorm_dies_and_the_table_says_where",
    "make course-check": "test_course_grading.py::test_the_course_is_what_it_promises_to_be",
    MINI + "course-check": "test_course_grading.py::test_the_course_is_what_it_promises_to_be",
    # programs that are no commands
    "python lessons/LESSON/walkthrough.py": "test_course_walkthroughs.py::test_it_runs_and_draws_its_figures",
    "python data/rebuild.py": "test_data.py::test_the_archives_can_be_rebuilt",
    "python data/rebuild.py --packages FOLDER": "test_data.py::test_the_archives_can_be_rebuilt",
}


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


@functools.cache
def make(command, folder=ROOT):
    """The command behind a make command, without `setup` in front of it -> words"""
    words = shlex.split(command)[1:]
    # Not the caller's variables: `make test` would hand them on.
    clean = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    old = [] if "setup" in words else ["--old-file=setup"]
    done = subprocess.run(["make", "--dry-run", "--no-print-directory", *old, *words], cwd=folder, env=clean,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return shlex.split(done.stdout)


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def wrong_with(words):
    """What the parser has against `python -m minimobilebert words`, or None"""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments, others = make_parser().parse_known_args(words)
        if others and not hasattr(arguments, "pytest"):
            return f"unrecognized arguments: {' '.join(others)}"
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
        if target is None or place.startswith("minimobilebert/course/edition_texts"):
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
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for place, text in (each for places in COMMAND.values() for each in places):
        if text.startswith("make ") and place.startswith("minimobilebert/course/edition_texts"):
            words = make(text, tmp_path)
            assert text.split()[1] in targets and wrong_with(words[3:]) is None, f"{place}: {text}"
    done = subprocess.run(["make", "parity"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "make parity is no part of a student edition" in done.stderr


def some_command_takes(words):
    """Whether these options, with their values, belong to a command"""
    commands = next(a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for parser in commands.values():
        for action in parser._actions:
            action.required = False
            action.nargs = action.nargs if action.option_strings else "?"
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
            bare = len(words) == 1 and words[0] in parser._option_string_actions  # named, without its value
            if bare or not parser.parse_known_args(words)[1]:
                return True
    return False


def test_options_and_variables_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
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
            good = all(f"$({name}" in makefile or ("_" in name and name in program) for name in names)
        wrong += [] if good else [f"{place}: {text}"]
    assert wrong == [] and len(documented_options()) > 10


# --- and it runs


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
            words = [how.placeholders.get(word, word) for word in [*words, *shlex.split(how.add)][3:]]
            done[key] = commands.run(words)
        code, printed = done[key]
        assert code == 0, printed
        assert how.says in printed
        assert not how.leaves or (commands.folder / how.leaves).exists()
        return commands

    return run


@pytest.mark.parametrize("key", [
    pytest.param(key, marks=[*[needs_make] * key.startswith("make"), *[needs_interop] * ("convert" in key)])
    for key in RUN], ids=lambda key: key.replace(MINI, ""))  # fmt: skip
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
                           ("make setup EXTRAS=interop", ["interop,plots,test"])):  # fmt: skip
        commands.installed.clear()
        words = make(command) if command.startswith("make") else command.split()
        assert commands.run(words[3:])[0] == 0
        found = [words[2] if words[2] == "venv" else re.search(r"\[(.*)\]", words[-1])[1]
                 for words in commands.installed]  # fmt: skip
        assert found == steps


def test_the_python_in_the_readme_prints_what_stands_below_it(run, monkeypatch, capsys):
    monkeypatch.chdir(run(TINY).folder)
    readme = [code for code in codes() if code.place.startswith("README.md:")]
    programs = [place for place, code in enumerate(readme) if code.kind == "python"]
    assert len(programs) == 1
    for place in programs:
        with use_backend("numpy"):
            exec(compile(readme[place].text, readme[place].place, "exec"), {})
        assert capsys.readouterr().out.strip() == readme[place + 1].text


def test_links_of_a_student_edition_lead_somewhere(run):
    pages = list((run(EDITION).folder / "student").rglob("*.md"))
    assert len(pages) > 15 and [link for path in pages for link in dead_links(path)] == []


def test_a_run_leaves_what_the_readme_says(run):
    folder = run(TINY).folder / "runs/tiny"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## What a run leaves\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)[1]
    named = re.findall(r"`(\w+\.\w+)`", section)
    assert len(named) > 3 and [name for name in named if not list(folder.rglob(name))] == []
