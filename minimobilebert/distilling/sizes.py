"""The table that is printed before training: what each student would cost beside its teacher."""

import numpy as np

from ..inference.engine import Engine
from ..kernels.runtime.precision import use_precision
from ..model.memory import activation_bytes
from ..model.parameters import count_parameters, init_parameters, parameter_shapes
from ..model.quantization import as_arrays
from ..model.sizes import forward_flops
from ..support.timing import quartiles, times_in_turns
from .students import NAMES, named_student

TOKENS = 128  # of the text whose latency is measured, or fewer if one of the models has fewer positions
_TURNS, _SECONDS = 15, 4.0  # at most


def _forward(tokens, params, config):
    """-> a function that runs the encoder once on one text of so many pieces"""
    rng = np.random.default_rng(1)
    params = params or init_parameters(parameter_shapes(config), config, rng)
    ids = rng.integers(0, config.vocab_size, (1, tokens)).astype(np.int32)
    types, mask = np.zeros_like(ids), np.ones(ids.shape, bool)
    engine = Engine(params, config)
    return lambda: engine(ids, types, mask)


def measured_sizes(models):
    """What each model costs, measured in turns.

    models: {name: (parameters, or None for random ones, ModelConfig)}
    -> {name: {"parameters", "megabytes", "pieces", "gigaflops", "milliseconds"}}; heads do not count, and the text has
    the same number of pieces for all
    """
    tokens = min(TOKENS, *(config.max_position_embeddings for _, config in models.values()))
    forwards = {name: _forward(tokens, *model) for name, model in models.items()}
    seconds = times_in_turns(forwards, _TURNS, limit=_SECONDS)
    found = {}
    for name, (params, config) in models.items():
        shapes = parameter_shapes(config)
        parameters = count_parameters(shapes)
        stored = as_arrays({name: params[name] for name in shapes if name in params}).values() if params else ()
        found[name] = {
            "parameters": parameters,
            "megabytes": (sum(array.nbytes for array in stored) or 4 * parameters) / 1e6,
            "pieces": tokens,
            "gigaflops": forward_flops(config, tokens) / 1e9,
            "milliseconds": 1e3 * quartiles(seconds[name])[1],
        }
    return found


def sizes_beside_teacher(teacher, chosen_name, chosen):
    """Teacher, the chosen student and the named sizes; teacher, chosen: ModelConfig -> as `measured_sizes`"""
    configs = {"teacher": teacher}
    for name in NAMES:
        configs[name] = named_student(name, teacher)
    if configs[chosen_name] == chosen:
        del configs[chosen_name]
    configs[f"{chosen_name} (chosen)"] = chosen
    return measured_sizes({name: (None, config) for name, config in configs.items()})


def step_megabytes(settings, teacher):
    """Memory of one training step, at the full length of texts: weights and stored arrays of both models, and the
    student's gradients and moments -> float"""
    student, shape = settings.student_config, (settings.batch_size, settings.max_length)
    head = "masked-words" if settings.has_words else None
    weights = 4 * sum(
        (count_parameters(parameter_shapes(teacher)), 4 * count_parameters(parameter_shapes(student, head)))
    )
    with use_precision(settings.precision):
        stored = sum(activation_bytes(config, *shape, dropout=False, keep_scores=True) for config in (teacher, student))
    return (weights + stored) / 1e6


def rows_of_sizes(sizes):
    """As rows of text, with headings."""
    base, pieces = (sizes["teacher"][key] for key in ("milliseconds", "pieces"))
    rows = [["", "parameters", "MB", f"GFLOP ({pieces} pieces)", "ms", "times faster"]]
    for name, size in sizes.items():
        rows.append([name, f"{size['parameters']:,}", f"{size['megabytes']:.1f}", f"{size['gigaflops']:.2f}",
                     f"{size['milliseconds']:.1f}", f"{base / size['milliseconds']:.1f}"])  # fmt: skip
    return rows
