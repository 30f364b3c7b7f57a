"""Which files of a folder are texts: everything there is read, refused, or counted in one line."""

import io
import os
import pathlib
import socket
import tarfile

import pytest

from minimobilebert.cli import main
from minimobilebert.text.corpus import read_documents, split_documents
from minimobilebert.text.sources import find_sources

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders, and links need rights there")


def write(folder, *names):
    """Texts, each with words of its own."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"This is {name}. It has two sentences.", encoding="utf-8")


def read(folder, capsys):
    """-> names of the documents, the line about the rest ("" for none)"""
    names = [document.name for document in read_documents(folder)]
    error = capsys.readouterr().err
    assert error.count("\n") <= 1
    return names, error


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], ""),
        ([".ipynb_checkpoints/a-checkpoint.txt"], "1 hidden or an editor's ('.ipynb_checkpoints')"),
        ([".ipynb_checkpoints/a.txt", ".ipynb_checkpoints/b.txt", ".git/x.txt"], "2 hidden or an editor's ('.git')"),
        (["._a.txt", ".DS_Store", "__MACOSX/._a.txt"], "3 hidden or an editor's ('.DS_Store')"),
        (["a.txt~", "#a.txt#", ".a.txt.swp", "~$a.txt", ".#a.txt"], "5 hidden or an editor's ('#a.txt#')"),
        (["notes.md", "b.txt.bak", "c.text", "txt"], "4 not named .txt ('b.txt.bak')"),
        (["d/.hidden/x.txt", "d/._x.txt", "d/x.doc"], "2 hidden or an editor's ('d/._x.txt'), 1 not named .txt ('d/x.doc')"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_counted(tmp_path, capsys, others, words):
    write(tmp_path, "a.txt", "d/e.txt", *others)
    names, line = read(tmp_path, capsys)
    assert names == ["a.txt", "d/e.txt"]
    assert line == (f"text: {tmp_path}: left out {words}\n" if words else "")


def test_upper_case_names_and_folders_that_end_in_txt_are_read(tmp_path, capsys):
    write(tmp_path, "A.TXT", "b.Txt", "c.txt/d.txt", "e.txt/f.TXT")
    names, line = read(tmp_path, capsys)
    assert names == ["A.TXT", "b.Txt", "c.txt/d.txt", "e.txt/f.TXT"] and line == ""


def test_copies_are_left_out_so_that_no_text_is_on_both_sides_of_the_split(tmp_path, capsys):
    """A copy may have another byte-order mark, other line ends, other blanks."""
    write(tmp_path, *(f"{number:02d}.txt" for number in range(20)))
    for number in range(20):
        text = (tmp_path / f"{number:02d}.txt").read_text()
        (tmp_path / f"copy of {number:02d}.txt").write_bytes(
            b"\xef\xbb\xbf" + text.replace(" ", "  ").encode() + b"\r\n"
        )
    documents = read_documents(tmp_path)
    assert "left out 20 a copy of another text ('copy of 00.txt')" in capsys.readouterr().err
    training, held_out = split_documents(documents, 0.3, 1)
    assert len(training) + len(held_out) == 20 and len(held_out) == 6
    assert not {d.paragraphs[0] for d in training} & {d.paragraphs[0] for d in held_out}


@posix
def test_linked_folders_are_read_once(tmp_path, capsys):
    folder = tmp_path / "texts"
    write(folder, "a.txt", "d/b.txt")
    write(tmp_path / "elsewhere", "c.txt", "deep/e.txt")
    os.symlink(tmp_path / "elsewhere", folder / "0 link")
    os.symlink(tmp_path / "elsewhere", folder / "again")
    os.symlink(folder, folder / "d" / "loop")
    os.symlink(folder / "d", folder / "00 to d")
    os.symlink("self", folder / "self")
    os.symlink("nowhere", folder / "notes")
    os.symlink("nowhere", folder / ".#a.txt")  # Emacs' lock
    names, line = read(folder, capsys)
    assert sorted(name.rpartition("/")[2] for name in names) == ["a.txt", "b.txt", "c.txt", "e.txt"]
    assert "d/b.txt" in names and "3 linked a second time" in line and "2 not named .txt ('notes')" in line
    assert "1 hidden" in line


@posix
@pytest.mark.parametrize("kind", ["pipe", "socket", "link to nothing", "link to itself", "link to a device"])
def test_a_text_that_is_no_file_is_refused(tmp_path, kind):
    """A pipe would be waited for without end."""
    write(tmp_path, "a.txt", "b.txt")
    place = tmp_path / "x.txt"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as server:
            patch.chdir(tmp_path)  # a socket's path is short
            server.bind("x.txt")
    else:
        os.symlink(
            {"link to nothing": "nowhere", "link to itself": "x.txt", "link to a device": "/dev/zero"}[kind], place
        )
    with pytest.raises(ValueError, match=r"x.txt: found .*, expected a file"):
        read_documents(tmp_path)
    if kind != "link to a device":  # a companion's name: not even looked at
        place.rename(tmp_path / ".x.txt")
        assert len(read_documents(tmp_path)) == 2


@posix
def test_a_place_that_is_no_folder_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for place, words in ((tmp_path / "pipe", "found a pipe, expected a file"), ("/dev/zero", "found a device")):
        assert main(["train-tiny", "--text", str(place), "--out", str(tmp_path / "run")]) == 2
        assert f"{place}: {words}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path):
    write(tmp_path, "a.txt", "d/b.txt")
    for place in (tmp_path / "d", tmp_path / "a.txt"):
        place.chmod(0)
        with pytest.raises(PermissionError, match=place.name):
            read_documents(tmp_path)
        place.chmod(0o700)


def test_a_folder_with_other_files_only_says_so(tmp_path):
    write(tmp_path, "a.md", ".a.txt")
    with pytest.raises(
        ValueError, match=r"found no .txt file, but 1 hidden .*, 1 not named .txt .*, expected at least"
    ):
        read_documents(tmp_path)


def test_archives_in_a_folder_have_to_be_named(tmp_path):
    """The project's own folder data/ has nothing else. All readers of folders say so in the same words."""
    (tmp_path / "a.tar.bz2").write_bytes(b"")
    (tmp_path / "b.ZIP").write_bytes(b"")
    words = r"but 2 packed, read only if named directly \('a.tar.bz2'\), expected at least one"
    with pytest.raises(ValueError, match=f"found no .txt file, {words}"):
        read_documents(tmp_path)
    with pytest.raises(ValueError, match=f"found no text, {words}"):
        find_sources([tmp_path])


