"""`parity`: compare all models in float64 and float32 on all batches -> a report as data.

Weights are drawn in float32 and converted to float64, so both columns are about the same model. float64 is first: its
limits are tighter, so it names the first tensor that diverges, while float32 might name a later one.
"""

import time
from typing import NamedTuple

import numpy as np

from ..config import PRESETS
from ..interop.hf_config import config_to_hf
from ..interop.safetensors_files import InteropError
from ..kernels.runtime.backend import current_backend
from ..model.parameters import count_parameters, parameter_shapes
from ..support.extras import require
from ..support.terminal import progress_bar
from .batches import VARIANTS, draw_batch_off_kinks
from .cases import full_models, random_weights, small_models
from .differences import LIMITS, first_beyond
from .models import HEAD, build_transformers_model, compare

DTYPES = ("float64", "float32")


class Divergence(NamedTuple):
    """The first tensor with a difference above its limit."""

    tensor: str
    dtype: str
    variant: str
    found: float
    limit: float


def _first_divergence(found, dtype, variant):
    first = first_beyond(found, dtype)
    if first is None:
        return None
    name = first.name if first.kind == "forward" else f"gradient of {first.name}"
    return Divergence(name, dtype, variant, first.value, LIMITS[first.kind][dtype])


def check_case(case, seed, step=lambda text: None):
    """Compare one model: three batches in two dtypes -> its part of the report

    {"model", "full", "family", "settings", "parameters", "batch": [B, T], "ok", "first": a Divergence as dict or None,
    "tensors": [{"name", "kind", "shape", "float64", "float32"}], the maximum over all batches, in order of computation}
    """
    config, worst, first = case.config, {}, None
    params = random_weights(config, np.random.default_rng([*seed, 1]))
    batches = [draw_batch_off_kinks(case, variant, params, np.random.default_rng([*seed, 2, i]))
               for i, variant in enumerate(VARIANTS)]  # fmt: skip
    reference = build_transformers_model(params, config)
    for dtype in DTYPES:
        typed = {name: array.astype(dtype) for name, array in params.items()}
        reference = reference.to(getattr(require("torch", "compare"), dtype))
        for variant, batch in zip(VARIANTS, batches, strict=True):
            found = compare(typed, config, batch, reference)
            first = first or _first_divergence(found, dtype, variant)
            for tensor in found:
                key = (tensor.name, tensor.kind)
                row = worst.setdefault(key, {"name": tensor.name, "kind": tensor.kind, "shape": list(tensor.shape)})
                row[dtype] = max(row.get(dtype, 0.0), tensor.value)
            step(f"{case.name} {dtype}")
    return {
        "model": case.name, "full": case.full, "family": config.prefix, "settings": vars(config),
        "parameters": count_parameters(parameter_shapes(config, HEAD)), "batch": [case.batch_size, case.tokens],
        "first": first and first._asdict(), "ok": first is None, "tensors": list(worst.values()),
    }  # fmt: skip


def not_comparable():
    """{preset that transformers cannot build: reason}"""
    reasons = {}
    for name, config in PRESETS.items():
        try:
            config_to_hf(config, HEAD, None, name)
        except InteropError as error:
            reasons[name] = str(error).rpartition(": ")[2]
    return reasons


def run(seed, cases=None):
    """Compare all `cases` with transformers (default: three models of full size and a dozen small ones)

    -> {"seed", "backend", "versions", "limits", "models": [parts of `check_case`], "not_compared", "seconds", "ok"}
    MissingExtra without torch and transformers.
    """
    versions = {name: require(name, "compare").__version__ for name in ("torch", "transformers")}
    cases, start = [*full_models(), *small_models(seed)] if cases is None else cases, time.perf_counter()
    with progress_bar("parity", len(cases) * len(DTYPES) * len(VARIANTS)) as bar:
        models = [check_case(case, (seed, number), bar.update) for number, case in enumerate(cases)]
    return {
        "seed": seed, "backend": current_backend(), "versions": versions, "limits": LIMITS, "models": models,
        "not_compared": not_comparable(), "seconds": time.perf_counter() - start,
        "ok": all(model["ok"] for model in models),
    }  # fmt: skip
