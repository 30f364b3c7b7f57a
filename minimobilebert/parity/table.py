"""The report as text: one line per layer for models of full size, one line per model for small ones."""

import re

from ..support.tables import aligned
from .differences import LIMITS

_NOTES = """\
Largest relative difference, max |a - b| / max |b| per tensor, over three batches: one segment, two segments, padding.
Limits: outputs {outputs}; gradients {gradients}.
a: minimobilebert, back end {backend}. b: transformers {transformers}, PyTorch {torch}. Both have the same random
parameters, seed {seed}, and no dropout; the loss is that of masked words plus that of next sentences.
MobileBERTs with LayerNorm have epsilon 1e-5 here, the only value that transformers can have in all its LayerNorms. If a
batch has padding, the word table's row of [PAD] is excluded from the gradients: its lookup has none in transformers.
The exact gradient of a key's bias is 0, so we compare rounding errors, on the scale of the key's weight."""

_SIZES = {
    "V": "vocab_size", "E": "embedding_size", "H": "hidden_size", "C": "intra_bottleneck_size",
    "A": "num_attention_heads", "F": "intermediate_size", "L": "num_hidden_layers", "ffn": "num_feedforward_networks",
}  # fmt: skip
_COLUMNS = ("output", "attention map", "grads")
_LEFT = (0, -1)


def _cell_of(tensor):
    """The row and column of a tensor in the table: ("layer 3", "grads"), ("word logits", "output"), ..."""
    name = tensor["name"]
    if tensor["kind"] == "forward":
        output, _, number = name.rstrip("]").partition("[")
        if output == "attention_maps":
            return f"layer {number}", "attention map"
        if output == "hidden_states":
            return "embeddings" if number == "0" else f"layer {int(number) - 1}", "output"
        return output.replace("_", " "), "output"
    if layer := re.search(r"\.encoder\.layer\.(\d+)\.", name):
        return f"layer {layer[1]}", "grads"
    if ".embeddings." in name:
        return "embeddings", "grads"
    return "word logits" if name.startswith("cls.predictions.") else "next sentence logits", "grads"


def _worst(tensors):
    """The largest difference of some tensors per dtype, as text."""
    return [f"{max(tensor[dtype] for tensor in tensors):.1e}" if tensors else "" for dtype in ("float32", "float64")]


def _closest(tensors):
    """Name (without the layer) and shape of the tensor with the largest ratio to its limit."""
    limits = LIMITS[tensors[0]["kind"]]
    tensor = max(tensors, key=lambda tensor: max(tensor[dtype] / limits[dtype] for dtype in limits))
    return re.sub(r"^\w+\.(encoder\.layer\.\d+|embeddings)\.", "", tensor["name"]) + f" {tensor['shape']}"


def format_layers(model):
    """A model of full size, with one line per layer."""
    rows = {}
    for tensor in model["tensors"]:
        row, column = _cell_of(tensor)
        rows.setdefault(row, {name: [] for name in _COLUMNS})[column].append(tensor)
    lines = [["", *(head for name in _COLUMNS for head in (name, "float32", "float64")), "worst one"]]
    for row, columns in rows.items():
        line = [row]
        for name in ("output", "attention map"):
            line += [str(columns[name][0]["shape"]) if columns[name] else "", *_worst(columns[name])]
        gradients = columns["grads"]
        line += [str(len(gradients)) if gradients else "", *_worst(gradients)]
        lines.append([*line, _closest(gradients) if gradients else ""])
    batch, tokens = model["batch"]
    title = f"{model['model']}: {model['parameters']:,} parameters, {batch} x {tokens} tokens"
    return "\n".join([title + ("" if model["ok"] else "  FAIL"), *aligned(lines, _LEFT)])


def format_small(models):
    """Small models, one line each: the settings, and the largest differences of outputs and gradients."""
    heads = ["", *_SIZES, "B", "T", "norm", "activation", "q and k", "trigram", "pooler"]
    lines = [[*heads, "outputs", "", "gradients", "", ""], [""] * len(heads) + ["float32", "float64"] * 2 + [""]]
    for model in models:
        settings = model["settings"]
        read = "narrow" if settings["bottleneck_attention"] else "shared" if settings["use_bottleneck"] else "wide"
        line = [model["family"], *(str(settings[name]) for name in _SIZES.values()), *map(str, model["batch"])]
        line += [settings["normalization_type"].removesuffix("_norm"), settings["hidden_act"], read]
        line += ["yes" if settings[name] else "no" for name in ("trigram_input", "classifier_activation")]
        for kind in LIMITS:
            line += _worst([tensor for tensor in model["tensors"] if tensor["kind"] == kind])
        lines.append([*line, "" if model["ok"] else "FAIL"])
    return "\n".join([f"{len(models)} small models", *aligned(lines, _LEFT)])


def format_summary(report):
    """The largest differences of outputs and gradients, for each model of full size and for all small ones together."""
    groups = {model["model"]: [model] for model in report["models"] if model["full"]}
    small = [model for model in report["models"] if not model["full"]]
    groups |= {f"{len(small)} small models": small} if small else {}
    lines = [["", "outputs", "", "gradients", "", ""], ["", *["float32", "float64"] * 2, ""]]
    lines.append(["limit", *(f"{LIMITS[kind][dtype]:.0e}" for kind in LIMITS for dtype in LIMITS[kind]), ""])
    for name, models in groups.items():
        tensors = [tensor for model in models for tensor in model["tensors"]]
        worst = [text for kind in LIMITS for text in _worst([tensor for tensor in tensors if tensor["kind"] == kind])]
        lines.append([name, *worst, "" if all(model["ok"] for model in models) else "FAIL"])
    return "\n".join(aligned(lines, _LEFT))


def format_verdict(report):
    """The last line: all differences are within the limits, or the first tensor above its limit."""
    for model in report["models"]:
        if first := model["first"]:
            where = f"{model['model']}, {first['dtype']}, {first['variant']}"
            return (
                f"first diverging tensor: {first['tensor']} ({where}), limit {first['limit']:.0e},"
                f" found {first['found']:.1e}"
            )
    return f"all within the limits: {len(report['models'])} models, {report['seconds']:.0f} seconds"


def format_report(report):
    """The report of `run` as text."""
    small = [model for model in report["models"] if not model["full"]]
    blocks = [format_layers(model) for model in report["models"] if model["full"]]
    blocks += [format_small(small)] if small else []
    limits = [", ".join(f"{limit:.0e} in {dtype}" for dtype, limit in LIMITS[kind].items()) for kind in LIMITS]
    blocks.append(_NOTES.format(outputs=limits[0], gradients=limits[1], **report["versions"], **{
        name: report[name] for name in ("backend", "seed")
    }))  # fmt: skip
    reasons = {}
    for name, reason in report["not_compared"].items():
        reasons.setdefault(reason, []).append(name)
    blocks += [f"not compared: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n\n".join([*blocks, format_summary(report), format_verdict(report)])
