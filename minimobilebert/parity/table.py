"""The report as tables for people: a line a layer for models of full size, a line a model for small ones."""

import re

from .differences import LIMITS

_NOTES = """\
Largest relative difference, max |ours - theirs| / max |theirs| of the tensor, over three batches: one segment, two
segments, padding. Limits: {limits}.
Theirs: transformers {transformers}, PyTorch {torch}; ours: back end {backend}. Same numbers under the same names, random, seed {seed};
no dropout. Loss: masked words plus next sentence. MobileBERTs with LayerNorm have an epsilon of 1e-5, the one value that
transformers uses in all of theirs. Where a batch has padding, the word table's row of [PAD] is left out of the gradients:
transformers gives its lookup none. The gradient of a key's bias is 0 by nature; its scale is the key weight's gradient."""

_SIZES = {"V": "vocab_size", "E": "embedding_size", "H": "hidden_size", "C": "intra_bottleneck_size",
          "A": "num_attention_heads", "F": "intermediate_size", "L": "num_hidden_layers", "ffn": "num_feedforward_networks"}  # fmt: skip


def _aligned(lines):
    """Columns two spaces apart, all flush right but the first and the last."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    last = len(widths) - 1
    return [
        "  ".join(cell.ljust(w) if i in (0, last) else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]  # fmt: skip


def _part(tensor):
    """The row of the table that a tensor belongs to: "embeddings", "layer 3", "word logits", ..."""
    name = tensor["name"]
    if tensor["kind"] == "forward":
        kind, number = re.fullmatch(r"(\w+?)(?:\[(\d+)\])?", name).groups()
        if kind == "hidden_states":
            return "embeddings" if number == "0" else f"layer {int(number) - 1}"
        return f"layer {number}" if kind == "attention_maps" else kind.replace("_", " ")
    if layer := re.search(r"\.encoder\.layer\.(\d+)\.", name):
        return f"layer {layer[1]}"
    if ".embeddings." in name:
        return "embeddings"
    return "word logits" if name.startswith("cls.predictions") else "next sentence logits"


def _worst(tensors):
    """Of some tensors of one kind the one that comes closest to a limit, and the largest difference in each type."""
    if not tensors:
        return None, "", ""
    limits = LIMITS[tensors[0]["kind"]]
    closest = max(tensors, key=lambda tensor: max(tensor[dtype] / limits[dtype] for dtype in limits))
    return closest, *(f"{max(tensor[dtype] for tensor in tensors):.1e}" for dtype in limits)


def format_layers(model):
    """A model of full size, a line a layer."""
    parts = {}
    for tensor in model["tensors"]:
        column = "gradient" if tensor["kind"] == "gradient" else tensor["name"].partition("[")[0]
        column = "output" if column not in ("gradient", "attention_maps") else column
        parts.setdefault(_part(tensor), {}).setdefault(column, []).append(tensor)
    lines = [
        [
            "",
            "output",
            "float32",
            "float64",
            "attention map",
            "float32",
            "float64",
            "grads",
            "float32",
            "float64",
            "worst one",
        ]
    ]
    for part, columns in parts.items():
        line = [part]
        for column in ("output", "attention_maps", "gradient"):
            tensors = columns.get(column, [])
            closest, single, double = _worst(tensors)
            text = str(len(tensors)) if column == "gradient" else str(closest["shape"]) if closest else ""
            line += [text if closest else "", single, double]
        name = closest["name"] if closest else ""
        line.append(
            re.sub(r"^\w+\.(encoder\.layer\.\d+|embeddings)\.", "", name) + (f" {closest['shape']}" if closest else "")
        )
        lines.append(line)
    batch, tokens = model["batch"]
    title = f"{model['model']}: {model['parameters']:,} parameters, {batch} x {tokens} tokens{'' if model['ok'] else '  FAIL'}"
    return "\n".join([title, *_aligned(lines)])


def _kind(settings):
    """What a small model is made of, in words."""
    if not settings["use_bottleneck"]:
        return ["-", "yes"]
    attention = "narrow" if settings["bottleneck_attention"] else "shared"
    return [attention, "yes" if settings["classifier_activation"] else "no"]


def format_small(models):
    """Small models, a line each: what it is, and the worst of all its outputs and of all its gradients."""
    lines = [["", *_SIZES, "B", "T", "norm", "activation", "q and k", "trigram", "pooler",
              "outputs", "", "gradients", "", ""]]  # fmt: skip
    for model in models:
        settings = model["settings"]
        bottleneck = settings["use_bottleneck"]
        line = [model["family"], *(str(settings[name]) for name in _SIZES.values()), *map(str, model["batch"])]
        line += [settings["normalization_type"].removesuffix("_norm"), settings["hidden_act"]]
        attention, pooler = _kind(settings)
        line += [attention, "yes" if bottleneck and settings["trigram_input"] else "no", pooler]
        for kind in LIMITS:
            line += _worst([tensor for tensor in model["tensors"] if tensor["kind"] == kind])[1:]
        lines.append([*line, "" if model["ok"] else "FAIL"])
    lines.insert(1, [""] * 16 + ["float32", "float64"] * 2 + [""])
    return "\n".join(_aligned(lines))


def format_verdict(report):
    """The last line: all is within the limits, or the first tensor that is not."""
    for model in report["models"]:
        if first := model["first"]:
            return (f"first diverging tensor: {first['tensor']} ({model['model']}, {first['dtype']}, {first['variant']}),"
                    f" limit {first['limit']:.0e}, found {first['found']:.1e}")  # fmt: skip
    return f"all within the limits: {len(report['models'])} models, {report['seconds']:.0f} seconds"


def format_report(report):
    """The report of `run` as text."""
    full = [model for model in report["models"] if model["full"]]
    small = [model for model in report["models"] if not model["full"]]
    blocks = [format_layers(model) for model in full]
    if small:
        blocks.append(f"{len(small)} small models\n{format_small(small)}")
    limits = "; ".join(
        f"{ {'forward': 'outputs', 'gradient': 'gradients'}[kind]} " + ", ".join(f"{limit:.0e} in {dtype}" for dtype, limit in values.items())
        for kind, values in report["limits"].items()
    )  # fmt: skip
    blocks.append(_NOTES.format(limits=limits, **report["versions"], backend=report["backend"], seed=report["seed"]))
    reasons = {}
    for name, reason in report["not_compared"].items():
        reasons.setdefault(reason, []).append(name)
    blocks += [f"not compared: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n\n".join([*blocks, format_verdict(report)])
