"""The tables of `models`: parameters, operations and memory of all presets, with the paper's Tables 1 and 4."""

import numpy as np

from ..config import PRESETS
from ..distributed.owners import owners
from ..model.memory import training_step_bytes
from ..model.parameters import parameter_shapes
from ..model.sizes import PARTS, forward_flops, parameters_by_part
from ..support.paper import PAPER
from ..support.tables import aligned

_SIZE_NOTES = """\
Parameters of the bare encoder; train-tiny's table also counts the two heads. "paper" is Table 1: 25.3M is the size of
`mobilebert-paper`, the model exactly as in Table 1, whose queries, keys and values all read the wide hidden state. The
released model is `mobilebert`, 24.6M: its queries and keys share a second bottleneck (512 -> 128) and are therefore
only 128 x 128, which saves 0.8M.
For the BERTs, the teacher and mobilebert-tiny, the paper's figures are up to 1.5M lower, and no single omitted part
explains all four differences."""

_WORK_NOTES = """\
GFLOP: one forward pass of one sequence, 2 x multiply-adds of the matrix products; "paper" is Table 4, 128 tokens.
Memory in MB (1e6 bytes): one pre-training step in float32 with this batch size and length, including the two heads.
Moments are AdamW's; activations are what the forward stores for the backward. Temporary arrays are not included; the
largest has the scores of all {vocabulary} words for each masked position."""

_RANKS_NOTES = """\
With {ranks} ranks the batch is that of all of them, and the memory that of one: its share of the rows, and the moments
of the parameters that it owns (shard_optimizer=true; without, the moments of one process)."""


def _bytes_of_rank(config, batch, tokens, ranks):
    """The entries of `training_step_bytes` for the rank that needs the most"""
    found = training_step_bytes(config, -(-batch // ranks), tokens)
    sizes = {name: int(np.prod(shape)) for name, shape in parameter_shapes(config, "pretraining").items()}
    load = [0] * ranks
    for name, rank in owners(sizes, ranks).items():
        load[rank] += sizes[name]
    found["bytes_moments"] = found["bytes_moments"] * max(load) // sum(load)
    return found | {"bytes_total": sum(size for name, size in found.items() if name != "bytes_total")}


def describe_presets(tokens=128, batch=32, ranks=1):
    """One row per preset: parameters, operations and memory, and the figures of the paper.

    Memory is for `batch` sequences of `tokens` tokens, or of as many as the position table has; with several
    ranks, that of one of them
    -> list of {"name", "parameters", one entry per part, "paper_parameters", "flops_128", "flops_<tokens>",
    "paper_flops", "batch", "tokens", and the entries of `training_step_bytes`}
    """
    for name, value in (("tokens", tokens), ("batch", batch), ("ranks", ranks)):
        if value < 1:
            raise ValueError(f"{name}: found {value}, expected at least 1")
    rows = []
    for name, config in PRESETS.items():
        parts = parameters_by_part(config)
        paper_parameters, paper_flops = PAPER.get(name, (None, None))
        length = min(tokens, config.max_position_embeddings)
        rows.append({
            "name": name, "parameters": sum(parts.values()), **parts, "paper_parameters": paper_parameters,
            "flops_128": forward_flops(config, 128), f"flops_{tokens}": forward_flops(config, tokens),
            "paper_flops": paper_flops, "batch": batch, "tokens": length, "ranks": ranks,
            **_bytes_of_rank(config, batch, length, ranks),
        })  # fmt: skip
    return rows


def _scaled(value, unit, digits, suffix=""):
    return "-" if value is None else f"{value / unit:,.{digits}f}{suffix}"


def _paper_millions(value):
    """As the paper prints them: 334M and 109M, but 25.3M and 15.1M."""
    return _scaled(value, 1e6, 0 if value is not None and value >= 100e6 else 1, "M")


def format_sizes(rows):
    """The rows of `describe_presets` as two aligned tables, each with a few lines that explain it."""
    sizes = aligned(
        [["model", "parameters", "paper", *PARTS]]
        + [[r["name"], f"{r['parameters']:,}", _paper_millions(r["paper_parameters"]), *(f"{r[p]:,}" for p in PARTS)]
         for r in rows],
    )  # fmt: skip
    flops = [key for key in rows[0] if key.startswith("flops_")]
    memory = [key for key in rows[0] if key.startswith("bytes_")]
    work = aligned(
        [["model", *(key.replace("flops_", "GFLOP@") for key in flops), "paper", "batch",
         *(key.removeprefix("bytes_") for key in memory)]]
        + [[r["name"], *(_scaled(r[key], 1e9, 2) for key in flops), _scaled(r["paper_flops"], 1e9, 1),
          f"{r['batch']} x {r['tokens']}", *(_scaled(r[key], 1e6, 0) for key in memory)] for r in rows],
    )  # fmt: skip
    vocabulary = f"{max(config.vocab_size for config in PRESETS.values()):,}"
    notes = _WORK_NOTES.format(vocabulary=vocabulary)
    if rows[0]["ranks"] > 1:
        notes += "\n" + _RANKS_NOTES.format(ranks=rows[0]["ranks"])
    return "\n".join([*sizes, "", _SIZE_NOTES, "", *work, "", notes])
