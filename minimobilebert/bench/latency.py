"""`latency`: models side by side on one text, in three precisions, beside PyTorch and ONNX Runtime, in one run.

    for each turn:  for each model:  ours, ours bfloat16, ours int8,
                                     torch, torch bfloat16, torch int8, onnxruntime, onnxruntime int8

A ratio is the median over turns of two times of the same turn, as in `bench`. A model is compared with

    itself in other precisions and on other sides;
    the first model of the list, and bert-base if it is in the list: their float32 on every side, and ours in the same
    precision
"""

import pathlib
from typing import NamedTuple

from ..interop.safetensors_files import InteropError
from ..kernels.runtime.backend import current_backend
from ..kernels.runtime.precision import use_precision
from ..model.parameters import count_parameters, parameter_shapes
from ..model.quantization import is_quantized, scheme_of
from ..support.paper import MILLISECONDS
from ..support.terminal import progress_bar, say
from ..support.timing import quartiles
from ..training.model_folder import load_model
from .latency_memory import memory_of_text
from .latency_models import COMPARED, YARDSTICK
from .latency_parts import seconds_of_parts
from .libraries import set_all_threads
from .measure import KEYS, Case, compared, taking_part, time_together
from .models import Subject
from .sides import BFLOAT16, FLOAT32, OURS, OURS_BFLOAT16, OURS_INT8, TORCH, library_of, ours_in, precision_of

TURNS = 15
LENGTH = 128  # tokens, as in the paper


class Measured(NamedTuple):
    """One side of one model, with one length and one number of threads."""

    name: str
    side: str
    tokens: int
    threads: int
    seconds: object  # array [turns]
    ratio: float | None  # median of our float32's seconds / these
    disk: int  # bytes


class Report(NamedTuple):
    rows: list  # of dicts, in the form of `bench`, with more keys at their end
    measured: list  # of Measured
    parts: list  # of {"name", "side", "tokens", "threads", and the seconds of each part}
    memory: dict  # {(name, our side): bytes of the peak, or None}; empty unless wanted
    parameters: dict  # {name: number}


def load_models(names):
    """{label: ModelConfig or path} -> {label: (ModelConfig, parameters or None)}"""
    found = {}
    for label, value in names.items():
        if isinstance(value, pathlib.Path):
            saved = load_model(value, in_8_bits=True)
            value, params = saved.config, saved.params
            kinds = {array.dtype.name for array in params.values() if hasattr(array, "dtype")}
            if kinds != {FLOAT32}:
                raise ValueError(f"{label}: found parameters of type {', '.join(sorted(kinds))}, expected float32")
        else:
            params = None
        if params and is_quantized(params):
            say(f"{label}: in 8 bits, {scheme_of(params)}")
        found[label] = value, params
    return found


def default_length(models):
    """LENGTH tokens, or all positions of the model that has the fewest; a line says so -> int"""
    label, (config, _) = min(models.items(), key=lambda pair: pair[1][0].max_position_embeddings)
    if (fewest := config.max_position_embeddings) < LENGTH:
        say(f"texts of {fewest} tokens, the positions of {label}, instead of {LENGTH}")
    return min(LENGTH, fewest)


def check_lengths(models, lengths):
    """ValueError if a model has too few positions for one of the lengths."""
    for label, (config, _) in models.items():
        if max(lengths) > config.max_position_embeddings:
            raise ValueError(f"--length: found {max(lengths)}, expected at most {config.max_position_embeddings}, the"
                             f" positions of {label}")  # fmt: skip


def without_transformers(name, subject, libraries):
    """Whether transformers cannot build the model, and so PyTorch not run it; a line says so."""
    if not any(library_of(side) == TORCH for side in libraries) or is_quantized(subject.params):
        return False
    try:
        return subject.pytorch is None  # built at first use
    except InteropError as error:
        say(f"left out: torch for {name}. {error}")
        return True


def case_of(name, subject, without_torch=False):
    """The case of one model: the sides on which it runs."""
    shape = f"1 x {subject.arrays[0].size}"
    if is_quantized(subject.params):
        return Case(name, shape, "ms", 0.0, (), subject.build, turns=TURNS, reference=OURS_INT8)
    pairs = tuple((own, (side,)) for own, others in COMPARED.items() for side in others
                  if not (without_torch and library_of(side) == TORCH))  # fmt: skip
    return Case(name, shape, "ms", 0.0, (), subject.build, turns=TURNS, also=pairs)


def _rows(case, threads, timings):
    """compared(...) for {side: Timing} -> list of dicts"""
    seconds, first = ({side: timing[i] for side, timing in timings.items()} for i in range(2))
    return [row.data for row in compared(case, threads, seconds, first)]


def rows_across(cases, threads, timings):
    """Each model beside the first one and beside BERT_BASE -> list of dicts; timings: as of `time_together`"""
    rows, first = [], cases[0].name
    for case in cases:
        known, pairs = dict(timings[case.name]), []
        for name in {first: None, **{each: None for each in timings if each == YARDSTICK}}:
            for side, timing in timings[name].items() if name != case.name else ():
                label = f"{name} {side}"  # such as "bert-base torch"
                known[label] = timing
                if precision_of(side) == FLOAT32:
                    pairs += [(own, (label,)) for own in COMPARED]
                elif side in COMPARED:
                    pairs.append((side, (label,)))
        rows += _rows(case._replace(against=(), also=tuple(pairs)), threads, known)
    return rows


