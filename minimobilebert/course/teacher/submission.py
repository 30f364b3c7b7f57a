"""Read a submission: a folder, a .py file, or an archive, at any depth, without unpacking to disk.

    submission = read_submission(path, files)     files: {task file: the project's source}

We find a task's file by its path from the project's root, or by its bare name if that is unique. If there are several
copies, choosing.py selects the one with the student's work and names the others. An error in a submission becomes a
text in it and not an exception, so that it does not stop the grading of a class.
"""

import dataclasses
import hashlib
import os
import pathlib
import stat

from ...support.archive_members import FILE, ArchiveError, NotAnArchive, printable
from ...support.archives import is_archive, open_archive
from ...support.regular_files import kind_of, open_regular, read_bytes
from .choosing import asked_names, candidates, choose
from .contents import MOST_BYTES, MOST_INNER, NEVER, WORK, Item, archive_items, folder_items, passed_over_folders

MOST_ARCHIVE = 1 << 30  # bytes of a submitted archive
MOST_INNER_ARCHIVES = 20
DEEPEST = 3  # levels of archives in archives
EXPECTED = "a folder, a .py file, or a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz archive"
_DOCUMENTS = {
    ".ipynb": "a Jupyter notebook", ".txt": "a text file", ".md": "a text file", ".doc": "a Word document",
    ".docx": "a Word document", ".odt": "a document", ".rtf": "a document", ".pages": "a document",
    ".pdf": "a PDF file", ".html": "a web page", ".htm": "a web page", ".url": "a link to a web page",
    ".webloc": "a link to a web page", ".lnk": "a shortcut", ".pyc": "compiled Python", ".png": "a picture",
    ".jpg": "a picture", ".jpeg": "a picture", ".heic": "a picture", ".crdownload": "an unfinished download",
    ".part": "an unfinished download", ".xlsx": "a spreadsheet", ".pptx": "slides", ".csv": "a table",
}  # fmt: skip


@dataclasses.dataclass
class Submission:
    """The submission of one student."""

    name: str
    path: pathlib.Path
    sha256: str = ""
    files: dict = dataclasses.field(default_factory=dict)  # {task file: (name in the submission, bytes)}
    refused: dict = dataclasses.field(default_factory=dict)  # {task file: the reason why it cannot be graded}
    notes: list = dataclasses.field(default_factory=list)  # files that were found but not graded
    problem: str = ""  # the reason why the whole submission cannot be graded


def read_submission(path, files, asked=None, name=None):
    """-> Submission. asked: {task file: names of the tasks' functions}; None: all functions of a file"""
    path = pathlib.Path(path)
    submission = Submission(name or base_name(path), path)
    try:
        _read(submission, files, asked or {file: asked_names(source) for file, source in files.items()})
    except (ArchiveError, ValueError) as error:
        submission.problem = _one_line(error)
    except MemoryError:
        submission.problem = "found more than fits into this machine's memory, expected a smaller submission"
    except OSError as error:
        submission.problem = f"cannot be read: {printable(error.strerror or str(error))}"
    except Exception as error:  # a malicious submission must not affect the others
        submission.problem = f"cannot be read: {type(error).__name__}: {_one_line(error)}"
    return submission


def _one_line(error):
    return printable(" ".join(str(error).split())) or type(error).__name__


def base_name(path):
    """A student's name: that of the folder or file, without .py or the suffix of an archive"""
    path = pathlib.Path(path)
    whole = path.name if path.name not in ("", "..") else path.resolve().name
    name, is_folder = whole, path.is_dir()
    if not is_folder and (name.lower().endswith(".py") or is_archive(name)):
        name = name[: name.rindex(".")]
        name = name[:-4] if name.lower().endswith(".tar") else name
    return printable(name or whole)


