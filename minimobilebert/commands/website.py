"""Commands that publish the course: a web site, and notebooks."""

from .options import file_name


def site(arguments):
    from ..website.build import build
    from ..website.notebooks import repository_of

    built = build(arguments.out, repository=repository_of(arguments.repository))
    print(f"{arguments.out}/index.html: {built.pages} pages, {built.sources} source files, {built.notebooks} notebooks;"
          f" {built.links} links checked; {built.seconds:.0f} s")  # fmt: skip
    return 0


def notebooks(arguments):
    from ..website.notebooks import repository_of, write_notebooks

    made = write_notebooks(arguments.out, repository=repository_of(arguments.repository))
    print(f"{arguments.out}: {len(made)} notebooks")
    return 0


def _arguments(parser, default, what):
    parser.add_argument("--out", default=default, type=file_name, metavar="FOLDER", help=f"{what} (default {default})")
    parser.add_argument("--repository", metavar="ADDRESS", help="adds buttons for Colab and Binder:"
                        " https://github.com/OWNER/NAME (default: that of pyproject.toml)")  # fmt: skip


def _site_arguments(parser):
    _arguments(parser, "site", "new, empty, or an older site")


def _notebooks_arguments(parser):
    _arguments(parser, "notebooks", "new or empty")


COMMANDS = {
    "site": ("build the course and the reference as a web site (extra docs)", "--out site", _site_arguments, site),
    "notebooks": (
        "write each walkthrough as a notebook (extra docs)",
        "--out notebooks",
        _notebooks_arguments,
        notebooks,
    ),
}
