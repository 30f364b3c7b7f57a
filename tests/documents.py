"""What the documents name: their commands, options, files, links and snippets, each with its file and line.

A command is a line of a fenced or indented block, or code in backquotes, that begins with `make`, with
`python -m minimobilebert`, with `python FILE.py`, or with one of our commands and its arguments (`embed 'A ship.'`).
A remark after `#` or after two blanks is no part of it; a line that ends with a backslash goes on in the next one.
"""

import pathlib
import re
from typing import NamedTuple

from minimobilebert.cli import COMMANDS
from minimobilebert.course.teacher.edition_texts import README as EDITION_README

ROOT = pathlib.Path(__file__).resolve().parents[1]
MARKDOWN = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "lessons").rglob("*.md"))]
# Their comments and texts carry code in backquotes only.
OTHERS = [*(ROOT / "lessons" / name for name in ("course.toml", "grading.toml")),
          *sorted((ROOT / "lessons").glob("*/walkthrough.py"))]  # fmt: skip

_QUOTED = r"""'[^']*'|"[^"]*\""""
_WORD = rf"""(?:{_QUOTED}|[^\s'"#])(?:{_QUOTED}|[^\s'"])*"""
_LINE = re.compile(rf"{_WORD}(?: {_WORD})*")
_PYTHON = r"(?:\S*/)?python3? "


class Code(NamedTuple):
    place: str  # "lessons/README.md:12"
    text: str
    kind: str  # "line" of a block without a language, "inline", or the language of a fenced block


def _at(path, text, position):
    name = path.relative_to(ROOT).as_posix() if path.is_absolute() else path.as_posix()
    return f"{name}:{text.count(chr(10), 0, position) + 1}"


def codes_of(path, text):
    """All code of a Markdown text: lines of blocks, whole blocks in a language, and what stands in backquotes."""
    found = []

    def take(match):  # a block is taken out of the text, so that what is left is prose; its line ends stay
        language, body = match[1], match[2]
        if language:
            found.append(Code(_at(path, text, match.start()), body, language))
        else:
            for line in re.finditer(r"^(?:.*\\\n)*.*\S.*$", body, re.MULTILINE):
                whole = re.sub(r"\s*\\\n\s*", " ", line[0]).strip()
                found.append(Code(_at(path, text, match.start(2) + line.start()), whole, "line"))
        return re.sub(r"[^\n]", " ", match[0])

    prose = re.sub(r"^```(\w*)\n(.*?)^```$", take, text, flags=re.MULTILINE | re.DOTALL)
    for line in re.finditer(r"^ {4,}(\S.*)$", prose, re.MULTILINE):
        found.append(Code(_at(path, text, line.start()), line[1], "line"))
    for inline in re.finditer(r"`([^`]+)`", prose):
        found.append(Code(_at(path, text, inline.start()), " ".join(inline[1].split()), "inline"))
    return found


def codes():
    """Of all documents, and of the README that a student edition gets."""
    found = [code for path in MARKDOWN for code in codes_of(path, path.read_text(encoding="utf-8"))]
    for path in OTHERS:
        text = re.sub(r"^# ", "  ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)  # comments are prose
        found += [code for code in codes_of(path, text) if code.kind == "inline"]
    edition = pathlib.Path("minimobilebert/course/teacher/edition_texts.py, README")
    return found + codes_of(edition, EDITION_README.format(first="02.1", count=1))


def commands_in(code):
    """The commands of a piece of code, in one spelling: "make ..." or "python ..."."""
    match = _LINE.match(code.text)
    for part in match[0].split(" && ") if match else []:
        if re.match(rf"{_PYTHON}(-m minimobilebert( |$)|\S+\.py)", part):
            yield re.sub(rf"^{_PYTHON}", "python ", part)
        elif part == "make" or part.startswith("make "):
            yield part
        elif code.kind == "inline" and re.match(r"[a-z-]+ [-'\"]", part) and part.split()[0] in COMMANDS:
            yield f"python -m minimobilebert {part}"


def documented_commands():
    """{command: [(place, as it stands there)]}, tasks and lessons replaced by TASK and LESSON, because there are many"""
    found = {}
    for code in codes():
        for command in commands_in(code) if code.kind in ("line", "inline") else ():
            key = re.sub(r"(\bT=|\bcheck |\bmutants )(\d\d(\.\d)?|\.\.\.)$", r"\1TASK", command)
            key = re.sub(r"lessons/\w+/walkthrough", "lessons/LESSON/walkthrough", key)
            found.setdefault(key, []).append((code.place, command))
    return found


def documented_options():
    """[(place, code)]: options and variables that stand alone in backquotes, such as `--max-query 16`, `SEED=n`"""
    return [(code.place, code.text) for code in codes() if code.kind == "inline"
            and re.match(r"--[a-z]|[A-Z_]+=\S", code.text)]  # fmt: skip
