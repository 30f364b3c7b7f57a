"""make hands variables on letter by letter, takes nothing from the environment, and says where it cannot work."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from documents import ROOT
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert import bootstrap
from minimobilebert.commands.words import with_words
from minimobilebert.course.teacher.edition_texts import makefile

pytestmark = [
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
    pytest.mark.skipif(os.name == "nt", reason="the program that stands for Python here is a shell script"),
]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
UGLY = ["my runs", "it's", 'a "b"', "$HOME/$x $(y) ${z", "$(shell touch made)", "`touch made`", "a;b&c|d<e>f", "*?[a]",
        "Zoë 日本", "back\\slash\\", "#a", "a#b", "-x", "a=b", "100%", "~root", "!x", "(a)", "  a  b", "a\tb"]  # fmt: skip


class Project:
    """A folder with the Makefile and a Python that only writes down how it was called."""

    def __init__(self, folder, text=MAKEFILE):
        self.folder = folder
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / "Makefile").write_text(text, encoding="utf-8")
        self.python = folder / ".venv/bin/python"
        self.python.write_text(
            '#!/bin/sh\n[ "$3" != doctor ] || sleep 0.2\nprintf "%s\\0" "$@" end >> calls\n', encoding="utf-8"
        )
        self.python.chmod(0o755)

    def make(self, *words, program="make", **environment):
        """-> finished process, the calls: lists of words behind `-m minimobilebert`"""
        calls = self.folder / "calls"
        calls.unlink(missing_ok=True)
        done = subprocess.run([program, *words], cwd=self.folder, capture_output=True, text=True, encoding="utf-8",
                              env={"PATH": os.environ["PATH"], "HOME": "/home/ada", **environment})  # fmt: skip
        found = calls.read_text(encoding="utf-8").split("\0end\0")[:-1] if calls.exists() else []
        assert not (self.folder / "made").exists()
        return done, [call.split("\0")[2:] for call in found]

    def command(self, *words, **environment):
        """What the last call came to, with `--words=` taken apart"""
        done, calls = self.make(f"PYTHON={self.python}", *words, **environment)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert calls[0][0] == "setup"
        return with_words(calls[-1])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """In a folder whose name needs quoting, too"""
    folder = tmp_path_factory.mktemp("clone") / "Ada's $work, Zoë"
    folder.mkdir()
    return Project(folder)


@pytest.mark.parametrize("value", UGLY)
def test_one_value_arrives_as_it_was_given(project, value):
    assert project.command("train-tiny", f"OUT={value}")[-2:] == [
        "--out",
        value.lstrip(" "),
    ]  # make drops leading blanks
    found = project.command("glue", f"DATA={value}", f"MODEL={value}")
    assert found == ["glue", "--data", value.lstrip(" "), "--model", value.lstrip(" ")]


def test_every_variable_arrives(project):
    one = "a 'b' $c"
    setup = project.make("setup", f"PYTHON={project.python}", f"EXTRAS={one}")[1]
    assert setup == [["setup", "--extras", one]]
    for target, variable, option in (
        ("train-tiny", "SEED", "--seed"), ("student", "LESSONS", "--lessons"), ("models", "TOKENS", "--tokens"),
        ("models", "BATCH", "--batch"), ("sweep", "OUT", "--run"), ("seeds", "OUT", "--out"),
        ("ablate", "OUT", "--out"), ("gradescope", "OUT", "--out"), ("hint", "T", "hint"),
    ):  # fmt: skip
        found = project.command(target, f"{variable}={one}")
        assert found[found.index(option) + 1] == one
    for target, variable in (("train-tiny", "TEXT"), ("train-tiny", "SET"), ("seeds", "SET"), ("ablate", "SET"),
                             ("test", "ARGS"), ("bench", "ARGS"), ("check", "ARGS"), ("check", "T"), ("mutants", "T"),
                             ("course", "ARGS"), ("squad", "ARGS")):  # fmt: skip
        assert project.command(target, f"{variable}=one 'the $x other' \"it's\"")[-3:] == [
            "one",
            "the $x other",
            "it's",
        ]


def test_what_a_target_needs_is_installed(project):
    for targets, extras in (("test", ""), ("lint", ",lint"), ("bench lint", ",compare,lint")):
        calls = project.make(*targets.split(), f"PYTHON={project.python}", "EXTRAS=interop")[1]
        assert calls[0] == ["setup", "--extras", f"interop{extras}"]


def test_a_dollar_sign_may_be_written_as_make_wants_it(project):
    assert project.command("train-tiny", "OUT=$$a $b $$$$c")[-1] == "$a $b $$c"


def test_the_home_folder(project):
    assert project.command("train-tiny", "OUT=~/my runs")[-1] == "/home/ada/my runs"
    assert project.command("sweep", "OUT=x ~/y")[-1] == "x ~/y"


@pytest.mark.parametrize("flags", [[], ["-j4"], ["-e"]])
def test_the_environment_does_not_count(project, flags):
    """Whatever somebody's shell exports: what `make` prints is what it prints without."""
    targets = "train-tiny seeds sweep glue squad student check hint models parity setup test gradescope".split()
    exported = dict.fromkeys("PYTHON EXTRAS SEED OUT TEXT SET ARGS DATA MODEL TOKENS BATCH LESSONS T".split(), "1 $x")
    plain, (done, _) = project.make("-n", *targets)[0], project.make("-n", *flags, *targets, **exported)
    assert done.returncode == 0 and done.stdout == plain.stdout and "1 $x" not in plain.stdout
    assert "--seed '1' --out 'runs/tiny'" in plain.stdout


