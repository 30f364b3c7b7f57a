"""`grade` loses nobody: a row for every entry, names that do not collide, and the work told from what lies beside it."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest
from course_submissions import FILE, hand_in, nonorm_file

from minimobilebert.cli import main
from minimobilebert.course.shared.cutting import blank
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher import entries, grading, submission
from minimobilebert.course.teacher.choosing import MOST_COPIES
from minimobilebert.course.teacher.grading import Grader, run
from minimobilebert.course.teacher.policy import Policy
from minimobilebert.course.teacher.submission import read_submission

POLICY = Policy(lessons="3", seeds=[5])
FILES = {FILE: (load().root / FILE).read_text(encoding="utf-8")}
WORK = nonorm_file()
OTHER = nonorm_file().replace("weight * x", "1.0 * weight * x")
BOTH = {"nonorm_forward": "task 03.4 (NoNorm)", "nonorm_backward": "task 03.5 (NoNorm)"}
UNTOUCHED = blank(nonorm_file(), BOTH)
HALF = blank(nonorm_file(), {"nonorm_backward": "task 03.5"})
BROKEN = nonorm_file("\ndef nonorm_forward(x:\n")
PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def packed(files):
    """{name: text or bytes} -> the bytes of a zip"""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files, mode):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def laid(folder, files):
    """Write {path: text, bytes, or a function that makes it} below a folder -> the folder"""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def read(path):
    return read_submission(path, FILES, {FILE: list(BOTH)})


# What one student hands in -> the file that is graded, and words of a note; None: nothing is, and words of the reason
SITE = ".venv/lib/python3.12/site-packages/"
INSIDE = {
    "as it should be": ({FILE: WORK}, FILE, ""),
    "one folder down": ({f"student/{FILE}": WORK}, f"student/{FILE}", ""),
    "a bare file": ({"nonorm.py": WORK}, "nonorm.py", ""),
    "the folder of operations": ({"ops/nonorm.py": WORK}, "ops/nonorm.py", ""),
    "in capitals": ({"NONORM.PY": WORK}, "NONORM.PY", ""),
    "a virtual environment beside it": ({FILE: WORK, f"{SITE}{FILE}": OTHER}, FILE, "not looked into: .venv"),
    "an environment of another name": ({FILE: HALF, f"mine/lib/{FILE}": OTHER, "mine/pyvenv.cfg": ""}, FILE, "not looked into: mine"),
    "an environment without its file": ({FILE: HALF, f"mine/Lib/site-packages/{FILE}": OTHER}, FILE, "mine/Lib/site-packages"),
    "node_modules": ({FILE: HALF, f"node_modules/a/{FILE}": OTHER}, FILE, "not looked into: node_modules"),
    "what macOS adds": ({FILE: HALF, "__MACOSX/minimobilebert/ops/._nonorm.py": "\0", f"__MACOSX/{FILE}": OTHER}, FILE, "__MACOSX"),
    "its companion file": ({FILE: WORK, "minimobilebert/ops/._nonorm.py": "\0"}, FILE, ""),
    "a build copy": ({FILE: HALF, f"build/lib/{FILE}": OTHER}, FILE, f"not build/lib/{FILE}, with other content"),
    "a copy of git's": ({FILE: HALF, f".git/worktrees/{FILE}": OTHER}, FILE, ""),
    "a notebook's checkpoint": ({FILE: HALF, f".ipynb_checkpoints/{FILE}": OTHER}, FILE, ""),
    "work in a folder called build": ({f"build/{FILE}": WORK}, f"build/{FILE}", ""),
    "a copy of the edition": ({f"a/{FILE}": UNTOUCHED, f"b/{FILE}": WORK}, f"b/{FILE}", f"not a/{FILE}, with other content"),
    "an older copy": ({f"a/{FILE}": HALF, f"b/{FILE}": WORK}, f"b/{FILE}", f"not a/{FILE}"),
    "the same twice": ({f"a/{FILE}": WORK, f"b/{FILE}": WORK}, f"a/{FILE}", ""),
    "the edition and the work beside it": ({FILE: UNTOUCHED, "nonorm.py": WORK}, "nonorm.py", f"not {FILE}"),
    "broken work and the edition": ({f"a/{FILE}": UNTOUCHED, f"b/{FILE}": BROKEN}, f"b/{FILE}", f"not a/{FILE}"),
    "broken work and an older copy": ({f"a/{FILE}": HALF, f"b/{FILE}": BROKEN}, f"a/{FILE}", f"not b/{FILE}"),
    "an archive inside": ({"work.zip": packed({FILE: WORK})}, f"work.zip/{FILE}", ""),
    "an archive in capitals": ({"in/WORK.ZIP": packed({"nonorm.py": WORK})}, "in/WORK.ZIP/nonorm.py", ""),
    "a tar inside": ({"work.tgz": tarred({FILE: WORK}, "w:gz")}, f"work.tgz/{FILE}", ""),
    "an archive in an archive": ({"a.zip": packed({"b.zip": packed({FILE: WORK})})}, f"a.zip/b.zip/{FILE}", ""),
    "an archive beside the edition": ({FILE: UNTOUCHED, "work.zip": packed({FILE: WORK})}, f"work.zip/{FILE}", ""),
    "an archive beside the work": ({FILE: WORK, "work.zip": packed({FILE: OTHER})}, FILE, "not opened: work.zip"),
    "the same archive twice": ({"a.zip": packed({FILE: WORK}), "b.zip": packed({FILE: WORK})}, f"a.zip/{FILE}", ""),
    "archives of the work and the edition": ({"a.zip": packed({FILE: UNTOUCHED}), "b.zip": packed({FILE: WORK})}, f"b.zip/{FILE}", ""),
    "two archives of different work": ({"a.zip": packed({FILE: WORK}), "b.zip": packed({FILE: OTHER})}, None, "2 archives with different work (a.zip, b.zip)"),
    "a damaged archive inside": ({"a.zip": b"PK\3\4 nothing"}, None, "archive a.zip: found a zip file without its end"),
    "a rar inside": ({"a.rar": b"Rar!\x1a\x07"}, None, "but a.rar, expected one of"),
    "a notebook": ({"nonorm.ipynb": "{}"}, None, "but nonorm.ipynb, expected one of minimobilebert/ops/nonorm.py ...; Jupyter notebooks are not graded"),
    "documents": ({"a.docx": "x", "b.pdf": "x", "c.txt": "x", "d.txt": "x"}, None, "but a.docx, b.pdf, c.txt and 1 more, expected one of"),
    "other names": ({"no_norm.py": WORK}, None, "found no file with a task in it but no_norm.py"),
    "only in an environment": ({f"{SITE}{FILE}": WORK}, None, "found no file with a task in it but .venv"),
    "hidden": ({f".work/{FILE}": WORK}, None, "but .work, expected one of"),
    "too large": ({FILE: WORK + "#" * 2_000_000}, None, "expected at most 2,000,000"),
    "nothing": ({}, None, "found an empty folder"),
    "a link to nothing": ({FILE: lambda path: path.symlink_to("nowhere")}, None, f"found {FILE}, a link, expected a file"),
    "a link in a circle": ({FILE: lambda path: path.symlink_to(path.name)}, None, f"found {FILE}, a "),
    "a link out": ({FILE: lambda path: path.symlink_to(load().root / FILE)}, None, "a link out of the folder"),
    "a linked folder": ({"minimobilebert": lambda path: path.symlink_to(load().root / "minimobilebert")}, None, "but minimobilebert, expected"),
    "a link to a copy of its own": ({f"a/{FILE}": WORK, "nonorm.py": lambda path: path.symlink_to(f"a/{FILE}")}, f"a/{FILE}", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", INSIDE)
def test_the_work_is_found_and_named_or_the_reason_is(tmp_path, case):
    files, graded, words = INSIDE[case]
    found = read(laid(tmp_path / "ada", files))
    if graded is None:
        assert found.files == {} and words in found.problem, found
    else:
        assert found.files[FILE][0] == graded and words in "; ".join(found.notes), found
        assert words or not [note for note in found.notes if "with other content" in note]
    if not any(callable(content) for content in files.values()) and "environment without" not in case:
        zipped = tmp_path / "ada.zip"
        zipped.write_bytes(packed(files))
        again = read(zipped)  # an archive of the same is the same
        assert {file: name for file, (name, _) in again.files.items()} == ({FILE: graded} if graded else {})
        assert graded or again.problem


@PIPES
def test_pipes_are_never_opened(tmp_path):
    files = {FILE: os.mkfifo, "pipe.py": os.mkfifo, "pipe.zip": os.mkfifo}
    assert f"found {FILE}, a device or pipe" in read(laid(tmp_path / "ada", files)).problem
    os.mkfifo(tmp_path / "bob.zip")
    assert read(tmp_path / "bob.zip").problem.startswith("found a pipe, expected a folder, a .py file, or a .zip")


def test_the_newer_of_two_is_graded(tmp_path):
    folder = laid(tmp_path / "ada", {f"a/{FILE}": WORK, f"b/{FILE}": OTHER})
    for newer, older in (("a", "b"), ("b", "a")):
        os.utime(folder / older / FILE, (1e9, 1e9))
        os.utime(folder / newer / FILE, (1.1e9, 1.1e9))
        assert read(folder).files[FILE][0] == f"{newer}/{FILE}"


@pytest.mark.skipif(sys.platform != "linux", reason="relies on Linux's limits for paths, and on files with holes")
def test_folders_too_deep_and_files_too_large(tmp_path):
    folder, here = laid(tmp_path / "ada", {FILE: WORK}), os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(1500):
            os.mkdir("deep")
            os.chdir("deep")
        found = read(folder)
    finally:
        for _ in range(1500):  # pytest could not remove it
            os.chdir("..")
            os.rmdir("deep")
        os.chdir(here)
    assert found.files[FILE][0] == FILE and not found.problem
    for name in ("bob.zip", "bob.py", "bob.tar", "bob.xyz"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 2**42)
        assert read(tmp_path / name).problem == "found 4,398,046,511,104 bytes, expected at most 1,073,741,824"


HUGE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117)
    + b"\n"
)


def test_arrays_of_four_terabytes_are_not_looked_into(tmp_path):
    files = {FILE: WORK, "x.npy": HUGE, "recorded.npz": packed({"x.npy": HUGE})}
    assert list(read(laid(tmp_path / "ada", files)).files) == [FILE]
    for name in ("x.npy", "recorded.npz"):
        assert "expected" in read(tmp_path / "ada" / name).problem


def test_a_thousand_copies_are_not_all_read(tmp_path):
    (tmp_path / "ada.zip").write_bytes(packed({f"{i:04}/{FILE}": f"# {i}" for i in range(1000)}))
    found = read(tmp_path / "ada.zip")
    assert f"found 1,000 copies of {FILE}; looked at {MOST_COPIES}" in found.notes


def test_a_damaged_file_costs_its_own_tasks_only(tmp_path):
    files = {FILE: WORK, "minimobilebert/ops/gelu.py": "x = 1\n", "minimobilebert/ops/relu.py": "y = 1\n"}
    data = bytearray(packed(files))
    data[data.index(b"x = 1")] ^= 1
    (tmp_path / "ada.zip").write_bytes(data)
    found = read_submission(tmp_path / "ada.zip", dict.fromkeys(files, ""))
    assert set(found.files) == {FILE, "minimobilebert/ops/relu.py"} and not found.problem
    assert "found damaged content" in found.refused["minimobilebert/ops/gelu.py"]


# --- a class


def a_class(folder):
    """One of everything that is found in such folders -> {entry: words of its row}"""
    zipped, graded = packed({FILE: WORK}), f"{FILE}"
    rows = {
        "ada/" + FILE: (WORK, graded), "bob.ZIP": (zipped, graded), "cleo.tar.xz": (tarred({FILE: WORK}, "w:xz"), graded),
        "dan.TGZ": (tarred({FILE: WORK}, "w:gz"), graded), "eve/work.zip": (zipped, f"work.zip/{FILE}"),
        "fay.rar": (b"Rar!\x1a\x07", "found a RAR archive"), "gil.7z": (b"7z\xbc\xaf'\x1c", "found a 7z archive"),
        "hal.ipynb": ("{}", "found a Jupyter notebook (hal.ipynb), expected a folder, a .py file"),
        "ian.txt": (WORK, "found a text file"), "jan.docx": (zipped, "found a Word document"),
        "kim.zip": (b"", "found an empty file"), "lea.zip": (b"broken", "found neither zip nor tar"),
        "mia": (lambda path: path.mkdir(), "found an empty folder"), "ned.py": (WORK, "found no file with a task in it but ned.py"),
        "ora": (lambda path: path.symlink_to("nowhere"), "found a link to nothing (nowhere)"),
        ".pam.zip": (zipped, graded), ".DS_Store": (b"\0\0\0\1Bud1", "found .DS_Store, which is no archive"),
        "Quin": (zipped, graded), "rob.zip": (packed({"in.zip": packed({"x.txt": "x"})}), "archive in.zip: found no file"),
        "sue.gz": (b"\x1f\x8bnothing", "found a damaged archive"), "tom.zip": (packed({FILE: BROKEN}), "line 14: syntax error:"),
        "new\nline.zip": (zipped, graded), "=1+1.zip": (zipped, graded), "x" * 200 + ".zip": (zipped, graded),
        "uma.zip": (zipped, graded), "uma.tar": (tarred({FILE: WORK}, "w"), graded), "uma/nonorm.py": (WORK, "nonorm.py"),
        "grades.zip": (zipped, graded), "__MACOSX/._ada": ("x", "found no file with a task in it but ._ada"),
    }  # fmt: skip
    laid(folder, {name: content for name, (content, _) in rows.items()})
    return {name.split("/")[0]: words for name, (_, words) in rows.items()}


@pytest.mark.skipif(sys.platform == "win32", reason="some of these names cannot be files there")
def test_every_entry_has_a_row_that_says_what_was_found(tmp_path, monkeypatch):
    words = a_class(tmp_path / "in")
    # Grading itself is tested elsewhere, and takes a second each.
    monkeypatch.setattr(grading.Grader, "_task", lambda self, task, worker: self.without(task, "not tried"))
    results = run(load(), [tmp_path / "in"], tmp_path / "out", POLICY)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "grades.csv").read_text(encoding="utf-8"))))
    assert len(rows) == len(results) == len(words) == len(os.listdir(tmp_path / "in"))
    names = [row["name"] for row in rows]
    assert len({name.casefold() for name in names}) == len(names)
    assert {"ada", "bob", "cleo", "dan", "fay.rar", "uma.zip", "uma.tar", ".pam", ".DS_Store"} <= set(names)
    files = {path.name for path in (tmp_path / "out").iterdir()} - {"grades.csv"}
    assert files == {f"{name.removeprefix(chr(39))}.json" for name in names}
    for result, entry in zip(results, sorted(words), strict=True):
        about = result["extra_data"]
        assert words[entry] in (about["problem"] or about["graded"]), (entry, about)
        assert about["problem"] in result["output"] and about["graded"] in result["output"]


def test_a_class_of_two_tries_each_its_own_file(tmp_path):
    hand_in(tmp_path / "a" / "ada", WORK)
    hand_in(tmp_path / "b" / "ada", UNTOUCHED)
    results = run(load(), [tmp_path / "a" / "ada", tmp_path / "b" / "ada"], tmp_path / "out", POLICY)
    assert [(result["extra_data"]["name"], result["score"]) for result in results] == [("a-ada", 6), ("b-ada", 0)]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a-ada.json", "b-ada.json", "grades.csv"}


@pytest.mark.parametrize(("paths", "names"), [
    (["ada", "bob.zip", "cleo.tar.gz"], ["ada", "bob", "cleo"]),
    (["ada.zip", "ada.py", "ada"], ["ada.zip", "ada.py", "ada"]),
    (["x/ada", "y/ada.zip", "y/bob"], ["ada", "ada.zip", "bob"]),
    (["x/Ada.zip", "y/ada.zip", "z/ada.ZIP"], ["x-Ada.zip", "y-ada.zip", "z-ada.ZIP"]),
    (["ada.zip", "ADA.ZIP"], ["ada.zip", "ADA.ZIP-2"]),
    (["caf\u00e9.zip", "cafe\u0301.zip"], ["caf\u00e9.zip", "cafe\u0301.zip-2"]),
    (["grades.zip", ".zip"], ["grades.zip", ".zip"]),
])  # fmt: skip
def test_names_are_unique_on_every_file_system(paths, names):
    paths = list(map(pathlib.Path, paths))
    found = entries.unique_names(paths)
    assert len({name.casefold() for name in found.values()}) == len(paths)
    assert list(map(found.get, paths)) == names


def test_an_entry_is_graded_once_and_the_results_never(tmp_path):
    folder = laid(tmp_path / "in", {"ada/nonorm.py": WORK, "bob/nonorm.py": WORK, "out/ada.json": "{}"})
    paths = [folder, folder / "ada", folder / "." / "ada"]
    assert entries.find_entries(paths, FILES, folder / "out") == [folder / "ada", folder / "bob"]


@pytest.mark.parametrize(("files", "rows"), [
    ({"nonorm.py": WORK, "notes.txt": "", "data/x": ""}, ["."]), ({FILE: WORK, "a.zip": b""}, ["."]),
    ({f"ada/{FILE}": WORK}, ["ada"]), ({"nonorm.py": WORK, f"ada/{FILE}": WORK}, ["ada", "nonorm.py"]),
    ({"nonorm.py": WORK, "ada.zip": b"", ".x": ""}, [".x", "ada.zip", "nonorm.py"]),
])  # fmt: skip
def test_a_folder_is_a_submission_or_a_class(tmp_path, files, rows):
    folder = laid(tmp_path / "in", files)
    assert entries.find_entries([folder], FILES) == [folder / row for row in rows]


@pytest.mark.parametrize(("make", "words"), [
    (lambda folder: folder / "none", "found nothing there"),
    (lambda folder: laid(folder / "empty", {}), "found no submission in it"),
])  # fmt: skip
def test_without_submissions_nothing_is_written(tmp_path, make, words, capsys):
    assert main(["grade", str(make(tmp_path)), "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


# --- an exception belongs to one student


@pytest.mark.parametrize(
    "error",
    [MemoryError, RecursionError, KeyError("x\ny"), AssertionError, SystemError("z"), OSError(5, "Input/output error")],
)
def test_what_breaks_reading_one_is_that_student_s_row(tmp_path, monkeypatch, error):
    def broken(path):
        raise error

    monkeypatch.setattr(submission, "folder_items", broken)
    found = read(laid(tmp_path / "ada", {FILE: WORK}))
    assert found.problem and "\n" not in found.problem


def test_what_breaks_the_grader_is_a_row_and_tried_again(tmp_path, monkeypatch, capsys):
    for name in ("ada", "bob", "cleo"):
        hand_in(tmp_path / "in" / name, WORK)
    task = Grader._task

    def broken(self, what, worker):
        raise RuntimeError("found \ud800, \033[2J and\nother things")

    with monkeypatch.context() as patch:
        patch.setattr(Grader, "_task", lambda *args: (broken if worker_of(args).endswith("bob") else task)(*args))
        grade_with(patch)
        results = run(load(), [tmp_path / "in"], tmp_path / "out", POLICY)
    assert [result["score"] for result in results] == [6, 0, 6]
    assert "the grader failed, which is not the student's fault: RuntimeError" in results[1]["extra_data"]["problem"]
    again = run(load(), [tmp_path / "in"], tmp_path / "out", POLICY)
    assert [result["score"] for result in again] == [6, 6, 6]


CURRENT = []


def worker_of(_):
    return CURRENT[-1]


def grade_with(patch):
    """Note who is being graded."""
    grade = Grader.grade

    def noted(self, submission, *more):
        CURRENT.append(submission.name)
        return grade(self, submission, *more)

    patch.setattr(Grader, "grade", noted)


# --- results as they come


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of three that was graded -> folder with `in` and `out`"""
    folder = tmp_path_factory.mktemp("graded")
    hand_in(folder / "in" / "ada", WORK)
    hand_in(folder / "in" / "bob", UNTOUCHED)
    (folder / "in" / "cleo.zip").write_bytes(packed({FILE: HALF}))
    run(load(), [folder / "in"], folder / "out", POLICY)
    return folder


