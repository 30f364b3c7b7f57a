"""Labelled texts from a table of the reader's own: what is used, what is left out, and which rows are for scoring.

Rows without a text or without a label are left out and counted. Classes are the different labels in order: as numbers
where all are numbers, else by their letters. Without a file for scoring, DEV_SHARE of the texts become dev, chosen by
the seed, the same share of each class. Rows with the same text go to the same side, or dev would be known by heart.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from ..support.columns import find_column
from ..support.numbers import parsed
from ..support.shapes import shown
from ..support.terminal import say
from ..text.table_files import rows_of, text_of

DEV_SHARE, MOST_DEV = 0.1, 5000
MOST_CLASSES = 1000
_DEV_STREAM = 421
_LARGEST = float(np.finfo(np.float32).max)  # labels are trained on in float32
_MISSING = ("", "nan", "null", "none", "na", "n/a")  # what programs write where there is nothing


class TableTexts(NamedTuple):
    firsts: list  # of str
    seconds: list | None  # of str; None where rows have one text
    labels: list | None  # of str, or of float for regression; None where they were not asked for


def _number(text, where, column):
    try:
        value = parsed(text, float)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise ValueError(f"{where}: found {shown(text)} in {column}, expected a number of float32 (--regression)")
    return value


def read_texts(table, text, text_b=None, label=None, regression=False):
    """The columns `text`, `text_b` and `label` of a TableFile -> TableTexts; says how many rows it leaves out"""
    names = [text, *([text_b] if text_b else []), *([label] if label else [])]
    if len(set(names)) < len(names):
        raise ValueError(f"--text, --text-b, --label: found {names}, expected different columns")
    indices = [find_column(table.path, table.columns, name) for name in names]
    columns, lacking = [[] for _ in names], dict.fromkeys(names, 0)
    for where, fields in rows_of(table):
        values = [text_of(fields[index]) for index in indices]
        empty = [
            name for name, value in zip(names, values, strict=True)
            if not value or (name == label and value.lower() in _MISSING)
        ]  # fmt: skip
        if empty:
            lacking[empty[0]] += 1
            continue
        if label and regression:
            values[-1] = _number(values[-1], where, label)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    for name, count in lacking.items():
        if count:
            say(f"note: {table.path}: rows without {name}, left out: {count:,}")
    if not columns[0]:
        raise ValueError(f"{table.path}: found no row with {' and '.join(names)}, expected some")
    return TableTexts(columns[0], columns[1] if text_b else None, columns[-1] if label else None)


def classes_of(labels, path):
    """The different labels in order -> list of str. ValueError where they are no classes."""
    found = sorted(set(labels))
    if len(found) < 2:
        raise ValueError(f"{path}: found one label, {shown(found[0])}, in all rows, expected at least two")
    if len(found) > min(MOST_CLASSES, max(2, len(labels) // 2)):
        raise ValueError(
            f"{path}: found {len(found):,} different labels in {len(labels):,} rows, such as {shown(labels[0])},"
            f" expected at most {MOST_CLASSES:,} classes, of two rows on average (numbers to predict: --regression)"
        )
    try:
        numbers = [parsed(label, float) for label in found]
    except ValueError:
        return found
    order = sorted(range(len(found)), key=numbers.__getitem__)
    for one, other in itertools.pairwise(order):
        if numbers[one] == numbers[other]:
            raise ValueError(
                f"{path}: found labels {shown(found[one])} and {shown(found[other])}, expected one spelling of a number"
            )
    return [found[index] for index in order]


def describe_classes(labels, classes, path):
    """Say how many rows each class has."""
    counts = dict.fromkeys(classes, 0)
    for label in labels:
        counts[label] += 1
    shares = sorted(((count, name) for name, count in counts.items()), reverse=True)
    listed = [f"{shown(name)} {count:,} ({100 * count / len(labels):.1f} %)" for count, name in shares]
    rest = f", ... {len(listed) - 12} more, the rarest {listed[-1]}" if len(listed) > 13 else ""
    say(f"{path}: {len(labels):,} rows, {len(classes)} classes: {', '.join(listed if not rest else listed[:12])}{rest}")


def split(texts, seed):
    """-> indices of the rows for training and of those for scoring, two arrays in order; see the top of this file"""
    rng, groups = np.random.default_rng([seed, _DEV_STREAM]), {}
    seconds = texts.seconds or [""] * len(texts.firsts)
    for row, key in enumerate(zip(texts.firsts, seconds, strict=True)):
        groups.setdefault(key, []).append(row)
    by_class = {}
    for rows in groups.values():
        label = texts.labels[rows[0]]
        by_class.setdefault(None if isinstance(label, float) else label, []).append(rows)
    share = min(DEV_SHARE, MOST_DEV / len(texts.firsts))
    dev = []
    for label in sorted(by_class, key=str):
        same = by_class[label]
        count = max(round(share * len(same)), 1 if len(same) > 1 else 0)
        for index in rng.permutation(len(same))[:count]:
            dev += same[index]
    if not dev or len(dev) == len(texts.firsts):
        raise ValueError(f"found {len(groups)} different texts, expected enough to keep some for scoring")
    dev = np.sort(np.array(dev))
    return np.setdiff1d(np.arange(len(texts.firsts)), dev), dev
