"""What the README and the lessons name exists: links, files, functions; and what they show of Python and TOML works."""

import ast
import builtins
import dataclasses
import functools
import importlib
import importlib.util
import json
import re
import tomllib

from documents import MARKDOWN, OTHERS, ROOT, codes

from minimobilebert.course.sandbox.host import Worker
from minimobilebert.course.shared import manifest, properties
from minimobilebert.course.shared.checking import run_task
from minimobilebert.course.shared.cutting import defines
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.shared.trial import Live
from minimobilebert.course.teacher import mutants
from minimobilebert.distilling import settings as distil_settings
from minimobilebert.pipeline import settings as tiny_settings
from minimobilebert.support.numbers import value_of
from minimobilebert.verification.digest import digest_of
from minimobilebert.verification.run import EXPECTED
from minimobilebert.verification.training import TRAININGS

PACKAGE = ROOT / "minimobilebert"
MADE = {"a1.toml", "AGENTS.md"}  # files that the reader, or `student`, makes
OF_OTHERS = {"NUMBA_CACHE_DIR", "distill_temperature", "padding_idx"}  # Numba, the released program, PyTorch
FILE = r"(?:[\w-]+/)*[\w-]+\.(?:py|toml|md|svg|tar\.bz2)"
PLACE = re.compile(rf"({FILE})(?::([\w.]+))?")


def texts():
    """Every document -> (name, text)"""
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in [*MARKDOWN, *OTHERS]]


def folders_of(document):
    """Where a path in it may begin: the root, the package, its own folder; AUTHORS.md speaks of a lesson's folder."""
    own = (ROOT / document).parent
    lesson = [*own.glob("*_*"), PACKAGE / "course" / "shared"] if document == "lessons/AUTHORS.md" else []
    return [ROOT, PACKAGE, own, *lesson]


def found(document, path):
    return next((folder / path for folder in folders_of(document) if (folder / path).exists()), None)


