"""`export --page`: a folder of static files that runs a model in a browser. Any web server can send them.

    index.html, style.css, *.js    the page, copied from files/
    settings.json                  what the page has to know about the model
    vocab.txt                      the tokeniser's pieces
    onnx/                          the graphs, which also return their attention maps
    runtime/                       ONNX Runtime Web and its licence

What the page offers depends on the model:

    masked words                   words for [MASK]
    classes                        their probabilities, or the number of a regression
    settings of sentences          search over sentences
    any model                      attention maps, latency
"""

import pathlib
import shutil

from ...config import preset
from ...support.extras import require
from ...support.files import check_new_folder, name_of, new_folder, write_json
from ...support.requirements import check_disk, check_writable
from ...tasks.glue import TASKS
from ...training.model_folder import find_checkpoint, longest_text, settings_of_run
from ..onnx.folder import FLOAT, Exported, checked_graphs, write_graphs
from .runtime import BYTES, find_runtime, write_runtime

FILES = pathlib.Path(__file__).parent / "files"
_PAPERS_MODEL = preset("mobilebert")  # whose latency on a phone the paper gives
_SIZES = ("prefix", "num_hidden_layers", "hidden_size", "intra_bottleneck_size", "intermediate_size",
          "num_feedforward_networks")  # fmt: skip
_NOTHING = (
    "note: the model has no head for masked words or classes and no settings of sentences, so the page only draws"
    " attention maps and measures the latency"
)


def uses_of(saved):
    """What the page offers for a SavedModel -> list of names"""
    uses = ["fill-mask"] if saved.head in ("pretraining", "masked-words") else []
    uses += ["classification"] if saved.head == "classification" else []
    return uses + ["search"] * (saved.sentence is not None)


def _described(graph):
    """A graph in settings.json: a Written -> dict"""
    numbers = "float32" if graph.name == FLOAT else "8 bits"
    return {"file": f"onnx/{graph.name}", "numbers": numbers, "megabytes": graph.megabytes}


def settings_of(name, saved, graphs, longest, trained=None):
    """The content of settings.json: a SavedModel and its graphs -> dict

    longest: the most pieces of a text; trained: the settings of a fine-tuned run
    """
    config, sentence = saved.config, saved.sentence
    return {
        "name": name,
        "family": config.prefix,
        "uses": uses_of(saved),
        "graphs": [_described(one) for _, one in reversed(graphs)],  # 8 bits first: the page starts with it
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "longest": config.max_position_embeddings,
        "longestTrained": longest,
        "pairs": takes_pairs(config, trained),
        "ofThePaper": all(getattr(config, name) == getattr(_PAPERS_MODEL, name) for name in _SIZES),
        "classes": saved.num_labels,
        "labels": saved.labels,
        "sentence": sentence and {"longest": sentence.longest(config), "prompt": sentence.prompt},
    }  # fmt: skip


def takes_pairs(config, trained=None):
    """Whether the page asks for a second text: a fine-tuned run knows, of others it depends on the segments -> bool"""
    task = (trained or {}).get("task")
    if task == "table":
        return trained.get("text_b") is not None
    if task in TASKS:
        return len(TASKS[task].texts) == 2
    return config.type_vocab_size > 1


def _name_of(folder, checkpoint):
    """What the page calls the model: the name of its folder, or of the run whose student it is -> str"""
    folder = pathlib.Path(folder).resolve()
    return name_of((folder if folder.is_dir() else checkpoint.resolve().parent).name)


def export_page(folder, out, int8=False, runtime=None):
    """folder: a run or a model folder; out: a new folder; int8: in 8 bits too; runtime: for find_runtime -> Exported

    ValueError for a bad model, a missing extra or package, or a folder that is not new: nothing is written then.
    """
    check_new_folder(out)
    check_writable(out)
    require("onnx", "interop")
    checkpoint = find_checkpoint(folder)  # before anything is fetched
    source = find_runtime(runtime)
    saved, graphs = checked_graphs(folder, int8, attention=True)
    settings = settings_of(
        _name_of(folder, checkpoint), saved, graphs, longest_text(folder, saved), settings_of_run(folder)
    )
    check_disk(out, sum(len(serialised) for serialised, _ in graphs) + BYTES, "the page")
    with new_folder(out) as unfinished:
        for file in sorted(FILES.iterdir()):
            shutil.copyfile(file, unfinished / file.name)
        write_runtime(source, unfinished / "runtime")
        write_graphs(unfinished, graphs)
        saved.tokenizer.save(unfinished / "vocab.txt")
        write_json(unfinished / "settings.json", settings)
    return Exported([written for _, written in graphs], [] if uses_of(saved) else [_NOTHING])
