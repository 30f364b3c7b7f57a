"""The archives in data/, and the script that rebuilds them."""

import hashlib
import importlib.util
import pathlib
import re
import struct
import zlib

import pytest

from minimobilebert.text.corpus import SHIPPED_ARCHIVES, read_documents, shipped_documents

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
    def block(lines):
        strings = b"".join(struct.pack(">2I", 0x40009, len(s.encode())) + s.encode() for s in lines)
        content = b"X\n" + struct.pack(">4I", 3, 0x40201, 0x30500, 5) + b"UTF-8" + struct.pack(">2I", 16, len(lines))
        return struct.pack(">I", len(content + strings)) + zlib.compress(content + strings)

    texts = [["EMMA", "", "café"], [], ["x"] * 1000]
    assert list(rebuild.lines_of_r_database(b"".join(map(block, texts)))) == texts


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
