"""Text tables: rows of strings -> lines with aligned columns, or in Markdown."""


def aligned(rows, left=(0,), ruled=False):
    """Align columns, two spaces apart -> list of lines without trailing spaces

    rows: lists of str of the same length; headings, if any, are the first row
    left: indices of the left-aligned columns (-1 is the last); the others are right-aligned
    ruled: draw a line of dashes below the first row

        aligned([["model", "loss"], ["teacher", "3.2"]], ruled=True)

        model    loss
        -------------
        teacher   3.2
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    at_left = {index % len(columns) for index in left} if columns else set()
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index in at_left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    if ruled and lines:
        lines.insert(1, "-" * max(map(len, lines)))
    return lines


def markdown(rows):
    """A Markdown table -> list of lines

    rows: lists of the same length, of str or what str() shows; the first row has the headings

        markdown([["model", "loss"], ["teacher", 3.2]])

        | model | loss |
        |---|---|
        | teacher | 3.2 |
    """
    heads, *others = rows
    if any(len(row) != len(heads) for row in others):
        raise ValueError(f"found rows of {sorted({len(row) for row in rows})} cells, expected one length")
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [lines[0], "|" + "---|" * len(heads), *lines[1:]]
