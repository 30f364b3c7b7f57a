"""A self-contained HTML page: tables and figures, without any reference to another file."""

import html

from ..support.files import write_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; } figure { margin: .5rem 0; display: inline-block; }
img, svg { max-width: 100%; height: auto; } p { max-width: 46rem; } code { background: #f3f3f3; padding: 0 .2rem; }
"""


def html_table(rows):
    """Rows of values, the headings first -> <table>"""

    def line(row, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row) + "</tr>"

    return f"<table>{line(rows[0], 'th')}{''.join(line(row, 'td') for row in rows[1:])}</table>"


def figures(pairs):
    """pairs: of a caption and an <svg> or <img> -> <figure> elements"""
    return "".join(f"<figure>{figure}<figcaption>{html.escape(text)}</figcaption></figure>" for text, figure in pairs)


def write_page(path, title, body):
    """Write a page atomically; title: text, body: HTML"""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>{_STYLE}</style></head><body>
{body}</body></html>
"""
    write_text(path, page)
