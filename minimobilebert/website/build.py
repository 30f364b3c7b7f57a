"""The site: Markdown of the project  ->  copies with adapted links  ->  Sphinx  ->  check of all links  ->  a folder.

Sphinx reads the Markdown with MyST-Parser, and draws pages with the theme Furo. The project has no second copy of a
page: the copies are temporary.
"""

import io
import pathlib
import posixpath
import re
import shutil
import tempfile
import time
from typing import NamedTuple

from ..course.shared.manifest import load
from ..support.extras import require
from ..support.files import check_new_folder, new_folder, write_text
from ..support.project import ROOT, part_of_project
from . import notebooks
from .links import check_links
from .pages import FILE, Targets, groups
from .sources import as_html
from .style import STYLE

MARKER = ".minimobilebert-site"  # in the folder of a site: it may be replaced by a new one
# What GitHub does not know, so that a page looks alike in both.
_NOT_ON_GITHUB = ["myst_line_comment", "myst_block_break", "myst_target", "myst_role"]
_TITLE = re.compile(r"^# .*\n", re.MULTILINE)


class Built(NamedTuple):
    pages: int
    sources: int
    notebooks: int
    links: int
    seconds: float


def settings(sources):
    """The configuration of Sphinx"""
    return {
        "project": "minimobilebert", "html_title": "minimobilebert", "root_doc": "index",
        "extensions": ["myst_parser"], "source_suffix": {".md": "markdown"}, "highlight_language": "none",
        "myst_heading_anchors": 6, "myst_disable_syntax": _NOT_ON_GITHUB,
        "myst_url_schemes": {"http": None, "https": None, "mailto": None, "source": None},
        "html_theme": "furo", "html_css_files": ["style.css"],
        "html_static_path": [str(sources / "extra" / "style.css")],
        "smartquotes": False, "html_copy_source": False, "html_show_sourcelink": False, "html_show_copyright": False,
        "html_extra_path": [str(sources / "extra" / "pages")], "exclude_patterns": ["extra"], "templates_path": [],
    }  # fmt: skip


def write_sources(root, folder, repository=None):
    """Write the Markdown that Sphinx reads -> Targets"""
    found = groups(root)
    targets = Targets(root, [page for _, pages in found for page in pages])
    lessons = {lesson.folder: lesson.title for lesson in load(root).lessons}
    made = notebooks.walkthroughs(root)
    for page in [page for _, pages in found for page in pages]:
        text, figures = targets.relinked(page.file, (root / page.file).read_text(encoding="utf-8"))
        lesson = pathlib.PurePath(page.file).parent.name
        if page.file == "README.md":
            text += "".join(_contents(title, pages) for title, pages in found)
        elif page.file.endswith("/README.md") and lesson in made:
            text = _TITLE.sub(lambda match, name=lesson: f"{match[0]}\n{_ways(name, repository)}\n", text, count=1)
            text += _contents("", ["walkthrough"])
        _write(folder / f"{page.name}.md", text)
        for figure in figures:
            _write(folder / figure, (root / figure).read_text(encoding="utf-8"))
    for lesson, path in made.items():
        text = notebooks.as_markdown(path, lessons[lesson])
        buttons = _buttons(lesson, repository)
        _write(
            folder / "lessons" / lesson / "walkthrough.md", _TITLE.sub(lambda m, b=buttons: f"{m[0]}\n{b}\n", text, 1)
        )
        targets.pages[f"lessons/{lesson}/walkthrough.py"] = f"lessons/{lesson}/walkthrough"
    notebooks.write_notebooks(folder / "extra" / "pages" / "notebooks", root, repository)
    _write(folder / "extra" / "style.css", STYLE)
    return targets


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def _contents(title, pages):
    """A list of pages for the side, which the page itself does not show"""
    names = [page if isinstance(page, str) else f"{page.label} <{page.name}>" if page.label else page.name
             for page in pages if page == "walkthrough" or page.name != "index"]  # fmt: skip
    lines = ["", "```{toctree}", ":hidden:", *([f":caption: {title}"] if title else []), "", *names, "```", ""]
    return "\n".join(lines) if names else ""


def _buttons(lesson, repository):
    """The ways to run a walkthrough -> Markdown"""
    ways = [("Notebook", f"source:notebooks/{lesson}.ipynb"), *notebooks.buttons(lesson, repository)]
    return " · ".join(f"[{label}]({address})" for label, address in ways)


def _ways(lesson, repository):
    return f"[Walkthrough](walkthrough.md) · {_buttons(lesson, repository)}"


