"""Reading what students hand in: a folder, a .py file, or a zip or tar archive. Nothing is unpacked to disk.

    submission = read_submission(path, files)     files: those of the project that hold a task's function

A file is found by its path from the project's root, at any depth in the archive, or by its bare name where only one
task file is called so. Archives with paths that escape, links, or absurd sizes are refused whole.
"""

import dataclasses
import hashlib
import io
import pathlib
import tarfile
import zipfile

MOST_FILES, MOST_BYTES, MOST_ARCHIVE = 20_000, 2_000_000, 200_000_000
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")


@dataclasses.dataclass
class Submission:
    """What one student handed in."""

    name: str
    path: pathlib.Path
    sha256: str = ""
    files: dict = dataclasses.field(default_factory=dict)  # {task file: (name in the submission, bytes)}
    problem: str = ""  # why nothing of it can be graded


def find_submissions(paths, files):
    """Submissions behind the arguments of `grade`; a folder without any task file stands for those inside it."""
    found = []
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise ValueError(f"{path}: found nothing there, expected a submission or a folder of them")
        if path.is_dir() and not _has_any(path, files):
            inside = [each for each in sorted(path.iterdir()) if not each.name.startswith(".") and
                      (each.is_dir() or each.suffix in (".py", *ARCHIVES))]  # fmt: skip
            if not inside:
                raise ValueError(f"{path}: found no submission in it, expected folders, archives or .py files")
            found += inside
        else:
            found.append(path)
    submissions = [read_submission(path, files) for path in found]
    names = [submission.name for submission in submissions]
    for submission in submissions:
        if names.count(submission.name) > 1:
            submission.name = "-".join(submission.path.parts[-2:])
    return submissions


def _has_any(folder, files):
    names = {pathlib.PurePosixPath(file).name for file in files}
    return (folder / "minimobilebert").is_dir() or any((folder / name).is_file() for name in names) or any(
        (each / "minimobilebert").is_dir() for each in folder.iterdir()
        if each.is_dir() and not each.is_symlink() and len(list(folder.iterdir())) == 1
    )  # fmt: skip


def read_submission(path, files):
    """-> Submission, whose `problem` says in one line why it cannot be graded"""
    path = pathlib.Path(path)
    name = path.name
    for suffix in (".py", *ARCHIVES, ".tar"):
        name = name.removesuffix(suffix) if not path.is_dir() else name
    submission = Submission(name or path.resolve().name, path)
    try:
        if path.is_dir():
            members = _folder(path)
        elif path.suffix == ".py":
            submission.sha256 = _sha256(path.read_bytes())
            members = [(path.name, path.stat().st_size, path.read_bytes)]
        else:
            data = path.read_bytes()
            submission.sha256 = _sha256(data)
            members = _archive(path.name, data)
        submission.files = _choose(members, files)
        if not submission.sha256:
            parts = (f"{shown}\0".encode() + data for shown, data in submission.files.values())
            submission.sha256 = _sha256(b"\0".join(sorted(parts)))
        if not submission.files:
            submission.problem = f"found no file with a task in it, expected one of {', '.join(sorted(files)[:3])} ..."
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError,
            ArithmeticError, LookupError) as error:  # fmt: skip
        submission.problem = " ".join(str(error).split()) or type(error).__name__
    return submission


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _safe(name):
    """A member's name as clean path parts; ValueError where it escapes"""
    parts = pathlib.PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0] == "/" or ":" in parts[0] or "\0" in name:
        raise ValueError(f"found the path {name!r}, expected paths inside the archive")
    return parts


def _folder(root):
    """(name, size, reader) of the Python files below a folder; links that leave it are refused"""
    members, inside = [], root.resolve()
    for place in sorted(root.rglob("*.py")):
        if any(part in (".venv", "__pycache__", ".git") for part in place.relative_to(root).parts):
            continue
        if not place.resolve().is_relative_to(inside):
            raise ValueError(f"found {place.relative_to(root)}, a link out of the folder, expected files")
        if place.is_file():
            members.append((place.relative_to(root).as_posix(), place.stat().st_size, place.read_bytes))
        if len(members) > MOST_FILES:
            raise ValueError(f"found more than {MOST_FILES} files")
    return members


def _archive(name, data):
    if len(data) > MOST_ARCHIVE:
        raise ValueError(f"found {len(data)} bytes, expected at most {MOST_ARCHIVE}")
    if zipfile.is_zipfile(io.BytesIO(data)):
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
        _count(entries)
        for entry in entries:
            _safe(entry.filename)
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                raise ValueError(f"found {entry.filename}, a link, expected files")
        return [(e.filename, e.file_size, lambda e=e: _limited(archive.open(e))) for e in entries if not e.is_dir()]
    try:
        archive = tarfile.open(fileobj=io.BytesIO(data))
    except tarfile.TarError:
        raise ValueError(f"{name}: found neither zip nor tar, expected one of them") from None
    entries, total = [], 0
    for entry in archive:
        entries.append(entry)
        _count(entries)
        total += entry.size
        if total > MOST_ARCHIVE:  # before the next header is looked for, which would unpack everything up to it
            raise ValueError(f"found more than {MOST_ARCHIVE} bytes in the archive")
        _safe(entry.name)
        if not (entry.isfile() or entry.isdir()):
            raise ValueError(f"found {entry.name}, a link or a device, expected files")
    return [(e.name, e.size, lambda e=e: _limited(archive.extractfile(e))) for e in entries if e.isfile()]


def _count(entries):
    if len(entries) > MOST_FILES:
        raise ValueError(f"found more than {MOST_FILES} files")


def _limited(file):
    with file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"found a file of more than {MOST_BYTES} bytes")
    return data


def _choose(members, files):
    """{task file: (shown name, bytes)}"""
    bare = {}
    for file in files:
        bare.setdefault(pathlib.PurePosixPath(file).name, []).append(file)
    chosen = {}
    for name, size, read in members:
        parts = _safe(name)
        if not parts[-1].endswith(".py") or "__MACOSX" in parts or parts[-1].startswith("._"):
            continue
        whole = "/".join(parts)
        match = [file for file in files if whole == file or whole.endswith("/" + file)]
        exact = bool(match)
        if not match and "minimobilebert" not in parts and len(bare.get(parts[-1], ())) == 1:
            match = bare[parts[-1]]
        if not match:
            continue
        if size > MOST_BYTES:
            raise ValueError(f"found {name} of {size} bytes, expected at most {MOST_BYTES}")
        (file,) = match[:1]
        if file in chosen:
            if chosen[file][2] and exact:
                raise ValueError(f"found {chosen[file][0]} and {name}, expected one {file}")
            if chosen[file][2]:
                continue
        chosen[file] = (name, read, exact)
    return {file: (name, read()) for file, (name, read, _) in chosen.items()}