def test_commands_do_not_inherit_the_variables(project):
    project.python.rename(project.python.with_name("kept"))
    project.python.write_text('#!/bin/sh\necho "out $OUT text $TEXT"\n', encoding="utf-8")
    project.python.chmod(0o755)
    try:
        done, _ = project.make("sweep", "-o", "setup", "OUT=one", TEXT="two")
    finally:
        project.python.with_name("kept").replace(project.python)
    assert done.stdout == "out  text \n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-tiny", "OUT=a\nb"], "OUT: found a line break"),
        (["train-tiny", "OTU=a"], "found OTU, expected some of PYTHON EXTRAS SEED OUT"),
        (["glue", "TEXT=a"], "found TEXT, which glue would ignore; expected some of PYTHON EXTRAS DATA MODEL ARGS"),
        (["seeds", "SEED=2", "TEXT=x"], "found SEED TEXT, which seeds would ignore"),
        (["train-tiny", "seeds", "T=1", "TEXT=a"], "found T, which train-tiny seeds would ignore"),
        (["clean", "OUT=a"], "found OUT, which clean would ignore"),
        (["SET=a=1"], "found SET, which help would ignore"),
    ],
)
def test_what_make_refuses(project, words, message):
    done, calls = project.make(*words)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1 and calls == []


def test_parallel_make_takes_one_target_after_the_other(project):
    assert [call[0] for call in project.make("-j8", "doctor", "gradcheck", "models", f"PYTHON={project.python}")[1]] == [
        "setup", "doctor", "gradcheck", "models",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("bmake") is None, reason="bmake (BSD make) is not installed")
@pytest.mark.parametrize("words", [[], ["train-tiny"], ["-j4", "help", "OUT=x"]])
def test_bsd_make_says_what_is_needed(project, words):
    done, calls = project.make(*words, program="bmake")
    first = (done.stdout + done.stderr).splitlines()[0]
    assert done.returncode != 0 and calls == []
    assert first.endswith(
        "this needs GNU make: install it and call gmake, or call python3 -m minimobilebert without any make"
    )


def test_only_functions_that_the_make_of_macos_has():
    """GNU make 3.81, of 2006, comes with macOS: no .ONESHELL, no ::=, no $(file), $(guile), $(let), $(intcmp)."""
    for newer in (
        "ONESHELL",
        "RECIPEPREFIX",
        "::=",
        "!=",
        "$(file ",
        "$(guile ",
        "$(let ",
        "$(intcmp ",
        "undefine ",
        "$(or ,",
    ):
        assert newer not in MAKEFILE


def test_a_student_edition_reads_variables_alike(tmp_path):
    edition = Project(tmp_path, makefile(MAKEFILE))
    assert edition.command("train-tiny", "OUT=it's $x", "TEXT='a b' c", OUT="no")[3:] == [
        "--out",
        "it's $x",
        "--text",
        "a b",
        "c",
    ]
    assert edition.command("train-tiny", "SET=teacher_steps=50 'batch_size=8'", "ARGS=--anyway")[-4:] == [
        "--set", "teacher_steps=50", "batch_size=8", "--anyway",
    ]  # fmt: skip
    assert edition.command("watch", "T=02.1 3") == ["check", "02.1", "3", "--watch"]


# --- --words= ---------------------------------------------------------------------------------------------------


@given(st.lists(st.text(alphabet="ab '\"\\$`*~é\n", max_size=6), max_size=4))
def test_words_are_those_that_a_shell_would_make(words):
    """Every word in single quotes, as a shell wants it; bash is asked once for all below."""
    value = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    assert with_words(["a", f"--words={value}", "b"]) == ["a", *words, "b"]


def test_words_of_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("my texts").mkdir()
    pathlib.Path("it's").touch()
    monkeypatch.setenv("HOME", "/home/ada")
    for value, words in (("my texts", ["my texts"]), ("it's", ["it's"]), ("'my texts' it", ["my texts", "it"]), ("", []),
                         ("my  other", ["my", "other"]), ("~/a '~/b' a~/c", ["/home/ada/a", "/home/ada/b", "a~/c"])):  # fmt: skip
        assert with_words([f"--words={value}"]) == words
    with pytest.raises(ValueError, match='found "it\'s gone", in which a quote is left open; expected another one'):
        with_words(["--words=it's gone"])


@pytest.mark.parametrize("text", [MAKEFILE, makefile(MAKEFILE)], ids=["project", "edition"])
def test_a_target_takes_the_variables_that_its_recipe_names(project, text):
    """Found by giving each variable to each target: accepted or refused as the recipe names it or not."""
    _, targets = text.split("# Targets\n")
    names = "SEED OUT TEXT SET ARGS DATA MODEL TOKENS BATCH LESSONS T".split()
    folder = project.folder.parent / f"takes-{len(text)}"
    folder.mkdir()
    (folder / "Makefile").write_text(text, encoding="utf-8")
    for target, recipe in re.findall(r"^([a-z-]+): setup\n((?:\t.*\n)+)", targets, re.MULTILINE):
        recipe = recipe.replace("$(run)", "OUT,SEED").replace("$(another_seed)", "SEED")
        for name in names:
            done = subprocess.run(["make", "-n", target, f"{name}=1"], cwd=folder, capture_output=True, text=True)
            assert (done.returncode == 0) == (name in re.findall(r"[A-Z]+", recipe)), (target, name, done.stderr)


def test_an_extra_that_there_is_not_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(bootstrap, "_run", lambda *_: pytest.fail("began to install"))
    with pytest.raises(ValueError, match="^--extras: found 'comparee', expected some of .*compare"):
        bootstrap.setup(["comparee"])


def test_a_checkout_that_setuptools_cannot_install_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", pathlib.Path("/home/ada/a$b"))
    with pytest.raises(ValueError, match=r"^/home/ada/a\$b: found a dollar sign"):
        bootstrap.setup()