def _read(submission, files, asked):
    path = submission.path
    if path.is_symlink() and not path.exists():
        raise ValueError(f"found a link to nothing ({os.readlink(path)}), expected {EXPECTED}")
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        items = folder_items(path)
        if not items:
            raise ValueError(f"found an empty folder, expected {EXPECTED}")
        _fill(submission, items, files, asked)
        parts = (f"{shown}\0".encode() + data for shown, data in submission.files.values())
        submission.sha256 = hashlib.sha256(b"\0".join(sorted(parts))).hexdigest()
        return
    if not stat.S_ISREG(mode):
        raise ValueError(f"found {kind_of(mode)}, expected {EXPECTED}")
    if (size := path.stat().st_size) > MOST_ARCHIVE:
        raise ValueError(f"found {size:,} bytes, expected at most {MOST_ARCHIVE:,}")
    with open_regular(path) as file:
        submission.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    suffix = path.suffix.lower()
    if suffix == ".py":
        alone = Item(printable(path.name), (path.name,), FILE, (), WORK, lambda most: read_bytes(path, most))
        _fill(submission, [alone], files, asked)
    elif suffix in _DOCUMENTS:
        raise ValueError(f"found {_DOCUMENTS[suffix]} ({printable(path.name)}), expected {EXPECTED}")
    else:
        try:
            with open_archive(path) as archive:
                _fill(submission, archive_items(archive), files, asked)
        except NotAnArchive:
            if is_archive(path):
                raise
            raise ValueError(f"found {printable(path.name)}, which is no archive, expected {EXPECTED}") from None


def _fill(submission, items, files, asked, depth=1):
    """Choose files among the items; if none is the student's work, among the contents of inner archives.

    -> True if any function of the tasks is written
    """
    choice = choose(candidates(items, files), asked)
    inner = [item for item in items if item.is_archive]
    if inner and not choice.has_work and depth < DEEPEST:
        parts = _from_archives(submission, inner, files, asked, depth)
        if parts:
            (part, has_work), *_ = parts
            submission.files, submission.refused = part.files, part.refused
            submission.notes += part.notes
            return has_work
    elif inner:
        submission.notes.append(f"not opened: {_some(item.shown for item in inner)}")
    submission.files, submission.refused = choice.files, choice.refused
    submission.notes += choice.notes
    if passed_over := passed_over_folders(items):
        submission.notes.append(f"not looked into: {_some(passed_over)}")
    if not submission.files:
        reasons = [*choice.refused.values(), *(note for note in submission.notes if note.startswith("archive "))]
        submission.problem = reasons[0] if reasons else _nothing(items, files)
    return choice.has_work


def _from_archives(submission, inner, files, asked, depth):
    """The contents of inner archives -> [(Submission, True if it has work)], all with the same files"""
    found = []
    for item in inner[:MOST_INNER_ARCHIVES]:
        part = Submission(submission.name, submission.path)
        has_work = False
        try:
            with open_archive(item.read(MOST_INNER)) as archive:
                has_work = _fill(part, archive_items(archive, item.parts), files, asked, depth + 1)
        except (ValueError, OSError) as error:
            part.problem = _one_line(error)
        if part.files:
            found.append((item, part, has_work))
        else:
            submission.notes.append(f"archive {item.shown}: {part.problem}")
    if len(inner) > MOST_INNER_ARCHIVES:
        submission.notes.append(f"not opened: {_some(item.shown for item in inner[MOST_INNER_ARCHIVES:])}")
    found = [each for each in found if each[2]] or found
    contents = {tuple(sorted((file, data) for file, (_, data) in part.files.items())) for _, part, _ in found}
    if len(contents) > 1:
        names = _some(item.shown for item, *_ in found)
        raise ValueError(
            f"found {len(found)} archives with different work ({names}), expected one; where this folder is a class,"
            " grade it by itself"
        )
    return [(part, has_work) for _, part, has_work in found]


def _some(names, most=3):
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _nothing(items, files):
    """The message if there is nothing to grade: what was found, and what was expected."""
    inside = [item for item in items if item.shelf != NEVER] or items
    found = f" but {_some(item.shown for item in inside)}" if inside else ""
    notebook = any(item.shown.lower().endswith(".ipynb") for item in inside)
    advice = "; Jupyter notebooks are not graded: put the functions into the .py files" if notebook else ""
    return f"found no file with a task in it{found}, expected one of {', '.join(sorted(files)[:3])} ...{advice}"


__all__ = ["MOST_BYTES", "Submission", "base_name", "read_submission"]