def test_the_same_command_again_grades_nobody_and_changes_nothing(graded, monkeypatch):
    before = snapshot(graded / "out")
    monkeypatch.setattr(Grader, "grade", lambda *_: pytest.fail("graded again"))
    results = run(load(), [graded / "in"], graded / "out", POLICY)
    assert [result["score"] for result in results] == [6, 0, 2] and snapshot(graded / "out") == before


def copy(graded, to):
    import shutil

    shutil.copytree(graded, to)
    for path in (to / "out").glob("*.json"):  # the class has moved with its results
        path.write_text(path.read_text().replace(str(graded), str(to)))
    return to


@pytest.mark.parametrize(("change", "words"), [
    (lambda folder: (folder / "out" / "notes.txt").write_text("mine"), "notes.txt: found something there already"),
    (lambda folder: (folder / "out" / "other.json").write_text("{}"), "other.json: found something there already"),
    (lambda folder: (folder / "out" / "deep").mkdir(), "deep: found something there already"),
    (lambda folder: (folder / "out" / "grades.csv").write_text("mine\n"), "grades.csv: found lines that this grading did not write"),
    (lambda folder: (folder / "out" / "ada.json").write_text('{"score": 6}'), "ada.json: found something there already"),
    (lambda folder: (folder / "in" / "ada" / FILE).write_text(OTHER), "ada.json: found a result of"),
    (lambda folder: (folder / "in" / "cleo.zip").write_bytes(packed({FILE: WORK})), "cleo.json: found a result of"),
    (lambda folder: {"seeds": [6]}, "found a result of another policy"),
    (lambda folder: {"handed_in": "2027-03-01T20:00:00+01:00"}, "with --handed-in none, expected 2027-03-01"),
])  # fmt: skip
def test_nothing_is_written_over(graded, tmp_path, change, words):
    folder = copy(graded, tmp_path / "x")
    settings = change(folder)
    settings = settings if isinstance(settings, dict) else {}
    before, handed_in = snapshot_all(folder), settings.pop("handed_in", None)
    with pytest.raises(ValueError, match=words):
        run(load(), [folder / "in"], folder / "out", Policy(lessons="3", **{"seeds": [5], **settings}), handed_in)
    assert snapshot_all(folder) == before


