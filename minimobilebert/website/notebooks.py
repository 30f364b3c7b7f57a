"""A walkthrough as a notebook, and as a page of the site: both are made from the same .py file.

lessons/01_gradients/walkthrough.py  ->  01_gradients.ipynb
"""

import re
import textwrap

from ..support.extras import require
from ..support.files import new_folder, write_text
from ..support.project import ROOT, part_of_project
from ..support.shapes import ANY, shown
from ..support.structured_files import read_toml

BRANCH = "gh-pages"  # of the repository: where the site is published, with its notebooks
_ADDRESS = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def walkthroughs(root=ROOT):
    """{name of the lesson's folder: path of its walkthrough}"""
    lessons = part_of_project("lessons", root)
    return {path.parent.name: path for path in sorted(lessons.glob("*_*/walkthrough.py"))}


def cells(path):
    """The cells of a walkthrough, as jupytext reads them"""
    return require("jupytext", "docs").read(path, fmt="py:percent")


def set_up(name, repository):
    """The first code cell of a notebook: where it runs, and how it shows figures"""
    fetch = ['raise ValueError("minimobilebert is not installed: run `make setup` in a clone, and use its .venv")']
    if repository:
        fetch = [
            "# On Colab: fetch the project. NumPy, Numba and tqdm, which it needs, are installed there.",
            "import subprocess, sys",
            f'address = "https://github.com/{repository}"',
            'subprocess.run(["git", "clone", "--depth", "1", address, "project"], check=True)',
            'sys.path.insert(0, "project")',
        ]
    return "\n".join([
        f"# Made from lessons/{name}/walkthrough.py. Figures appear below their cell.",
        "import importlib.util",
        "",
        'if importlib.util.find_spec("minimobilebert") is None:',
        *textwrap.indent("\n".join(fetch), "    ").split("\n"),
        "from minimobilebert.website.in_notebook import show_figures",
        "",
        f'__file__ = show_figures("{name}")',
    ])  # fmt: skip


def as_notebook(path, repository=None):
    """A walkthrough -> the text of its notebook, the same bytes in each run"""
    jupytext, new = require("jupytext", "docs"), require("nbformat.v4", "docs")
    notebook, name = cells(path), path.parent.name
    notebook.cells.insert(1, new.new_code_cell(set_up(name, repository)))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return jupytext.writes(notebook, fmt="ipynb")


def as_markdown(path, title):
    """A walkthrough -> Markdown with its text, and its code in blocks"""
    parts = [f"# Walkthrough: {title}"]
    for cell in cells(path).cells:
        if cell.cell_type == "markdown":
            parts.append(re.sub(r"\A# .*\n*", "", cell.source))  # its own title, if it has one
        elif cell.source.strip():
            parts.append(f"```python\n{cell.source.strip()}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def repository_of(address, root=ROOT):
    """The repository for the buttons: `address`, or that of pyproject.toml, or None. ValueError if not on GitHub."""
    what = "--repository"
    if address is None:
        what = f"{root / 'pyproject.toml'}: project.urls.Repository"
        project = read_toml(
            part_of_project("pyproject.toml", root), {"project": {"urls?": {str: str}, str: ANY}, str: ANY}
        )
        address = project["project"].get("urls", {}).get("Repository")
    match = _ADDRESS.fullmatch(address) if address else None
    if address and not match:
        raise ValueError(f"{what}: found {shown(address)}, expected https://github.com/OWNER/NAME")
    return match[1] if match else None


def buttons(name, repository):
    """[(label, address)]: services that open the notebook of a "owner/name"; none for None"""
    if not repository:
        return []
    return [
        ("Colab", f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/notebooks/{name}.ipynb"),
        ("Binder", f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks/{name}.ipynb"),
    ]


def write_notebooks(folder, root=ROOT, repository=None):
    """Write all notebooks to a new folder -> their names"""
    found = walkthroughs(root)
    for module in ("jupytext", "nbformat"):
        require(module, "docs")
    with new_folder(folder) as unfinished:
        for name, path in found.items():
            write_text(unfinished / f"{name}.ipynb", as_notebook(path, repository))
    return list(found)
