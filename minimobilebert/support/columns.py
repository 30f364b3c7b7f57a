"""Find a column of a table by its name."""

from .shapes import shown_key


def find_column(path, columns, name):
    """The index of the column `name`; blanks around it do not count. ValueError unless the header has it once."""
    if name not in columns:
        columns = [column.strip() for column in columns]
    if columns.count(name) != 1:
        found = "no column" if name not in columns else f"{columns.count(name)} columns"
        among = ", ".join(map(shown_key, columns[:20])) + (", ..." if len(columns) > 20 else "")
        raise ValueError(f"{path}: line 1: found {found} {name!r} among {among}, expected one")
    return columns.index(name)
