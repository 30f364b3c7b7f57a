"""Read documents: the texts that come with the project, or your own folder of .txt files.

A document is one file: an address, a chapter, an article; text_files.py says which files of a folder are texts. Of two
documents with the same words one is left out: otherwise one could be trained on and the other be held out. Paragraphs
are found by one rule for both: where a file has blank lines they separate paragraphs, and a line break inside a
paragraph is a space; a file without blank lines has one paragraph a line.
"""

import hashlib
import itertools
import math
import pathlib
import re
from typing import NamedTuple

import numpy as np

from ..support.archive_members import FILE, FOLDER, ArchiveError
from ..support.archives import open_archive
from ..support.project import ROOT
from ..support.regular_files import decode_utf8, read_bytes
from ..support.terminal import say
from .sentences import split_sentences
from .text_files import COPY, HIDDEN, OTHER, LeftOut, find_texts, is_companion, is_text_name

SHIPPED_ARCHIVES = ("state-of-the-union.tar.bz2", "moby-dick.tar.bz2", "jane-austen.tar.bz2")
DATA_FOLDER = ROOT / "data"
MOST_BYTES = 2**28  # of one text: a library of 300 novels; cut it into documents
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
    return decode_utf8(content, place)


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


def _read_archive(path, left_out):
    """The texts of a .tar or .zip, by the rules for a folder, in the archive's order."""
    source, names = path.name.split(".tar")[0].removesuffix(".zip"), set()
    try:
        with open_archive(path) as archive:
            for member in archive.members:
                if not _is_text(member, left_out):
                    continue
                place = f"{path}:{member.name}"
                if member.parts in names:
                    raise ValueError(f"{place}: found it a second time, expected every name once")
                names.add(member.parts)
                yield _document(member.name, source, archive.read(member, MOST_BYTES), place)
    except ArchiveError as error:
        if is_text_name(path.name):
            raise ValueError(f"{path}: found a single text, expected the folder that holds it") from None
        raise ValueError(
            f"{path}: found a file that is not a readable .tar archive ({error}),"
            " expected a folder or an archive of .txt files"
        ) from None


def _is_text(member, left_out):
    """Whether a member of an archive is a text."""
    if member.kind == FOLDER:
        return False
    if any(map(is_companion, member.parts)):
        left_out.add(HIDDEN, member.name)
    elif not is_text_name(member.parts[-1] if member.parts else ""):
        left_out.add(OTHER, member.name)
    elif member.kind != FILE:
        left_out.add("a link or a device in an archive", member.name)
    else:
        return True
    return False


def _read_folder(path, left_out):
    source = path.resolve().name
    for file in find_texts(path, left_out):
        yield _document(file.relative_to(path).as_posix(), source, read_bytes(file, MOST_BYTES), file)


def _without_copies(documents, left_out):
    """Of documents with the same words in the same order only the first, however their lines are cut."""
    seen = set()
    for document in documents:
        digest = hashlib.sha256(" ".join(document.paragraphs).encode()).digest()
        if digest in seen:
            left_out.add(COPY, document.name)
        else:
            seen.add(digest)
            yield document


def read_documents(*places):
    """Read folders of .txt files (with their subfolders) and .tar archives of them, one document a file.

    places: paths -> list of Document, sorted by name within each place. What was found there and not read is said.
    ValueError, in one line: a place is missing or holds no .txt file; a file is empty or not UTF-8 (names the
    file and the byte); all the text together is too short to make a pair of sentences.
    """
    documents, left_out, places = [], LeftOut(), list(map(pathlib.Path, places))
    for path, other in itertools.permutations(places, 2):  # read twice, a text would be in both parts
        if path.resolve().is_relative_to(other.resolve()):
            raise ValueError(f"{path}: found a folder that is {other} or inside it, expected each text once")
    for path in places:
        if not path.exists():
            raise ValueError(f"{path}: not found, expected a folder of .txt files")
        found = list(_read_folder(path, left_out) if path.is_dir() else _read_archive(path, left_out))
        if not found:
            others = left_out.sentence()
            raise ValueError(f"{path}: found no .txt file{f', but {others}' if others else ''}, expected at least one")
        documents += found
    documents = list(_without_copies(documents, left_out))
    if sentence := left_out.sentence():
        say(f"text: {', '.join(map(str, places))}: left out {sentence}")
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
