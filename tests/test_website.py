"""The site: every document is a page, every link leads somewhere, no page loads anything from another address."""

import html
import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest
from browser import CHROMIUM, DRIVER, NEEDS_BROWSER, Browser, served
from documents import ROOT

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.website import notebooks
from minimobilebert.website.links import check_links
from minimobilebert.website.pages import FILE, Targets, groups

MODULES = ("sphinx", "myst_parser", "furo", "jupytext", "nbclient", "ipykernel")
needs_docs = pytest.mark.skipif(not all(importlib.util.find_spec(name) for name in MODULES),
                                reason="needs the extra docs: make setup EXTRAS=docs")  # fmt: skip
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=NEEDS_BROWSER)
DOCUMENTS = [*ROOT.glob("*.md"), ROOT / "data" / "README.md", *(ROOT / "lessons").rglob("*.md")]
PHONE = (390, 844)


def minimobilebert(*words, root=ROOT):
    """One command of the project in `root` -> finished process"""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    words = [sys.executable, "-m", "minimobilebert", *map(str, words)]
    return subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=False)


# --- without the generator


def test_every_document_is_a_page():
    pages = [page for _, pages in groups(ROOT) for page in pages]
    assert sorted(page.file for page in pages) == sorted(path.relative_to(ROOT).as_posix() for path in DOCUMENTS)
    assert pages[0].name == "index" and len({page.name for page in pages}) == len(pages)


def test_links_are_adapted_and_a_link_to_nothing_is_an_error():
    targets = Targets(ROOT, [page for _, pages in groups(ROOT) for page in pages])
    text = "[a](lessons/README.md#x) [b](lessons/glossary.md) [c](pyproject.toml) [d](https://a.org/b.md)\n"
    text += "![e](lessons/figures/pareto.svg)"
    changed, figures = targets.relinked("README.md", text)
    assert changed == (
        "[a](lessons/index.md#x) [b](lessons/glossary.md) [c](source:pyproject.toml) [d](https://a.org/b.md)\n"
        "![e](lessons/figures/pareto.svg)"
    )
    assert figures == {"lessons/figures/pareto.svg"}
    assert targets.relinked("lessons/02_linear/README.md", "[a](../README.md)")[0] == "[a](../index.md)"
    with pytest.raises(ValueError, match=r"README.md:2: found a link to nothing.md, expected a file of the project"):
        targets.relinked("README.md", "one\n[a](nothing.md)")
    with pytest.raises(ValueError, match="found a link to ../x.md"):
        targets.relinked("README.md", "[a](../x.md)")