def snapshot_all(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_who_comes_later_is_added(graded, tmp_path):
    folder = copy(graded, tmp_path / "x")
    before = snapshot(folder / "out")
    (folder / "in" / "ada.zip").write_bytes(packed({FILE: WORK}))  # ada keeps the name that she has
    (folder / "out" / "bob.json.tmp").write_bytes(b"cut")  # of a writing that was killed
    results = run(load(), [folder / "in"], folder / "out", POLICY)
    assert [(r["extra_data"]["name"], r["score"]) for r in results] == [
        ("ada", 6),
        ("ada.zip", 6),
        ("bob", 0),
        ("cleo", 2),
    ]
    after = snapshot(folder / "out")
    assert {name: after[name] for name in before if name != "grades.csv"} == {
        n: d for n, d in before.items() if n != "grades.csv"
    }
    assert [line.split(",")[0] for line in after["grades.csv"].decode().splitlines()] == [
        "name",
        "ada",
        "ada.zip",
        "bob",
        "cleo",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("how", ["INT", "TERM", "KILL"])
def test_an_interrupted_grading_goes_on(tmp_path, how):
    import signal

    hand_in(tmp_path / "in" / "ada", WORK)
    hand_in(tmp_path / "in" / "bob", HALF)
    hand_in(
        tmp_path / "in" / "eve", nonorm_file("\ndef nonorm_forward(x, weight, bias):\n    while True:\n        pass\n")
    )
    (tmp_path / "policy.toml").write_text('lessons = "3"\nseeds = [5]\nseconds_per_call = 60')
    command = [sys.executable, "-m", "minimobilebert", "grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"),
               "--policy", str(tmp_path / "policy.toml")]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "bob.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(getattr(signal, f"SIG{how}"))
    _, errors = process.communicate(timeout=60)
    kept = snapshot(tmp_path / "out")
    assert set(kept) == {"ada.json", "bob.json", "grades.csv"} and kept["grades.csv"].count(b"\n") == 3
    if how != "KILL":
        assert process.returncode == 130 and f"2 of 3 submissions are graded and kept in {tmp_path / 'out'}" in errors
        return  # what is on the disk is the same, and goes on in the same way
    hand_in(tmp_path / "in" / "eve", WORK)  # she has no result yet
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {name: data for name, data in snapshot(tmp_path / "out").items() if name in ("ada.json", "bob.json")} == {
        name: data for name, data in kept.items() if name != "grades.csv"
    }
    rows = csv.DictReader(io.StringIO((tmp_path / "out" / "grades.csv").read_text()))
    assert [(row["name"], row["score"]) for row in rows] == [("ada", "6"), ("bob", "2"), ("eve", "6")]


def test_endless_loops_end_with_the_grader(tmp_path):
    """However it ends; a process that waits for the grader would see the end of its pipe, one that computes does not."""
    code = (
        "import sys, threading, os, time, pathlib\n"
        "from minimobilebert.course.teacher.grading import Grader\nfrom minimobilebert.course.shared.manifest import load\n"
        "from minimobilebert.course.teacher.policy import Policy\n"
        "with Grader(load(), Policy(lessons='3')) as grader:\n"
        "    worker, name = grader.worker(), 'minimobilebert/ops/nonorm.py:nonorm_forward'\n"
        "    worker.install(name, 'def nonorm_forward(x, weight, bias):\\n    while True:\\n        pass')\n"
        "    worker.start()\n"
        "    threading.Thread(target=worker.call, args=(name, [1, 2, 3], {}, 60), daemon=True).start()\n"
        "    time.sleep(0.5)\n    print(worker.pid, flush=True)\n    os._exit(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid, deadline = int(done.stdout), time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the process is still there")


def test_a_date_that_cannot_be_read_is_known_before_anything_is_graded(tmp_path, capsys):
    hand_in(tmp_path / "in" / "ada", WORK)
    (tmp_path / "p.toml").write_text('due = "2027-01-01T00:00:00+00:00"')
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--policy", str(tmp_path / "p.toml")]
    assert main([*command, "--handed-in", "x"]) == 2 and not (tmp_path / "out").exists()
    assert main([*command[:-1], str(tmp_path / "none.toml")]) == 2 and "none.toml" in capsys.readouterr().err


def test_the_json_is_whole(graded):
    for path in (graded / "out").glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["score"] == sum(test["score"] for test in result["tests"])