def anchors(text):
    """The anchors of a Markdown text's headings, as GitHub makes them"""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(path):
    """Relative links of a Markdown file that lead nowhere; addresses in the network are not asked."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        there = path.parent / name if name else path
        if re.match(r"https?://\w", target):
            continue
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            yield f"{path}: {target}"


def test_links_lead_somewhere():
    assert [link for path in MARKDOWN for link in dead_links(path)] == []


def test_links_with_an_anchor_are_looked_up():
    assert {"two-commands", "what-make-train-tiny-does"} <= anchors((ROOT / "README.md").read_text(encoding="utf-8"))


def test_files_and_their_functions_exist():
    """`file.py`, `file.py:function`, `folder/`, in backquotes; in the manifest and the walkthroughs without them, too."""
    places = [(code.place, code.text) for code in codes() if code.kind == "inline"]
    for path in OTHERS:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(rf"(?<![\w/.])(?:\w+/)+{FILE}(?::[\w.]+)?", text):
            places.append(
                (f"{path.relative_to(ROOT).as_posix()}:{text.count(chr(10), 0, match.start()) + 1}", match[0])
            )
    wrong, files, functions = [], 0, 0
    for place, text in places:
        document = place.rpartition(":")[0]
        if match := PLACE.fullmatch(text):
            file, name = match.groups()
            path = found(document, file)
            if (path is None and file not in MADE) or (
                name and path and not defines(path.read_text(encoding="utf-8"), name)
            ):
                wrong.append(f"{place}: {text}")
            files, functions = files + 1, functions + bool(name)
        elif re.fullmatch(r"(\w+/)+|(minimobilebert|lessons|data|tests)(/\w+)+", text):
            wrong += [] if found(document, text) else [f"{place}: {text}"]
    assert wrong == [] and files > 300 and functions > 200


def test_rooms_in_the_plan_of_the_house_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    plan = re.search(r"^```\n( cli\.py .*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    named = re.findall(r"\b([a-z_]+/|[a-z_]+\.py)(?=[ :])", plan)
    assert [name for name in named if not (PACKAGE / name).exists()] == []
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name.strip("/") for name in named if name.endswith("/")} == rooms


@functools.cache
def names_in_the_project():
    """Every name that its programs use: functions, classes, arguments, attributes, keys of settings"""
    names = set(dir(builtins))
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "lessons").rglob("*.py"), *(ROOT / "data").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for field in ("id", "name", "attr", "arg"):
                names.add(getattr(node, field, None))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
                names |= set(node.value.split("."))  # keys and parameters' names, no sentences
    return names


def test_names_in_backquotes_are_names_of_the_project():
    """`transfer_losses`, `ModelConfig`, `minimobilebert.course.sandbox.wire`: what has an underline, two capitals or our package in it."""
    wrong, count = [], 0
    for code in codes():
        text = code.text.removesuffix("()")
        if code.kind != "inline" or "_" not in text and not re.match(r"[A-Z][a-z]+[A-Z]|minimobilebert\.", text):
            continue
        if re.fullmatch(r"minimobilebert(\.\w+)+", text):
            module, _, name = text.rpartition(".")
            try:
                good = hasattr(importlib.import_module(module), name) or importlib.import_module(text)
            except ImportError:
                good = False
        elif re.fullmatch(r"[A-Za-z_]\w+", text):
            good = text in names_in_the_project() or text in OF_OTHERS
        else:
            continue
        count += 1
        wrong += [] if good else [f"{code.place}: {code.text}"]
    assert wrong == [] and count > 40


_ITEM = re.compile(r" {0,3}(?:[-+*]|1[.)]) +\S")


def broken_paragraphs(text):
    """Lines that are meant to go on a paragraph, and are list items to Markdown, since they begin with "- " or "+ "."""
    text = re.sub(r"^```.*?^```$", lambda block: re.sub(r".+", "```", block[0]), text, flags=re.MULTILINE | re.DOTALL)
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        in_paragraph = before.strip() and not re.match(r"\s*(?:[-+*] |\d+[.)] )|#|<|```|\||    |  \S", before)
        if in_paragraph and _ITEM.match(line):
            yield number
        before = line


def test_no_paragraph_breaks_into_a_list():
    assert [f"{path}:{line}" for path in MARKDOWN for line in broken_paragraphs(path.read_text(encoding="utf-8"))] == []
    assert list(broken_paragraphs("a sum of x\n+ y and\n\n- an item\n- another\n  - inside\n")) == [2]


# --- what is shown


def blocks(document, language):
    return [code for code in codes() if code.place.startswith(f"{document}:") and code.kind == language]


def test_the_entries_that_authors_are_shown_are_right():
    """AUTHORS.md: the fields of a task, and a mutant that fits the solution it is made from."""
    course = load()
    entry, mutant, reported = (tomllib.loads(block.text) for block in blocks("lessons/AUTHORS.md", "toml"))
    task = entry["lesson"]["task"][0]
    assert set(task) == {key.removesuffix("?") for key in manifest._TASK} and len(task["hints"]) == manifest.HINTS
    assert task["function"] == course.task(task["id"]).function
    lesson = course.lesson("02")
    made = mutants._mutant("AUTHORS.md", mutant["mutant"][0], mutants.solutions_of(course, lesson), lesson, {"02.2"})
    assert "mean(axis=0)" in made.source
    known = tomllib.loads((ROOT / "lessons/reported.toml").read_text(encoding="utf-8"))["answer"]
    assert reported["answer"][0] in known


def test_the_properties_that_authors_are_shown_are_properties(tmp_path):
    """AUTHORS.md: the bundles are made; the properties of texts and dicts pass for the project's own functions."""
    course, made = load(), []
    for number, block in enumerate(blocks("lessons/AUTHORS.md", "python")):
        file = tmp_path / f"shown_{number}.py"  # a driver is sent as text, so it has to stand in a file
        file.write_text(block.text, encoding="utf-8")
        properties._collected.clear()
        spec = importlib.util.spec_from_file_location(file.stem, file)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        made.append(list(properties._collected))
    bundles, written = made
    assert {each.task for each in bundles} == {"03.4", "03.5"} and all(each.title for each in bundles)
    assert [each.task for each in written] == ["16.2", "10.1"]
    with Worker(ROOT) as worker:
        for each in written:
            result = run_task(course.task(each.task), [each], worker, Live(), 1)
            assert result.passed, result.outcomes


def test_the_table_of_the_readme_was_made_by_this_arithmetic():
    """After a change of the bits, `make train-tiny` ends with other numbers than the README shows."""
    hashes = {name: json.loads(EXPECTED.read_text(encoding="utf-8"))[name] for name in TRAININGS}
    noted = re.search(r"<!-- made with bits (\w+) -->", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert noted and noted[1] == digest_of(hashes), (
        f"expected bits {digest_of(hashes)}: run `make train-tiny`, put its table into the README, and note these bits"
    )


def _documented_settings(command):
    """The settings that the reference lists for a command -> {name: text of its default}"""
    page = (ROOT / "lessons" / "reference.md").read_text(encoding="utf-8")
    section = page.split("### Settings of train-tiny and distil")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    block = blocks[{"train-tiny": 0, "distil": 2}[command]]
    return dict(word.split("=") for word in block.split() if "=" in word)


def test_the_reference_lists_the_settings_of_train_tiny_with_their_defaults():
    found = {name: value_of(text, tiny_settings.SHAPES[name], name)
             for name, text in _documented_settings("train-tiny").items()}  # fmt: skip
    assert {"seed": 1, **found} == dataclasses.asdict(tiny_settings.TinySettings())


def test_the_reference_lists_the_settings_of_distil_with_their_defaults():
    found = _documented_settings("distil")
    assert {"seed", "relation_heads", *found} == set(distil_settings.SHAPES)
    for name, text in found.items():
        shape, default = distil_settings.SHAPES[name], getattr(distil_settings.DistilSettings, name)
        value = value_of(text, shape, name)  # "auto" is one only where a setting may depend on the teacher
        assert value == "auto" or value == default, name
