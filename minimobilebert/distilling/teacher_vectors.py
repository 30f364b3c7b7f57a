"""The teacher's sentence vectors, for a student that learns nothing else.

A text that is the same whenever it is seen has its vectors computed once, for all rows:

    OUT/teacher_vectors/00000.npy     [PART, H] float32: the vectors of the first PART rows; the last part has the rest
    OUT/teacher_vectors/parts.json    what the vectors depend on, and the sha256 of each finished part

Parts are written atomically; after an interruption the same command goes on behind the last one.

Otherwise they are computed in each step. Both ways the teacher runs as for inference (inference/engine.py), without the
caches that a backward pass would read, and with teacher_precision "int8" in 8 bits.
"""

from typing import NamedTuple

import numpy as np

from ..inference.engine import Engine
from ..kernels.runtime.backend import current_backend
from ..model.quantization import quantize
from ..ops.pooling import pool_forward
from ..support.files import replacing, sha256_of, write_json
from ..support.requirements import check_disk
from ..support.shapes import ANY
from ..support.structured_files import read_json
from ..support.terminal import progress_bar, say
from ..training.manifest import DamagedRun
from .settings import INT8

FOLDER, PARTS = "teacher_vectors", "parts.json"
PART = 2**14  # rows
_BATCH = 64


class VectorBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32
    attention_mask: np.ndarray  # [B, T] bool
    teacher_vectors: np.ndarray  # [B, H']


class StoredVectors:
    """The batches of a ShardBatches with the teacher's vectors: `batches(step)` -> VectorBatch"""

    def __init__(self, batches, folder, parts):
        self.batches = batches
        self._parts = [np.load(folder / _name_of(part), mmap_mode="r") for part in range(parts)]

    def __call__(self, step):
        rows = self.batches.rows(step)
        vectors = np.stack([self._parts[row // PART][row % PART] for row in rows])
        return VectorBatch(*self.batches.batch(rows), vectors)


class ComputedVectors:
    """Computes the teacher's vectors of a batch, or of a part of one: InputBatch -> VectorBatch"""

    def __init__(self, engine, pooling):
        self.engine, self.pooling = engine, pooling

    def __call__(self, batch):
        ids, types, mask, *_ = batch
        vectors, _ = pool_forward(self.engine(ids, types, mask), mask, self.pooling)
        return VectorBatch(ids, types, mask, vectors)


def _name_of(part):
    return f"{part:05}.npy"


def _vectors_of(engine, batches, rows, pooling):
    """The vectors of neighbouring rows, computed in batches by length -> [N, H]"""
    lengths = batches.shards.lengths(rows)
    order = np.argsort(lengths, kind="stable")
    vectors = np.empty((len(rows), engine.config.hidden_size), np.float32)
    for start in range(0, len(rows), _BATCH):
        indices = order[start : start + _BATCH]
        ids, types, mask = batches.batch(rows[indices])
        vectors[indices], _ = pool_forward(engine(ids, types, mask), mask, pooling)
    return vectors


def _finished_parts(folder, described):
    """The sha256 of the parts that an earlier run finished. DamagedRun if one was changed."""
    path = folder / PARTS
    if not path.exists():
        return []
    known = read_json(path, {"of": {str: ANY}, "sha256": [str]})
    if known["of"] != described:  # left by a run that was stopped before it wrote its own configuration
        return []
    for part, sha256 in enumerate(known["sha256"]):
        file = folder / _name_of(part)
        if not file.exists():
            say(f"note: {file} is missing; it and what follows is made again")
            return known["sha256"][:part]
        if sha256_of(file) != sha256:
            raise DamagedRun(
                f"{file}: found other contents than this run wrote, expected the same; remove the file, and the same"
                " command makes it again"
            )
    return known["sha256"]


def _engine(run):
    """The teacher as it runs for its vectors -> Engine"""
    params, config = run.teacher
    return Engine(quantize(params, config) if run.settings.teacher_precision == INT8 else params, config)


def computed_vectors(run):
    """Vectors that are computed in each step -> ComputedVectors; run: Distillation"""
    return ComputedVectors(_engine(run), run.settings.pooling)


def stored_vectors(run):
    """Compute the vectors of all rows, unless that was done -> StoredVectors; run: Distillation"""
    batches, settings, folder = run.data.plain, run.settings, run.folder / FOLDER
    config, rows = run.saved.config, batches.shards.rows
    described = {**run.inputs(), "max_length": settings.max_length, "pooling": settings.pooling,
                 "precision": settings.precision, "teacher_precision": settings.teacher_precision,
                 "backend": current_backend()}  # fmt: skip
    done, parts = _finished_parts(folder, described), -(-rows // PART)
    if len(done) < parts:
        check_disk(folder, 4 * (rows - len(done) * PART) * config.hidden_size, "the teacher's sentence vectors")
        engine = _engine(run)
        folder.mkdir(exist_ok=True)
        with progress_bar("teacher's vectors", parts, len(done), "part") as bar:
            for part in range(len(done), parts):
                numbers = np.arange(part * PART, min((part + 1) * PART, rows))
                with replacing(folder / _name_of(part)) as file:
                    np.save(file, _vectors_of(engine, batches, numbers, settings.pooling))
                done.append(sha256_of(folder / _name_of(part)))
                write_json(folder / PARTS, {"of": described, "sha256": done})
                bar.update()
    return StoredVectors(batches, folder, parts)
