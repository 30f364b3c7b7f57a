"""`plan`: what training costs on machines that are not here: one row for each number of ranks.

Times of one rank are measured (step_times.py), everything else is computed (step_cost.py, distributed/cost.py).
"""

import math
from typing import NamedTuple

import numpy as np

from ..config import ModelConfig
from ..distributed import cost
from ..distributed.overlap import plan_buckets
from ..distributed.owners import owners
from ..model.memory import training_step_bytes
from ..model.parameters import count_parameters, parameter_shapes
from .latency_models import MODELS
from .step_cost import BYTES, Job, StepTimes, efficiency, powers_of_two, step, stops_scaling
from .training import CONFIGS as _STEPS

# The corpus of BERT and MobileBERT: English Wikipedia (2,500M words) and BooksCorpus (800M). The BERT paper (Section
# 3.1, Appendix A.2) counts 1,000,000 steps of 256 x 512 tokens as 40 epochs, which is 3,280M tokens an epoch.
CORPUS_TOKENS = 3_300_000_000
CLASSROOM = {name.removeprefix("train_").replace("_", "-"): config for name, config in _STEPS.items()}
KNOWN = MODELS | {name: config for name, config in CLASSROOM.items() if name not in MODELS}


class Request(NamedTuple):
    """What was asked for."""

    name: str
    config: ModelConfig
    job: Job
    length: int  # tokens of a row
    tokens: int  # of an epoch
    ranks: int
    network: cost.Network


class Plan(NamedTuple):
    request: Request
    times: StepTimes
    rows: list  # of dicts, one for each number of ranks
    stops: int | None  # ranks


def config_of(name):
    """The name of a model or of a folder -> ModelConfig"""
    if name in KNOWN:
        return KNOWN[name]
    from ..training.model_folder import load_model

    return load_model(name).config


def numbers_of(config):
    """Parameters that are trained, with both heads of pre-training"""
    return count_parameters(parameter_shapes(config, "pretraining"))


def job_of(config, batch, part, reduction="deterministic", overlap=False):
    """-> Job; its buckets are those of distributed/overlap.py"""
    shapes = parameter_shapes(config, "pretraining")
    buckets = plan_buckets({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()})
    numbers = count_parameters(shapes)
    of_layers = count_parameters({name: shapes[name] for names in buckets for name in names})
    return Job(numbers, batch, part, reduction, overlap, 1 - of_layers / numbers, len(buckets) + 1)


def check_request(request):
    """ValueError for numbers that do not fit together."""
    config, job = request.config, request.job
    if request.length > config.max_position_embeddings:
        raise ValueError(
            f"--length: found {request.length}, expected at most {config.max_position_embeddings}: {request.name} has"
            " no more positions"
        )
    if request.ranks > job.batch:
        raise ValueError(f"--ranks: found {request.ranks}, expected at most the {job.batch} rows of --batch")


def _largest_share(config, ranks):
    """The share of the parameters that the rank with the most of them owns"""
    sizes = {name: math.prod(shape) for name, shape in parameter_shapes(config, "pretraining").items()}
    load = [0] * ranks
    for name, rank in owners(sizes, ranks).items():
        load[rank] += sizes[name]
    return max(load) / sum(load)


def memory_of_rank(request, ranks):
    """Bytes of one rank in a step -> {"parameters", "gradients", "moments", "activations", "sums", "total", "sharded"}

    sums: partial sums of parts, one for each level of the tree, and at the end what arrives and what is sent back
    sharded: the total with shard_optimizer=true: a rank keeps the moments of its own parameters (ZeRO, stage 1)
    """
    job = request.job
    parts = job.parts(ranks)
    rows, array = -(-job.batch // parts), BYTES * job.numbers
    bytes_of = training_step_bytes(request.config, rows, request.length)
    levels = math.ceil(math.log2(-(-parts // ranks))) if parts > 1 else 0
    own = array * (levels + 1) if parts > 1 else 0
    arrives = array * (cost.additions(ranks, cost.parts_apart(job.reduction, parts)) + 1) if ranks > 1 else 0
    found = {
        "parameters": bytes_of["bytes_parameters"], "gradients": bytes_of["bytes_gradients"],
        "moments": bytes_of["bytes_moments"], "activations": bytes_of["bytes_activations"],
    }  # fmt: skip
    computing = found["gradients"] + found["activations"] + own
    reducing = array + arrives if ranks > 1 else 0
    found["sums"] = int(max(computing, reducing) - found["gradients"] - found["activations"])
    total = sum(found.values())
    sharded = total - found["moments"] + int(found["moments"] * _largest_share(request.config, ranks))
    return found | {"total": total, "sharded": sharded}


def _row(request, ranks, times, first):
    job = request.job
    found = step(job, ranks, times, request.network)
    steps = request.tokens / (job.batch * request.length)
    return {
        "ranks": ranks, "parts": job.parts(ranks), "seconds": found.seconds, "gradients": found.gradients,
        "sums": found.sums, "network": found.network, "fixed": found.fixed, "communication": found.communication,
        "efficiency": efficiency(first, found, ranks), "epoch_hours": steps * found.seconds / 3600,
        "memory": memory_of_rank(request, ranks),
    }  # fmt: skip


def make_plan(request, times):
    """-> Plan, for 1, 2, 4, ... ranks and the number that was asked for"""
    first = step(request.job, 1, times, request.network)
    rows = [_row(request, ranks, times, first) for ranks in powers_of_two(request.ranks)]
    return Plan(request, times, rows, stops_scaling(request.job, times, request.network))


def algorithms(request):
    """Seconds of the network for each way to add up, with the most ranks, and for each number of ranks

    -> {algorithm: [seconds]}, in the order of powers_of_two
    """
    size = BYTES * request.job.numbers
    return {
        name: [cost.seconds_of(traffic(ranks, size), request.network) for ranks in powers_of_two(request.ranks)]
        for name, traffic in cost.ALGORITHMS.items()
    }


def as_json(plan):
    """The whole plan as a dict of numbers and texts"""
    request = plan.request
    return {
        "model": request.name, **request.job._asdict(), "length": request.length, "tokens": request.tokens,
        "network": request.network._asdict(),
        "measured": plan.times._asdict(), "rows": plan.rows, "stops_scaling": plan.stops,
        "algorithms": algorithms(request),
    }  # fmt: skip
