"""The tasks as boxes of the model, as in the paper's Figure 1: which of them are yours by now.

In _MAP each <name...> is a box. It becomes the name and the number of its solved tasks, in the same width.
"""

import re

from ..shared.checking import PASSED

_MAP = """\
      teacher                                          student
   +-----------+                            +--------------------------------+
   | heads     |  <predictions.......> ==>  | <heads, losses...............> |
   +-----------+                            +--------------------------------+
   | blocks    |  <feature maps......> ==>  | <blocks......................> |
   |           |                            |  +--------------------------+  |
   |           |                            |  | <normalisation.........> |  |
   |           |                            |  | <feed-forwards.........> |  |
   |           |                            |  | <activations...........> |  |
   |           |  <attention maps....> ==>  |  | <attention.............> |  |
   |           |                            |  | <dense layers..........> |  |
   |           |  <layer by layer....> ==>  |  +--------------------------+  |
   +-----------+                            +--------------------------------+
   | embedding |                            | <embedding...................> |
   +-----------+                            +--------------------------------+
         ^                                                  ^
         +------------- <word pieces, masks...> ------------+

   <gradient check.....>    <fast kernels.......>    <optimisers.........>
   <fine-tuning........>    <checkpoints........>    <half precision.....>
   <real models........>    <8 bits.............>    <graphs.............>
   <many machines......>"""

# The box of a function is that of the longest beginning of its name.
_BOXES = {
    "distillation/pretraining_distillation": "predictions",
    "ops/softmax": "heads, losses", "ops/cross_entropy": "heads, losses", "model/heads": "heads, losses",
    "distillation/feature_map_transfer": "feature maps", "distillation/masked_mean": "feature maps",
    "distillation/normalized_feature_map_transfer": "feature maps",
    "model/block": "blocks", "model/encoder": "blocks",
    "ops/layernorm": "normalisation", "ops/nonorm": "normalisation",
    "model/feed_forward": "feed-forwards",
    "ops/relu": "activations", "ops/gelu": "activations", "ops/tanh": "activations",
    "ops/attention": "attention", "model/self_attention": "attention",
    "distillation/attention_transfer": "attention maps",
    "ops/linear": "dense layers",
    "distillation/layer_transfer": "layer by layer", "training/schedules.py:progressive": "layer by layer",
    "ops/trigram": "embedding", "ops/embedding": "embedding", "model/embeddings": "embedding",
    "text/": "word pieces, masks",
    "gradcheck/": "gradient check", "kernels/": "fast kernels", "training/": "optimisers", "tasks/": "fine-tuning",
    "interop/": "checkpoints", "ops/bfloat16": "half precision",
    "distillation/": "real models", "ops/pooling": "real models",
    "ops/quantized_linear": "8 bits", "kernels/gemm/quads": "8 bits",
    "interop/onnx/": "graphs", "model/parts": "many machines", "distributed/": "many machines",
}  # fmt: skip
OTHERS = "other functions"
_GREEN, _YELLOW, _DIM, _END = "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


def box_of(function):
    """The box of a task's function, such as "minimobilebert/ops/attention.py:attention_forward" -> its name"""
    name = function.removeprefix("minimobilebert/")
    fitting = [start for start in _BOXES if name.startswith(start)]
    return _BOXES[max(fitting, key=len)] if fitting else OTHERS


def draw_map(rows, colour=False):
    """rows: as `progress` returns them -> the picture; colour: for a terminal"""
    counts = {}
    for row in rows:
        done, tasks = counts.get(box_of(row["function"]), (0, 0))
        counts[box_of(row["function"])] = done + (row["state"] == PASSED), tasks + 1
    picture = _MAP + (f"\n   <{OTHERS}....>" if OTHERS in counts else "")

    def box(match):
        name, width = match[1], len(match[0])
        done, tasks = counts.get(name, (0, 0))
        state = f"{done}/{tasks}" if tasks else "-"
        text = f"{name:<{width - len(state)}}{state}"
        if not colour or (tasks and not done):
            return text
        return f"{_DIM if not tasks else _GREEN if done == tasks else _YELLOW}{text}{_END}"

    return re.sub(r"<([^.>]+)\.*>", box, picture)