def test_folders_below_each_other_a_thousand_times(tmp_path):
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1010):
            os.mkdir("d")
            os.chdir("d")
        write(pathlib.Path(), "a.txt")
        assert len(read_documents(tmp_path)) == 1
        os.remove("a.txt")
        for _ in range(1010):
            os.chdir("..")
            os.rmdir("d")
    finally:
        os.chdir(here)


def archive_of(path, members):
    """{name: bytes or a TarInfo's type} as a .tar"""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
            else:
                member.type, member.linkname = content, "a.txt"
                archive.addfile(member)


def test_the_same_rules_hold_inside_of_archives(tmp_path, capsys):
    archive_of(tmp_path / "a.tar", [
        ("a.txt", "One. Two."), ("./B.TXT", "Three. Four."), ("._a.txt", "x"), (".git/a.txt", "x"), ("notes.md", "x"),
        ("d", tarfile.DIRTYPE), ("copy.txt", "One. \r\nTwo."), ("link.txt", tarfile.SYMTYPE), ("p.txt", tarfile.FIFOTYPE),
    ])  # fmt: skip
    names, line = read(tmp_path / "a.tar", capsys)
    assert names == ["a.txt", "./B.TXT"] or names == ["a.txt", "B.TXT"]
    for words in ("2 hidden", "1 not named .txt", "2 a link or a device in an archive ('link.txt')", "1 a copy"):
        assert words in line
    archive_of(tmp_path / "b.tar", [("a.txt", "One. Two."), ("a.txt", "One. Three.")])
    with pytest.raises(ValueError, match=r"b.tar:a.txt: found it a second time, expected every name once"):
        read_documents(tmp_path / "b.tar")
