"""Read documents: the texts that come with the project, or your own folder of .txt files.

A document is one file: an address, a chapter, an article. Paragraphs are found by one rule for both: where a
file has blank lines they separate paragraphs, and a line break inside a paragraph is a space; a file without
blank lines has one paragraph a line.
"""

import itertools
import lzma
import math
import pathlib
import re
import tarfile
import zlib
from typing import NamedTuple

import numpy as np

from .sentences import split_sentences

SHIPPED_ARCHIVES = ("state-of-the-union.tar.bz2", "moby-dick.tar.bz2", "jane-austen.tar.bz2")
DATA_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "data"
_SPLIT_STREAM = 201


class Document(NamedTuple):
    name: str  # the file's path inside its folder or archive, "1862_abraham_lincoln_r.txt"
    source: str  # the folder's or archive's name, "state-of-the-union"
    paragraphs: list  # of str, at least one

    def sentences(self):
        """All sentences of the document in order, list of str."""
        return [sentence for paragraph in self.paragraphs for sentence in split_sentences(paragraph)]


def decode_text(content, place):
    """bytes -> str from UTF-8, with or without a byte-order mark. ValueError names `place` and the byte."""
    if b"\0" in content:
        raise ValueError(f"{place}: found a NUL byte at byte {content.index(0)}, expected text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # "utf-8-sig" counts from behind the byte-order mark; the file does not.
        offset = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        raise ValueError(
            f"{place}: found byte 0x{content[offset]:02x} at byte {offset}, expected text in UTF-8"
        ) from None


def split_paragraphs(text):
    """text: str -> its paragraphs, list of str, by the rule at the top of this file."""
    parts = re.split(r"\n\s*\n", text.strip().replace("\r\n", "\n"))
    if len(parts) == 1:
        parts = parts[0].split("\n")
    return [words for words in (" ".join(part.split()) for part in parts) if words]


def _document(name, source, content, place):
    paragraphs = split_paragraphs(decode_text(content, place))
    if not paragraphs:
        raise ValueError(f"{place}: found no text, expected at least one sentence")
    return Document(name, source, paragraphs)


def _read_archive(path):
    source = path.name.split(".tar")[0]
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".txt"):
                    content = archive.extractfile(member).read()
                    yield _document(member.name, source, content, f"{path}:{member.name}")
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError):
        raise ValueError(
            f"{path}: found a file that is not a readable .tar archive, expected a folder or an archive of .txt files"
        ) from None


def _read_folder(path):
    for file in sorted(path.rglob("*.txt")):
        yield _document(file.relative_to(path).as_posix(), path.resolve().name, file.read_bytes(), file)


def read_documents(*places):
    """Read folders of .txt files (with their subfolders) and .tar archives of them, one document a file.

    places: paths -> list of Document, sorted by name within each place.
    ValueError, in one line: a place is missing or holds no .txt file; a file is empty or not UTF-8 (names the
    file and the byte); all the text together is too short to make a pair of sentences.
    """
    documents, places = [], list(map(pathlib.Path, places))
    for path, other in itertools.permutations(places, 2):  # read twice, a text would be in both parts
        if path.resolve().is_relative_to(other.resolve()):
            raise ValueError(f"{path}: found a folder that is {other} or inside it, expected each text once")
    for path in places:
        if not path.exists():
            raise ValueError(f"{path}: not found, expected a folder of .txt files")
        found = list(_read_folder(path) if path.is_dir() else _read_archive(path))
        if not found:
            raise ValueError(f"{path}: found no .txt file, expected at least one")
        documents += found
    if len(documents) == 1 and len(documents[0].sentences()) < 2:
        raise ValueError(f"{path}: found one sentence in all, expected at least two to make a pair")
    return documents


def shipped_documents(folder=DATA_FOLDER):
    """The documents in the `data/` folder of the project: the addresses, then Moby Dick, then the six novels."""
    for name in SHIPPED_ARCHIVES:
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder / name}: not found; the shipped texts are in the project's data/ folder: run from a clone "
                "installed with `pip install -e .`, or give your own folder of .txt files"
            )
    return read_documents(*(folder / name for name in SHIPPED_ARCHIVES))


def split_documents(documents, held_out_fraction, seed):
    """Hold out whole documents, spread evenly over every source.

    The n documents of a source, sorted by name, are cut into k = n * held_out_fraction runs of (almost) equal
    length, and one document of each run is held out at random. So early and late addresses, and every novel,
    are in both parts. A source of one document is all training text.
    documents: list of Document; 0 < held_out_fraction < 1; seed: int -> training documents, held-out documents.
    """
    if not 0.0 < held_out_fraction < 1.0:
        raise ValueError(f"held_out_fraction: found {held_out_fraction}, expected a number between 0 and 1")
    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    held_out = set()
    for source in sorted({document.source for document in documents}):
        order = [i for i, document in enumerate(documents) if document.source == source]
        order.sort(key=lambda i: documents[i].name)
        if len(order) == 1:
            continue
        runs = min(max(math.floor(len(order) * held_out_fraction + 0.5), 1), len(order) - 1)
        held_out.update(int(rng.choice(run)) for run in np.array_split(order, runs))
    if not held_out:
        raise ValueError(
            f"{documents[0].source}: found {len(documents)} document(s), expected at least 2, because one is held out:"
            " cut the text into several .txt files, for example one a chapter"
        )
    training = [document for i, document in enumerate(documents) if i not in held_out]
    return training, [documents[i] for i in sorted(held_out)]
