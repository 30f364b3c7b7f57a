"""GLUE's MRPC, made from the two files of the original corpus. GLUE publishes only the ids of its dev split.

    train.tsv   the pairs of the training file that are not in GLUE's list of ids
    dev.tsv     the pairs that are in the list
    test.tsv    the test file, with a column `index` instead of the labels

The texts are not changed.
"""

import pathlib

from ..support.columns import find_column
from ..support.files import new_folder
from ..tasks.tsv import read_rows


def _table(path):
    columns, *rows = read_rows(path)
    for row in rows:
        if len(row.fields) != len(columns.fields):
            raise ValueError(f"{path}: line {row.line}: found {len(row.fields)} fields, expected {len(columns.fields)}")
    return columns.fields, [row.fields for row in rows]


def split_mrpc(train, test, dev_ids, folder):
    """Write the three tables into a new folder. ValueError if an id of the list is not in the training file."""
    columns, rows = _table(train)
    ids = [find_column(train, columns, name) for name in ("#1 ID", "#2 ID")]
    chosen = {tuple(row.fields) for row in read_rows(dev_ids)}
    dev = [row for row in rows if tuple(row[column] for column in ids) in chosen]
    if len(dev) != len(chosen):
        raise ValueError(f"{train}: found {len(dev)} pairs of {pathlib.Path(dev_ids).name}, expected {len(chosen)}")
    rest = [row for row in rows if tuple(row[column] for column in ids) not in chosen]
    test_columns, test_rows = _table(test)
    label = find_column(test, test_columns, "Quality")
    numbered = [["index", *test_columns[:label], *test_columns[label + 1 :]]]
    numbered += [[str(n), *row[:label], *row[label + 1 :]] for n, row in enumerate(test_rows)]
    with new_folder(folder) as unfinished:
        for name, lines in (("train", [columns, *rest]), ("dev", [columns, *dev]), ("test", numbered)):
            text = "".join("\t".join(fields) + "\n" for fields in lines)
            (unfinished / f"{name}.tsv").write_bytes(text.encode("utf-8"))
