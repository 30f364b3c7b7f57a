"""What the student starts from: as much of the teacher as fits.

    word table       the coordinates X V of word vectors X along their principal directions V [E, E']. X is the word
                     table of the teacher, or its outputs for single words (word_vectors.py). A student with vectors as
                     wide as the teacher's gets a copy of the table.
    map to width H   what the teacher does to its word vectors, W (the identity where it has no map), after V: W V, in
                     the middle third of a trigram's input; the neighbours' thirds start at 0

The rest depends on what X is. If X is the teacher's word table:

    positions,       the teacher's, if H is equal
    segments
    embedding norm   the teacher's, if it is of the same kind. NoNorm for LayerNorm: the line through the points
                     (input of the norm, output of the teacher's) of some text, for each feature

If X are outputs, they are hidden states already: positions and segments are 0, and the norm is 1 and 0.

    blocks           the teacher's, if the shapes are equal (a student that only has fewer layers); else random
    heads            the teacher's, if the shapes are equal
"""

from typing import NamedTuple

import numpy as np

from ..distillation.principal_directions import principal_directions
from ..model.embeddings import embeddings_forward
from ..ops.matmul import matmul
from ..ops.sums import column_sums


class Start(NamedTuple):
    """One line of what is said before training."""

    part: str
    origin: str


def _start_words(student, config, teacher, teacher_config):
    """The word table, in place -> Start, V [E, E'] or None for the same width"""
    table = student[f"{config.prefix}.embeddings.word_embeddings.weight"]
    words = teacher[f"{teacher_config.prefix}.embeddings.word_embeddings.weight"]
    width, teacher_width = table.shape[1], words.shape[1]
    if width == teacher_width:
        table[...] = words
        return Start("word table", "the teacher's"), None
    directions, kept = principal_directions(words, width)
    table[...] = matmul(words, directions)
    return Start(
        "word table", f"{width} principal directions of {teacher_width} keep {kept:.1%} of the squares"
    ), directions


def _maps_by_neighbour(weight, config):
    """The map to the width: [H, E] for the word itself, or three for the next, the same and the previous one; views"""
    return np.split(weight, 3 if config.trigram_input else 1, axis=1)


