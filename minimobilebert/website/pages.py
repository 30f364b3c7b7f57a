"""Which Markdown files are pages of the site, in which order, and what a link in them leads to.

README.md                        ->  index.html
lessons/01_gradients/README.md   ->  lessons/01_gradients/index.html
lessons/glossary.md              ->  lessons/glossary.html
"""

import pathlib
import posixpath
import re
from typing import NamedTuple

from ..course.shared.manifest import load

REFERENCE = ("glossary", "reference", "results", "ablations", "differences", "troubleshooting")
TEACHING = ("lessons/TEACHING.md", "lessons/AUTHORS.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")
# A file that the documents name: `minimobilebert/ops/linear.py:linear_forward`, `lessons/course.toml`
FILE = re.compile(r"((?:[\w-]+/)*[\w-]+\.(?:py|toml|md))(?::([\w.]+))?")
_WITHHELD = {"solutions.py", "mutants.toml"}  # no link leads to a solution
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]+)?(?=\))")


class Page(NamedTuple):
    file: str  # "lessons/01_gradients/README.md"
    label: str  # in the list at the side

    @property
    def name(self):
        """The page's path without .html"""
        return re.sub(r"README$", "index", self.file.removesuffix(".md"))


def groups(root):
    """The pages of a project or a student edition, the first page first -> [(title of a group, [Page, ...])]"""
    lessons = [Page("lessons/README.md", "All lessons")]
    for lesson in load(root).lessons:
        lessons.append(Page(f"lessons/{lesson.folder}/README.md", f"{lesson.number} {lesson.title}"))
    known = {*REFERENCE, "README", "TEACHING", "AUTHORS"}
    others = sorted(path.stem for path in (root / "lessons").glob("*.md") if path.stem not in known)
    reference = [Page(f"lessons/{name}.md", "") for name in (*REFERENCE, *others)]
    found = [("", [Page("README.md", "")]), ("The course", lessons), ("Reference", reference),
             ("Teach and contribute", [Page(file, "") for file in TEACHING])]  # fmt: skip
    return [(title, [page for page in pages if (root / page.file).is_file()]) for title, pages in found]


class Targets:
    """Where links and names of files lead: pages, sources, figures."""

    def __init__(self, root, pages):
        self.root, self.pages = root, {page.file: page.name for page in pages}

    def file(self, document, name):
        """A file that a document names -> its path in the project, or None

        A name begins at the root, in the package, or in the document's own folder.
        """
        for folder in ("", "minimobilebert", posixpath.dirname(document)):
            path = posixpath.normpath(posixpath.join(folder, name))
            if not path.startswith("..") and (self.root / path).is_file():
                return None if pathlib.PurePath(path).name in _WITHHELD else path
        return None

    def relinked(self, document, text):
        """A page's Markdown with its links as the site needs them -> text, figures of the page

        A link to a file that is no page becomes source:PATH. ValueError, with the line, for a link to nothing.
        """
        figures = set()

        def replace(match):
            target, anchor = match[1], match[2] or ""
            if re.match(r"[a-z]+:", target):
                return match[0]
            path = posixpath.normpath(posixpath.join(posixpath.dirname(document), target))
            if path in self.pages:
                return posixpath.relpath(self.pages[path], posixpath.dirname(document) or ".") + ".md" + anchor
            if path.startswith("..") or not (self.root / path).is_file():
                line = text.count("\n", 0, match.start()) + 1
                raise ValueError(f"{document}:{line}: found a link to {target}, expected a file of the project")
            if path.endswith((".svg", ".png")):
                figures.add(path)
                return match[0]
            return f"source:{path}{anchor}"

        return _LINK.sub(replace, text), figures
