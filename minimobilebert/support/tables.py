"""Tables for people: rows of text -> lines with aligned columns."""


def aligned(rows, left=(0,), ruled=False):
    """Columns two spaces apart, as wide as their longest cell -> list of lines without blanks at their ends

    rows: lists of str, all of one length; where there are heads, they are the first row
    left: the columns that are flush left, by their index (-1 is the last); the others, numbers, are flush right
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
    if ruled:
        lines.insert(1, "-" * max(map(len, lines)))
    return lines