def _start_map(student, config, teacher, teacher_config, directions):
    """The map from word vectors to the width H, in place: that of the teacher after V -> Start"""
    name, teacher_name = (f"{each.prefix}.embeddings.embedding_transformation" for each in (config, teacher_config))
    weight = student[f"{name}.weight"]
    if teacher_config.has_embedding_transformation:
        of_teacher, origin = _maps_by_neighbour(teacher[f"{teacher_name}.weight"], teacher_config), "the teacher's"
        student[f"{name}.bias"][...] = teacher[f"{teacher_name}.bias"]
    else:
        of_teacher, origin = [np.eye(config.hidden_size, dtype=weight.dtype)], "the directions"
    maps = _maps_by_neighbour(weight, config)
    if len(maps) != len(of_teacher):  # one of them has no trigrams: only the word itself has a counterpart
        maps, of_teacher = maps[len(maps) // 2 :][:1], of_teacher[len(of_teacher) // 2 :][:1]
    weight[...] = 0.0
    for own, other in zip(maps, of_teacher, strict=True):
        own[...] = other if directions is None else matmul(np.ascontiguousarray(other), directions)
    return Start("map to the width", origin)


def _start_from_outputs(student, config, outputs):
    """All embeddings, in place, from word vectors of the teacher's width [V, H'] -> Start"""
    name = f"{config.prefix}.embeddings"
    directions, kept = principal_directions(outputs, config.embedding_size)
    student[f"{name}.word_embeddings.weight"][...] = matmul(outputs, directions)
    for part in ("position_embeddings", "token_type_embeddings", "embedding_transformation"):
        student[f"{name}.{part}.weight"][...] = 0.0
    maps = _maps_by_neighbour(student[f"{name}.embedding_transformation.weight"], config)
    same_width = config.hidden_size == outputs.shape[1]
    maps[len(maps) // 2][...] = directions if same_width else np.eye(config.hidden_size, config.embedding_size)
    found = f"{config.embedding_size} principal directions of {outputs.shape[1]} keep {kept:.1%} of the squares"
    return Start("embeddings", f"the teacher's outputs for single words: {found}")


def _fitted_nonorm(student, config, teacher, teacher_config, batch):
    """weight [H], bias [H] of the NoNorm that is nearest to the teacher's LayerNorm on a batch (least squares)"""
    inputs = batch.input_ids, batch.token_type_ids
    x, _ = embeddings_forward(student, config, *inputs)  # weight 1 and bias 0: the input of the norm
    y, _ = embeddings_forward(teacher, teacher_config, *inputs)
    x, y = (np.ascontiguousarray(each[batch.attention_mask], dtype=np.float64) for each in (x, y))
    x_mean, y_mean = column_sums(x) / len(x), column_sums(y) / len(y)
    x -= x_mean
    weight = column_sums(x * (y - y_mean)) / np.maximum(column_sums(x * x), 1e-30)
    return weight, y_mean - weight * x_mean


def _start_norm(student, config, teacher, teacher_config, batch):
    names = [f"{each.prefix}.embeddings.LayerNorm" for each in (config, teacher_config)]
    weight, bias = (student[f"{names[0]}.{part}"] for part in ("weight", "bias"))
    if config.normalization_type == teacher_config.normalization_type:
        weight[...], bias[...] = (teacher[f"{names[1]}.{part}"] for part in ("weight", "bias"))
        return Start("embedding norm", "the teacher's")
    if config.normalization_type != "no_norm":
        return Start("embedding norm", "1 and 0")
    weight[...], bias[...] = _fitted_nonorm(student, config, teacher, teacher_config, batch)
    return Start("embedding norm", "NoNorm, fitted to the teacher's LayerNorm on the first batch")


def _start_blocks(student, config, teacher, teacher_config, pairs):
    started = []
    for layer, of_teacher in pairs:
        prefix, teacher_prefix = (
            f"{config.prefix}.encoder.layer.{layer}.",
            f"{teacher_config.prefix}.encoder.layer.{of_teacher}.",
        )
        own = {name: array.shape for name, array in student.items() if name.startswith(prefix)}
        others = {
            prefix + name.removeprefix(teacher_prefix): array
            for name, array in teacher.items()
            if name.startswith(teacher_prefix)
        }
        if own == {name: array.shape for name, array in others.items()} and _same_blocks(config, teacher_config):
            for name in own:
                student[name][...] = others[name]
            started.append(str(of_teacher + 1))
    if started:
        return Start("blocks", f"the teacher's layers {', '.join(started)}")
    return Start("blocks", "random: the teacher's have other shapes")


def _same_blocks(config, teacher_config):
    """True if equal weights mean equal functions."""
    fields = ("num_attention_heads", "normalization_type", "hidden_act", "bottleneck_attention")
    return all(getattr(config, field) == getattr(teacher_config, field) for field in fields)


def _start_heads(student, config, teacher):
    heads = [name for name in student if not name.startswith(f"{config.prefix}.")]
    fitting = [name for name in heads if name in teacher and teacher[name].shape == student[name].shape]
    for name in fitting:
        student[name][...] = teacher[name]
    if not heads:
        return []
    return [Start("masked-word head", f"{len(fitting)} of {len(heads)} arrays are the teacher's, the others random")]


def _start_positions(student, config, teacher, teacher_config):
    for part in ("position", "token_type"):
        name = f"embeddings.{part}_embeddings.weight"
        own, other = student[f"{config.prefix}.{name}"], teacher[f"{teacher_config.prefix}.{name}"]
        rows = min(len(own), len(other))
        own[:rows] = other[:rows]
    return Start("positions, segments", "the teacher's")


def _start_embeddings(student, config, teacher, teacher_config, batch):
    """All embeddings, in place, from the teacher's; yields Start"""
    models = student, config, teacher, teacher_config
    words, directions = _start_words(*models)
    yield words
    if config.hidden_size != teacher_config.hidden_size:
        yield Start("the other embeddings", "random: another width than the teacher's")
        return
    if config.has_embedding_transformation:
        yield _start_map(*models, directions)
    yield _start_positions(*models)
    yield _start_norm(*models, batch)


def start_from_teacher(models, pairs, batch, outputs=None):
    """Overwrite the student's first values in place with those of the teacher that fit -> list of Start

    models: the student's parameters and ModelConfig, the teacher's parameters and ModelConfig
    pairs: of layers, from layer_pairs; batch: the text to which NoNorm is fitted
    outputs [V, H'], from word_vectors.py; None: the embeddings start from the teacher's
    """
    student, config, teacher, _ = models
    if outputs is None:
        starts = list(_start_embeddings(*models, batch))
    else:
        starts = [_start_from_outputs(student, config, outputs)]
    return [*starts, _start_blocks(*models, pairs), *_start_heads(student, config, teacher)]
