"""Retention: how much of the teacher's sense of likeness a student keeps, on pairs of texts with a score.

The score of a model is the correlation of its cosines with the labels, without any fine-tuning. Texts are STS-B's dev
split, or a table of the reader's own with two text columns and a number.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from ..inference.embed import Embedder
from ..inference.model import Model
from ..support.files import name_of
from ..tasks.glue import glue_task, read_split, split_path
from ..tasks.metrics import pearson, spearman
from ..tasks.own_table import read_texts
from ..text.table_files import open_table

STSB = "stsb"


class Pairs(NamedTuple):
    name: str
    firsts: list  # of str
    seconds: list  # of str
    labels: np.ndarray  # [N]
    files: list  # of paths


def read_pairs(measure, data=None, columns=None):
    """measure: "stsb" (data: the GLUE folder), or a table (columns: names of first, second and label) -> Pairs"""
    if measure == STSB:
        if data is None:
            raise ValueError("--data: found nothing, expected the folder with GLUE's STS-B for --measure stsb")
        task = glue_task(STSB)
        examples = read_split(task, data, "dev")
        return Pairs("STS-B dev", examples.firsts, examples.seconds, examples.labels, [split_path(task, data, "dev")])
    if not columns or len(columns) != 3:
        raise ValueError(f"--columns: found {columns or 'nothing'}, expected three names: first,second,label")
    path = pathlib.Path(measure)
    texts = read_texts(open_table(path), *columns, regression=True)
    return Pairs(name_of(path.name), texts.firsts, texts.seconds, np.array(texts.labels, np.float64), [path])


def cosines(params, config, tokenizer, pairs, sentence):
    """[N], the cosine of each pair; sentence: SentenceSettings or None, the teacher's"""
    model = Model(params, config, None, None, tokenizer, None, sentence)
    embedder = Embedder(model, normalize=True)
    first, second = (embedder(texts).astype(np.float64) for texts in (pairs.firsts, pairs.seconds))
    return (first * second).sum(axis=1)


def retention(found, labels):
    """found [N] cosines, labels [N] -> {"spearman", "pearson"}"""
    return {"spearman": spearman(found, labels), "pearson": pearson(found, labels)}