class _Linker:
    """What happens inside Sphinx: names of files become links, and pages show those files."""

    def __init__(self, root, targets):
        self.root, self.targets = root, targets
        self.named = {}  # file of the project -> {name of a page: its title}
        self.tasks = load(root).tasks

    def link(self, app, doctree, name):
        """Make links of `minimobilebert/ops/linear.py:linear_forward` and the like, and of source: addresses."""
        nodes = require("docutils.nodes", "docs")
        files = {page: file for file, page in self.targets.pages.items()}
        document, above = files[name], posixpath.dirname(name) or "."
        title = next((node.astext() for node in doctree.findall(nodes.title)), name)
        for literal in list(doctree.findall(nodes.literal)):
            match = FILE.fullmatch(literal.astext())
            file = self.targets.file(document, match[1]) if match else None
            if file is None or isinstance(literal.parent, (nodes.reference, nodes.title)) or file == document:
                continue
            address = self._address(file, match[2], name, title)
            reference = nodes.reference("", "", refuri=posixpath.relpath(address, above), internal=True)
            literal.replace_self(reference)
            reference += _breakable(literal)
        for reference in doctree.findall(nodes.reference):
            if reference.get("refuri", "").startswith("source:"):
                path, _, anchor = reference["refuri"].removeprefix("source:").partition("#")
                is_notebook = path.startswith("notebooks/")
                address = path if is_notebook else self._address(path, anchor, name, title)
                reference["refuri"] = posixpath.relpath(address, above)

    def _address(self, file, function, page, title):
        if file in self.targets.pages:
            return self.targets.pages[file] + ".html"
        self.named.setdefault(file, {})[page] = title
        known = function and re.search(rf"\b(def|class) {function.rpartition('.')[2]}\b", self._text(file))
        return f"source/{file}.html" + (f"#{function}" if known else "")

    def _text(self, file):
        return (self.root / file).read_text(encoding="utf-8")

    def source_pages(self, app):
        """Sphinx asks for pages that have no document -> (name, context, template) each"""
        for file, pages in sorted(self.named.items()):
            name = f"source/{file}"
            links = [(title, posixpath.relpath(page, posixpath.dirname(name)) + ".html")
                     for page, title in sorted(pages.items())]  # fmt: skip
            tasks = [task for task in self.tasks if file in task.files]
            yield name, {"title": file, "body": as_html(file, self._text(file), tasks, links)}, "page.html"


def _breakable(literal):
    """A name of a file as a literal that may break after a folder"""
    nodes = require("docutils.nodes", "docs")
    parts = re.split(r"(?<=[/:])", literal.astext())
    literal.clear()
    for number, part in enumerate(parts):
        literal += [nodes.raw("", "<wbr>", format="html")] * bool(number) + [nodes.Text(part)]
    return literal


def _run_sphinx(root, sources, out, targets):
    """-> the _Linker. ValueError with the first warning: a page with a broken link is not published."""
    sphinx = require("sphinx.application", "docs")
    said, linker = io.StringIO(), _Linker(root, targets)
    with tempfile.TemporaryDirectory() as cache:
        app = sphinx.Sphinx(sources, None, out, cache, "html", settings(sources), status=None, warning=said)
        app.connect("doctree-resolved", linker.link)
        app.connect("html-collect-pages", linker.source_pages)
        app.build()
    warnings = [re.sub(r"\x1b\[[\d;]*m", "", line).replace(f"{sources}/", "") for line in said.getvalue().splitlines()]
    _stop_at([line for line in warnings if line.strip()])
    return linker


def _stop_at(problems):
    if problems:
        rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ValueError(f"site: {problems[0]}{rest}; nothing was written")


def build(out, root=ROOT, repository=None):
    """Write the site to `out`, which is new, empty or an older site -> Built

    repository: "owner/name" on GitHub, or None. ValueError for a broken link or anchor; then `out` is as it was.
    """
    start, out = time.perf_counter(), pathlib.Path(out)
    if not (out / MARKER).is_file():
        check_new_folder(out)
    part_of_project("lessons", root)
    for module in ("sphinx", "myst_parser", "furo", "jupytext"):
        require(module, "docs")
    with tempfile.TemporaryDirectory() as temporary:
        sources, finished = pathlib.Path(temporary).resolve() / "sources", pathlib.Path(temporary) / "finished"
        targets = write_sources(root, sources, repository)
        linker = _run_sphinx(root, sources, finished, targets)
        count, wrong = check_links(finished)
        _stop_at(wrong)
        for name in (MARKER, ".nojekyll"):  # GitHub Pages would leave out folders such as _static
            write_text(finished / name, "")
        if (out / MARKER).is_file():
            shutil.rmtree(out)
        with new_folder(out) as unfinished:
            shutil.copytree(finished, unfinished, dirs_exist_ok=True)
    made = len(notebooks.walkthroughs(root))
    return Built(len(targets.pages), len(linker.named), made, count, time.perf_counter() - start)