def test_names_of_files_are_found_and_solutions_are_not():
    targets = Targets(ROOT, [])
    assert FILE.fullmatch("minimobilebert/ops/linear.py:linear_forward").groups() == (
        "minimobilebert/ops/linear.py",
        "linear_forward",
    )
    assert targets.file("lessons/02_linear/README.md", "ops/linear.py") == "minimobilebert/ops/linear.py"
    assert targets.file("lessons/20_eight_bits/README.md", "real_model.py") == "lessons/20_eight_bits/real_model.py"
    assert targets.file("lessons/02_linear/README.md", "solutions.py") is None
    assert targets.file("README.md", "no.py") is None


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ('<a href="b.html#there">', None),
        ('<a href="https://a.org">', None),
        ('<a href="#top">', "found a link to #top, expected an anchor of a.html"),
        ('<a href="b.html#nothing">', "found a link to b.html#nothing, expected an anchor of b.html"),
        ('<a href="c.html">', "found a link to c.html, expected a file of the site"),
        ('<a href="../a.html">', "found a link to ../a.html, expected a file of the site"),
        ('<script src="https://a.org/x.js">', "loads https://a.org/x.js, expected a file of the site"),
        ('<link href="//a.org/x.css">', "loads //a.org/x.css, expected a file of the site"),
        ('<img src="x.png">', "found a link to x.png, expected a file of the site"),
        ('<p style="background: url(http://a.org/x)">', "loads http://a.org/x, expected a file of the site"),
    ],
)
def test_broken_links_are_found(tmp_path, page, wrong):
    (tmp_path / "a.html").write_text(f"<html>\n{page}</html>", encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="there">', encoding="utf-8")
    assert check_links(tmp_path)[1] == ([f"a.html:2: {wrong}"] if wrong else [])


def test_a_style_sheet_must_not_load_fonts_from_elsewhere(tmp_path):
    (tmp_path / "a.css").write_text("@import 'https://fonts.org/a.css'; b { src: url(b.woff) }", encoding="utf-8")
    assert check_links(tmp_path)[1] == ["a.css: loads https://fonts.org/a.css, expected a file of the site"]


@pytest.mark.parametrize("address", ["https://github.com/ada/course", "https://github.com/ada/course.git"])
def test_buttons_need_an_address(address, tmp_path):
    assert notebooks.repository_of(address) == "ada/course"
    labels = dict(notebooks.buttons("01_gradients", "ada/course"))
    assert labels["Colab"].endswith("/github/ada/course/blob/gh-pages/notebooks/01_gradients.ipynb")
    assert labels["Binder"] == "https://mybinder.org/v2/gh/ada/course/HEAD?labpath=notebooks/01_gradients.ipynb"
    assert notebooks.buttons("01_gradients", None) == []
    file = tmp_path / "pyproject.toml"
    file.write_text(f'[project]\nname = "x"\n[project.urls]\nRepository = "{address}"\n', encoding="utf-8")
    assert notebooks.repository_of(None, tmp_path) == "ada/course"
    file.write_text('[project]\nname = "x"\n', encoding="utf-8")
    assert notebooks.repository_of(None, tmp_path) is None


def test_an_address_elsewhere_is_refused():
    with pytest.raises(ValueError, match="--repository: found 'https://a.org/b/c', expected https://github.com/OWNER"):
        notebooks.repository_of("https://a.org/b/c")


# --- with it


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    done = minimobilebert("site", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ pages, \d+ source files, \d+ notebooks; \d+ links checked", done.stdout)
    return folder


@needs_docs
def test_no_page_is_missing(site):
    for _, pages in groups(ROOT):
        for page in pages:
            assert (site / f"{page.name}.html").is_file(), page.file
    for name in notebooks.walkthroughs():
        assert (site / "lessons" / name / "walkthrough.html").is_file()
        assert (site / "notebooks" / f"{name}.ipynb").is_file()
    count, wrong = check_links(site)
    assert wrong == [] and count > 10_000
    assert (site / ".nojekyll").is_file()


@needs_docs
def test_names_of_functions_lead_to_their_source_and_answers_are_folded(site):
    for task in load().tasks:
        lesson = (site / "lessons" / load().lesson(task.lesson).folder / "index.html").read_text(encoding="utf-8")
        for file in task.files:
            source = (site / "source" / f"{file}.html").read_text(encoding="utf-8")
            for name in task.names_in(file):
                assert f"source/{file}.html#{name}" in lesson and f'<span id="{name}">' in source, task.id
            assert source.count(f"<details><summary>the answer to task {task.id}</summary>") == len(task.names_in(file))
            visible = re.sub(r"<details>.*?</details>", "", source, flags=re.DOTALL)
            assert not re.search(r"^(<[^>]*>)*Backward", visible, re.MULTILINE), file  # in the file's docstring
            assert not [words for words in task.hide if words in html.unescape(re.sub("<[^>]*>", "", visible))]


@needs_docs
def test_pages_read_as_on_github(site):
    """Equations stay as they are written, quotes are not curled, and a folded answer stays folded."""
    lesson = (site / "lessons" / "01_gradients" / "index.html").read_text(encoding="utf-8")
    assert "L(x + h) = L + h L' + h^2/2 L'' + h^3/6 L''' + ..." in lesson.replace("&#39;", "'")
    lesson = (site / "lessons" / "13_progressive_transfer" / "index.html").read_text(encoding="utf-8")
    assert "<summary>Once you have your answer: a figure</summary>" in lesson


@pytest.fixture
def copy(tmp_path):
    """A copy of what the site is made from"""
    copied = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "*.nbc", "*.nbi")
    for name in ("lessons", "minimobilebert"):
        shutil.copytree(ROOT / name, copied / name, ignore=ignored)
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, copied / name)
    (copied / "data").mkdir()
    shutil.copy(ROOT / "data" / "README.md", copied / "data")
    return copied


