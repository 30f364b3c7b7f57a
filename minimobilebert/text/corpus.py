"""Read documents: the shipped texts, or folders of .txt files.

A document is one file, such as an address, a chapter or an article; text_files.py selects the files of a folder. We
drop duplicates of a document, because one copy could be in the training set and another in the held-out set. If a file
has blank lines, they separate paragraphs, and a line break inside a paragraph is a space. Without blank lines, each
line of the file is a paragraph.
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
from .text_files import COPY, HIDDEN, LeftOut, find_texts, is_companion, is_text_name, other

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


def decode_text(content, location):
    """UTF-8 bytes, with or without a byte-order mark -> str. ValueError with `location` and the byte's position."""
    if b"\0" in content:
        raise ValueError(f"{location}: found a NUL byte at byte {content.index(0)}, expected text in UTF-8")
    return decode_utf8(content, location)


def split_paragraphs(text):
    """text: str -> its paragraphs, list of str; the rule is at the top of this file."""
    parts = re.split(r"\n\s*\n", text.strip().replace("\r\n", "\n"))
    if len(parts) == 1:
        parts = parts[0].split("\n")
    return [words for words in (" ".join(part.split()) for part in parts) if words]


def _document(name, source, content, location):
    paragraphs = split_paragraphs(decode_text(content, location))
    if not paragraphs:
        raise ValueError(f"{location}: found no text, expected at least one sentence")
    return Document(name, source, paragraphs)


def texts_in_archive(path, left_out):
    """Yield the name, location and content (bytes) of the texts in a .tar or .zip archive, by the rules for a folder"""
    names = set()
    try:
        with open_archive(path) as archive:
            for member in archive.members:
                if not _is_text(member, left_out):
                    continue
                location = f"{path}:{member.name}"
                if member.parts in names:
                    raise ValueError(f"{location}: found it a second time, expected every name once")
                names.add(member.parts)
                yield member.name, location, archive.read(member, MOST_BYTES)
    except ArchiveError as error:
        if is_text_name(path.name):
            raise ValueError(f"{path}: found a single text, expected the folder that holds it") from None
        raise ValueError(
            f"{path}: found a file that is not a readable .tar archive ({error}),"
            " expected a folder or an archive of .txt files"
        ) from None


def _read_archive(path, left_out):
    source = path.name.split(".tar")[0].removesuffix(".zip")
    for name, location, content in texts_in_archive(path, left_out):
        yield _document(name, source, content, location)


def _is_text(member, left_out):
    """True if a member of an archive is a text; else `left_out` counts it, unless it is a folder."""
    if member.kind == FOLDER:
        return False
    if any(map(is_companion, member.parts)):
        left_out.add(HIDDEN, member.name)
    elif not is_text_name(member.parts[-1] if member.parts else ""):
        left_out.add(other(), member.name)
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
    """Yields the first of all documents with the same words; line breaks make no difference."""
    seen = set()
    for document in documents:
        digest = hashlib.sha256(" ".join(document.paragraphs).encode()).digest()
        if digest in seen:
            left_out.add(COPY, document.name)
        else:
            seen.add(digest)
            yield document


def check_each_once(paths):
    """ValueError if one of the paths is in another one, or is another one."""
    for path, outer in itertools.permutations(paths, 2):
        if path.resolve().is_relative_to(outer.resolve()):
            raise ValueError(f"{path}: found a folder that is {outer} or inside it, expected each text once")


def read_documents(*paths):
    """Read folders of .txt files (including subfolders) and archives of them, one document per file.

    paths: folders and archives -> list of Document, sorted by name within each path; skipped files are reported.
    ValueError of one line if a path is missing or has no .txt file, if a file is empty or not UTF-8 (with the byte's
    position), or if the text has only one sentence.
    """
    documents, left_out, paths = [], LeftOut(), list(map(pathlib.Path, paths))
    check_each_once(paths)  # a text that is read twice could be trained on and held out
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: not found, expected a folder of .txt files")
        found = list(_read_folder(path, left_out) if path.is_dir() else _read_archive(path, left_out))
        if not found:
            others = left_out.sentence()
            raise ValueError(f"{path}: found no .txt file{f', but {others}' if others else ''}, expected at least one")
        documents += found
    documents = list(_without_copies(documents, left_out))
    if sentence := left_out.sentence():
        say(f"text: {', '.join(map(str, paths))}: left out {sentence}")
    if len(documents) == 1 and len(documents[0].sentences()) < 2:
        raise ValueError(f"{path}: found one sentence in all, expected at least two to make a pair")
    return documents


def shipped_archives(folder=DATA_FOLDER):
    """The archives in the project's `data/` folder -> paths. ValueError with advice if one is missing."""
    for name in SHIPPED_ARCHIVES:
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder / name}: not found; the shipped texts are in the project's data/ folder: run from a clone "
                "installed with `pip install -e .`, or give your own folder of .txt files"
            )
    return [folder / name for name in SHIPPED_ARCHIVES]


def shipped_documents(folder=DATA_FOLDER):
    """The documents in the project's `data/` folder: the addresses, Moby-Dick and the six novels, in this order."""
    return read_documents(*shipped_archives(folder))


def split_documents(documents, held_out_fraction, seed):
    """Hold out whole documents, evenly distributed over each source.

    We sort the n documents of a source by name, split them into k = n * held_out_fraction runs of (almost) equal
    length, and hold out one random document of each run. Both parts then have early and late addresses and all novels.
    A source with one document is training text.
    documents: list of Document; 0 < held_out_fraction < 1; seed: int -> training documents, held-out documents
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
            " cut the text into several .txt files, for example one per chapter"
        )
    training = [document for i, document in enumerate(documents) if i not in held_out]
    return training, [documents[i] for i in sorted(held_out)]
