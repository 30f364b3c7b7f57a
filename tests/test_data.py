"""The archives in data/, and the script that rebuilds them."""

import bz2
import functools
import hashlib
import importlib.util
import io
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib

import pytest

from minimobilebert.text.corpus import SHIPPED_ARCHIVES, read_documents, shipped_documents

COMPRESS = functools.cache(bz2.compress)  # what takes seconds, and is the same for both ways to rebuild
DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="module")
def rebuild():
    specification = importlib.util.spec_from_file_location("rebuild", DATA / "rebuild.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def documents():
    return shipped_documents()


def test_checksums():
    sums = dict(line.split()[::-1] for line in (DATA / "SHA256SUMS").read_text().splitlines())
    assert sorted(sums) == sorted(SHIPPED_ARCHIVES)
    for name, digest in sums.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest, name
        assert digest in (DATA / "README.md").read_text()


def test_readme_counts(documents):
    for row in re.findall(r"^\| `.*", (DATA / "README.md").read_text(), re.MULTILINE):
        name, _, *counts = (cell.strip(" `") for cell in row.strip("|").split("|")[:5])
        ours = [d for d in documents if f"{d.source}.tar.bz2" == name]
        paragraphs = [paragraph for d in ours for paragraph in d.paragraphs]
        found = (len(ours), len(paragraphs), sum(len(paragraph.split()) for paragraph in paragraphs))
        assert [f"{n:,}" for n in found] == counts, name
    assert len({(d.source, d.name) for d in documents}) == len(documents) == 640


def test_an_archive_written_again_is_the_same(rebuild, tmp_path):
    documents = read_documents(DATA / "moby-dick.tar.bz2")
    rebuild.write_archive(tmp_path / "again.tar.bz2", {d.name: d.paragraphs for d in reversed(documents)})
    assert (tmp_path / "again.tar.bz2").read_bytes() == (DATA / "moby-dick.tar.bz2").read_bytes()


def test_clean_paragraphs(rebuild):
    assert rebuild.clean_paragraphs("\n\nA  line\nand more.\n \n\nNext\x02 one.\n") == ["A line and more.", "Next one."]


def test_r_database(rebuild):
    texts = [["EMMA", "", "café"], [], ["x"] * 1000]
    assert list(rebuild.lines_of_r_database(r_database(texts))) == texts


def packages_of(documents, folder, files):
    """The packages that hold these documents, as their publishers pack them -> the novels' database"""
    for source, name in (("state-of-the-union", "sotu"), ("moby-dick", "moby-dick")):
        with tarfile.open(folder / files[name], "w:gz") as archive:
            for document in (d for d in documents if d.source == source):
                chapter = re.fullmatch(r"chapter-(\d+)\.txt", document.name)
                inside = f"chapter_{int(chapter[1])}.txt" if chapter else document.name
                data = "\n\n".join(document.paragraphs).encode()
                member = tarfile.TarInfo(f"package/data/{inside}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    (folder / files["austen"]).touch()  # dpkg-deb is asked for what is in it
    novels = {}
    for document in (d for d in documents if d.source == "jane-austen"):
        novel, number = re.fullmatch(r"(.+)/chapter-(\d+)\.txt", document.name).groups()
        lines = [line for paragraph in document.paragraphs for line in (paragraph, "")]
        novels.setdefault(novel, []).extend([f"CHAPTER {int(number)}", *lines])
    return novels


def r_database(texts):
    """Lists of lines as R writes them, a block each"""
    content = b""
    for lines in texts:
        strings = b"".join(struct.pack(">2I", 0x40009, len(s.encode())) + s.encode() for s in lines)
        block = b"X\n" + struct.pack(">4I", 3, 0x40201, 0x30500, 5) + b"UTF-8" + struct.pack(">2I", 16, len(lines))
        content += struct.pack(">I", len(block + strings)) + zlib.compress(block + strings)
    return content


@pytest.mark.parametrize("arguments", [[], ["--packages", "FOLDER"]])
def test_the_archives_can_be_rebuilt(rebuild, documents, tmp_path, monkeypatch, capsys, arguments):
    """data/rebuild.py, with the package managers' part played by the test: the committed bytes come out again."""
    (tmp_path / "FOLDER").mkdir()
    novels = packages_of(documents, tmp_path / "FOLDER", rebuild.FILES)
    titles = {folder: title for title, folder in rebuild.NOVELS.items()}
    database = r_database([[titles[novel], *lines] for novel, lines in novels.items()])

    def run(command, cwd=None, **_):
        output = io.BytesIO()
        if command[0] == "dpkg-deb":
            with tarfile.open(fileobj=output, mode="w") as archive:
                member = tarfile.TarInfo("./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
                member.size = len(database)
                archive.addfile(member, io.BytesIO(database))
        else:
            assert command[:2] in (["npm", "pack"], ["apt-get", "download"])
            shutil.copytree(tmp_path / "FOLDER", cwd, dirs_exist_ok=True)
        return subprocess.CompletedProcess(command, 0, output.getvalue(), "")

    monkeypatch.setattr(rebuild.subprocess, "run", run)
    monkeypatch.setattr(rebuild.bz2, "compress", COMPRESS)
    monkeypatch.setattr(rebuild.shutil, "which", lambda name: name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rebuild.py", *arguments, "--output", str(tmp_path)])
    assert rebuild.main() == 0, capsys.readouterr().out
    for name in SHIPPED_ARCHIVES:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


def test_spot_checks(documents):
    by_name = {(d.source, d.name): d.paragraphs for d in documents}
    assert by_name["moby-dick", "chapter-001.txt"][:2][0] == "CHAPTER 1. Loomings."
    assert by_name["moby-dick", "chapter-001.txt"][1].startswith("Call me Ishmael.")
    assert by_name["jane-austen", "emma/chapter-01.txt"][0].startswith("Emma Woodhouse, handsome, clever, and rich")
    assert by_name["jane-austen", "persuasion/chapter-24.txt"][-1].endswith("than in its national importance.")
    assert "the last best hope of earth" in by_name["state-of-the-union", "1862_abraham_lincoln_r.txt"][0]
    novels = [name.split("/")[0] for source, name in by_name if source == "jane-austen"]
    assert {n: novels.count(n) for n in novels} == {
        "emma": 55, "mansfield-park": 48, "northanger-abbey": 31,
        "persuasion": 24, "pride-and-prejudice": 61, "sense-and-sensibility": 50,
    }  # fmt: skip
