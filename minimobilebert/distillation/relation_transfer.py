"""Relation transfer: the student imitates how the teacher's queries, keys and values relate to each other.

MiniLM v2 (Wang et al., 2021, "Multi-Head Self-Attention Relation Distillation", Section 3) compares no maps of single
heads. It joins the heads, splits the vectors into R relation heads, and compares every token with every other one:

    1. s[r, i, j] = x_r[i] . x_r[j] / sqrt(D)             x: the queries, the keys or the values; D = C / R
    2. p[r, i, :] = softmax(s[r, i, :])                   over real tokens j
    3. L = 1/3 sum over x of 1/(T R) sum_t sum_r KL( p_teacher[r, t, :] || p_student[r, t, :] )

Student and teacher may have different numbers of heads A and different widths C: R only has to divide both widths.

Step 1 is step 1 of attention (ops/attention.py) with x as queries and as keys; steps 2 and 3 are attention transfer
(attention_transfer.py). Backward, in reverse:

    3., 2. ds[r, t, :] = 1/(3 T R) (p_student[r, t, :] - p_teacher[r, t, :]) * dloss
    1.     dx[i] = sum_j (ds[i, j] + ds[j, i]) x[j] / sqrt(D)      x[i] is in row i and in column i of s
"""

from typing import NamedTuple

import numpy as np

from ..model.self_attention import Projections
from ..ops.attention import attention_backward, attention_forward
from .attention_transfer import attention_transfer_backward, attention_transfer_forward

_KINDS = len(Projections._fields)  # queries, keys, values


class RelationTransferCache(NamedTuple):
    relations: list  # of attention caches, one for queries, keys and values
    transfers: list  # of AttentionTransferCache


def check_relation_heads(heads, *widths):
    """ValueError if `heads` does not divide each width."""
    for width in widths:
        if width % heads:
            raise ValueError(
                f"relation_heads: found {heads}, expected a divisor of {' and of '.join(map(str, widths))}"
            )


def relation_scores_forward(x, mask, heads):
    """Step 1; x [B, T, C], mask [B, T] bool -> scores [B, R, T, T], cache"""
    _, cache = attention_forward(x, x, x, mask, heads)
    return cache.scores, cache


def relation_scores_backward(dscores, cache):
    """dscores [B, R, T, T] -> dx [B, T, C]"""
    no_context = np.zeros_like(cache.query)  # the loss reads the scores only
    dquery, dkey, _ = attention_backward(no_context, cache, dscores)
    return dquery + dkey


def relation_transfer_forward(student, teacher, mask, heads):
    """student, teacher: Projections [B, T, C] and [B, T, C']; mask [B, T] bool; heads: R -> loss (float), cache"""
    check_relation_heads(heads, student.query.shape[-1], teacher.query.shape[-1])
    mask = np.ascontiguousarray(mask, dtype=bool)
    total, cache = 0.0, RelationTransferCache([], [])
    for of_student, of_teacher in zip(student, teacher, strict=True):
        scores, relation = relation_scores_forward(of_student, mask, heads)
        teacher_scores, _ = relation_scores_forward(of_teacher, mask, heads)
        loss, transfer = attention_transfer_forward(scores, teacher_scores, mask)
        total += loss
        cache.relations.append(relation)
        cache.transfers.append(transfer)
    return total / _KINDS, cache


def relation_transfer_backward(dloss, cache):
    """dloss (float) -> Projections, the gradients of the student's queries, keys and values [B, T, C]"""
    return Projections(*(
        relation_scores_backward(attention_transfer_backward(dloss / _KINDS, transfer), relation)
        for relation, transfer in zip(cache.relations, cache.transfers, strict=True)
    ))  # fmt: skip