@needs_docs
def test_a_broken_anchor_stops_the_build_and_the_older_site_stays(copy, tmp_path):
    out = tmp_path / "site"
    out.mkdir()
    for name in (".minimobilebert-site", "index.html"):
        (out / name).write_text("older", encoding="utf-8")
    readme = copy / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(text + "\n[there](lessons/glossary.md#nothing-of-this-name)\n", encoding="utf-8")
    done = minimobilebert("site", "--out", out, root=copy)
    assert done.returncode == 2 and "nothing-of-this-name" in done.stderr and len(done.stderr.splitlines()) == 1
    assert (out / "index.html").read_text(encoding="utf-8") == "older"
    readme.write_text(text, encoding="utf-8")
    assert minimobilebert("site", "--out", out, root=copy).returncode == 0
    assert "<title>minimobilebert" in (out / "index.html").read_text(encoding="utf-8")


@needs_docs
def test_other_files_are_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    done = minimobilebert("site", "--out", tmp_path)
    assert done.returncode == 2 and "found something there already, expected a new or empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@needs_docs
def test_a_student_edition_makes_a_site_too(tmp_path):
    write_edition(load(), ["00", "02"], tmp_path / "student", record=False)
    done = minimobilebert("site", "--out", tmp_path / "site", root=tmp_path / "student")
    assert done.returncode == 0, done.stderr
    source = (tmp_path / "site/source/minimobilebert/ops/linear.py.html").read_text(encoding="utf-8")
    assert "NotImplementedError" in source
    assert not (tmp_path / "site" / "lessons" / "TEACHING.html").exists()


@needs_docs
@needs_browser
def test_a_phone_shows_it_without_the_network(site, tmp_path):
    """No page is wider than the screen; wide tables and equations scroll by themselves. The dark theme is dark."""
    with served(site) as server, Browser(tmp_path / "profile", PHONE, dark=True) as browser:
        wide = {}
        sources = sorted((site / "source").rglob("*.html"))
        for path in [*sorted(set(site.rglob("*.html")) - set(sources)), *sources[::20]]:
            browser.open(server.address + path.relative_to(site).as_posix())
            width = browser.run("return document.documentElement.scrollWidth")
            wide |= {path.relative_to(site).as_posix(): width} if width > PHONE[0] else {}
        assert wide == {}
        background = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", background)[:3])) < 3 * 64
        said = [message for message in browser.messages() if "favicon.ico" not in message]
        assert said == []  # a refused address would be a message


@needs_docs
@needs_browser
def test_the_search_finds_a_lesson_without_a_server(site, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open((site / "search.html").as_uri() + "?q=bottleneck")
        found = browser.wait("const all = document.querySelectorAll('#search-results a');"
                             "return all.length > 2 && [...all].map(a => a.getAttribute('href'))")  # fmt: skip
        assert any("07_blocks" in address for address in found)


RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
print(sum("image/svg+xml" in output.get("data", {}) for output in outputs),
      sum(len(output.get("text", "").splitlines()) for output in outputs))
"""


@needs_docs
@pytest.mark.parametrize("name", notebooks.walkthroughs())
def test_every_notebook_runs_and_shows_its_figures(site, name):
    path = site / "notebooks" / f"{name}.ipynb"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([sys.executable, "-c", RUN, str(path)], cwd=path.parent, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures, lines = map(int, done.stdout.split())
    assert figures == len(list((ROOT / "lessons" / name / "figures").glob("*.svg"))) and lines > 5


@needs_docs
def test_the_notebooks_command_writes_the_same_notebooks(site, tmp_path):
    done = minimobilebert("notebooks", "--out", tmp_path / "made")
    assert done.returncode == 0 and f"{len(notebooks.walkthroughs())} notebooks" in done.stdout
    for path in (tmp_path / "made").glob("*.ipynb"):
        assert path.read_bytes() == (site / "notebooks" / path.name).read_bytes()
