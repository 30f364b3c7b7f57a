"""The links of a finished site: each file and anchor must exist, and no page may load anything from another address."""

import html.parser
import posixpath
import re
import urllib.parse

# What a browser loads by itself; an <a> is followed only by a click.
_LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src"),
           ("img", "srcset"), ("source", "srcset"), ("object", "data"), ("embed", "src"), ("use", "href")}  # fmt: skip
_OTHER_ADDRESS = re.compile(r"(?:[a-z][a-z+.-]*:)?//", re.IGNORECASE)
_CSS_ADDRESS = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


class _Reader(html.parser.HTMLParser):
    """The links and anchors of one page"""

    def __init__(self):
        super().__init__()
        self.links, self.anchors, self.loaded = [], set(), []

    def handle_starttag(self, tag, attributes):
        line = self.getpos()[0]
        for name, value in attributes:
            if name in ("id", "name") and tag != "meta":
                self.anchors.add(value)
            elif (tag, name) in _LOADED and value is not None:
                self.loaded.append((line, value))
            elif (tag, name) == ("a", "href") and value is not None:
                self.links.append((line, value))
            elif name == "style" and _CSS_ADDRESS.search(value or ""):
                self.loaded.append((line, _CSS_ADDRESS.search(value)[1]))


def _read(path):
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def check_links(folder):
    """-> number of links in the site, list of what is wrong with them"""
    pages = {path.relative_to(folder).as_posix(): _read(path) for path in sorted(folder.rglob("*.html"))}
    count, wrong = 0, []
    for name, page in pages.items():
        for line, target in [*page.loaded, *page.links]:
            count += 1
            problem = _problem(folder, pages, name, target, loaded=(line, target) in page.loaded)
            wrong += [f"{name}:{line}: {problem}"] if problem else []
    for path in sorted(folder.rglob("*.css")):
        for address in _CSS_ADDRESS.findall(path.read_text(encoding="utf-8")):
            wrong.append(f"{path.relative_to(folder).as_posix()}: loads {address}, expected a file of the site")
    return count, wrong


def _problem(folder, pages, page, target, loaded):
    """What is wrong with a link on a page, or None"""
    if _OTHER_ADDRESS.match(target):
        return f"loads {target}, expected a file of the site" if loaded else None
    if re.match(r"(mailto|data):", target):
        return None
    path, _, anchor = target.partition("#")
    path = urllib.parse.unquote(path.partition("?")[0])
    file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if file.startswith("..") or not (folder / file).is_file():
        return f"found a link to {target}, expected a file of the site"
    if anchor and file in pages and urllib.parse.unquote(anchor) not in pages[file].anchors:
        return f"found a link to {target}, expected an anchor of {file}"
    return None