def _measured(case, threads, timings, disk):
    """The sides of one model -> list of Measured"""
    beside_float32 = case._replace(against=(), also=tuple((side, (OURS,)) for side in timings))
    ratios = [row["ratio"] for row in _rows(beside_float32, threads, timings)] or [None] * len(timings)
    tokens = int(case.shape.split()[-1])
    return [Measured(case.name, side, tokens, threads, timing.seconds, ratio, disk[side])
            for (side, timing), ratio in zip(timings.items(), ratios, strict=True)]  # fmt: skip


def _prepare(name, subject, sides, with_memory, threads):
    """Build what takes long -> {side: bytes on disk}, {our side: seconds of the parts}, {our side: peak memory}"""
    disk, parts, memory = {side: subject.bytes_on_disk(side) for side in sides}, {}, {}
    for side in (side for side in sides if library_of(side) == OURS):
        params = subject.params_int8 if side == OURS_INT8 else subject.params
        precision = BFLOAT16 if side == OURS_BFLOAT16 else FLOAT32  # of products that are not in 8 bits
        with use_precision(precision):
            parts[side] = seconds_of_parts(params, subject.config, subject.arrays)
        if with_memory:
            memory[side] = memory_of_text(params, subject.config, subject.arrays[0].size, precision, threads)
    return disk, parts, memory


def _with_more(row, prepared):
    """A row with what only `latency` reports; None where it does not apply."""
    disk, _, memory = prepared[row["name"]]
    own = ours_in(row["precision"])
    return row | {
        "ours_disk": disk[own], "theirs_disk": disk.get(row["against"]), "ours_memory": memory.get(own),
        "paper_milliseconds": MILLISECONDS.get(row["name"]),
    }  # fmt: skip


def rows_of(report):
    """The rows of a Report as data, each with the quartiles of our milliseconds.

    A side of ours that was compared with nothing, such as the float32 of a single model, has None for the other side.
    """
    measured = {(one.name, one.side, one.tokens, one.threads): one for one in report.measured
                if library_of(one.side) == OURS}  # fmt: skip
    keys = [(row["name"], ours_in(row["precision"]), int(row["shape"].split()[-1]), row["threads"])
            for row in report.rows]  # fmt: skip
    nothing = dict.fromkeys((*KEYS, "ours_disk", "theirs_disk", "ours_memory"))
    alone = {
        key: nothing | {
            "name": one.name, "shape": f"1 x {one.tokens}", "threads": one.threads, "unit": "ms",
            "ours": 1e3 * quartiles(one.seconds)[1], "precision": precision_of(one.side), "ours_disk": one.disk,
            "ours_memory": report.memory.get((one.name, one.side)),
            "paper_milliseconds": MILLISECONDS.get(one.name),
        }
        for key, one in measured.items() if key not in keys
    }  # fmt: skip
    rows = []
    for key, row in [*zip(keys, report.rows, strict=True), *alone.items()]:
        low, _, high = (1e3 * value for value in quartiles(measured[key].seconds))
        rows.append(row | {"ours_low": low, "ours_high": high})
    return rows


def run(models, lengths, threads, libraries, turns=None, with_memory=False):
    """Measure everything -> Report

    models: {label: (ModelConfig, parameters or None for random ones)}; libraries: the installed sides
    """
    if current_backend() != "numba":
        raise ValueError(f"latency: found back end {current_backend()!r}, expected 'numba', which is what is measured")
    report = Report([], [], [], {}, {name: count_parameters(parameter_shapes(c)) for name, (c, _) in models.items()})
    with progress_bar("latency", len(lengths) * (len(models) + len(threads) * (turns or TURNS))) as bar:
        for tokens in lengths:
            subjects = {name: Subject(config, tokens, params) for name, (config, params) in models.items()}
            cases, prepared = [case_of(*pair, without_transformers(*pair, libraries)) for pair in subjects.items()], {}
            set_all_threads(threads[0], libraries)
            for case in cases:
                bar.update(case.name)
                sides = taking_part(case, libraries)
                found = prepared[case.name] = _prepare(
                    case.name, subjects[case.name], sides, with_memory and tokens == lengths[0], threads[0]
                )
                report.parts.extend(
                    {"name": case.name, "side": side, "tokens": tokens, "threads": threads[0], **seconds}
                    for side, seconds in found[1].items()
                )
                report.memory.update({(case.name, side): taken for side, taken in found[2].items()})
            for count in threads:
                set_all_threads(count, libraries)
                timings = time_together(cases, count, libraries, turns, lambda share: bar.update("in turns"))
                rows = [row for case in cases for row in _rows(case, count, timings[case.name])]
                rows += rows_across(cases, count, timings)
                report.rows.extend(_with_more(row, prepared) for row in rows)
                for case in cases:
                    report.measured.extend(_measured(case, count, timings[case.name], prepared[case.name][0]))
    return report
