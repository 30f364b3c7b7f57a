"""Commands that run a trained model, store it in 8 bits, convert from and to Hugging Face, and export to ONNX."""

import json
import shlex
import sys

from .options import file_name, json_option, loaded_model, model_option, utf8_text, whole


def fill_mask(arguments):
    from ..inference.fill_mask import fill_mask, format_answers

    answers = fill_mask(loaded_model(arguments), arguments.text, arguments.top)
    print(json.dumps(answers, indent=2) if arguments.json else format_answers(arguments.text, answers))
    return 0


def _fill_mask_arguments(parser):
    parser.add_argument("text", type=utf8_text, help="a text with [MASK] for each word to predict")
    parser.add_argument("--top", type=whole, default=5, help="number of candidates (default 5)")
    model_option(parser)
    json_option(parser)


def nsp(arguments):
    from ..inference.next_sentence import next_sentence

    answer = next_sentence(loaded_model(arguments), arguments.first, arguments.second)
    print(json.dumps(answer) if arguments.json else f"follows {answer['follows']:.4f}  random {answer['random']:.4f}")
    return 0


def _nsp_arguments(parser):
    parser.add_argument("first", type=utf8_text, help="a text")
    parser.add_argument("second", type=utf8_text, help="the text that may follow it")
    model_option(parser)
    json_option(parser)


def convert(arguments):
    from ..interop.convert import from_hf, to_hf

    forward = (arguments.from_hf, arguments.to)
    backward = (arguments.from_run, arguments.to_hf)
    if all(forward) and not any(backward):
        done = from_hf(*forward)
    elif all(backward) and not any(forward):
        done = to_hf(*backward)
    else:
        raise ValueError("convert: expected --from-hf FOLDER --to FOLDER, or --from FOLDER --to-hf FOLDER")
    for note in done.notes:
        print(note, file=sys.stderr)
    written = arguments.to or arguments.to_hf
    print(f"{done.tensors} tensors, {done.config.prefix}, head: {done.head or 'none'}; written to {written}")
    return 0


def _convert_arguments(parser):
    parser.add_argument(
        "--from-hf", type=file_name, metavar="FOLDER", help="a folder with config.json, model.safetensors, vocab.txt"
    )
    parser.add_argument("--to", type=file_name, metavar="FOLDER", help="where to write our model folder; new or empty")
    parser.add_argument(
        "--from", dest="from_run", type=file_name, metavar="FOLDER", help="a run, a stage of it, or a converted model"
    )
    parser.add_argument(
        "--to-hf", type=file_name, metavar="FOLDER", help="where to write for Hugging Face; new or empty"
    )


def quantize(arguments):
    from ..inference.quantize import quantize_folder

    if arguments.column is not None and arguments.calibrate is None:
        raise ValueError("--column: found it without --calibrate, expected it with a table to calibrate with")
    done = quantize_folder(arguments.model, arguments.out, arguments.scales, arguments.calibrate, arguments.column)
    before, after = done.megabytes
    calibrated = f", from {done.texts} paragraphs" if done.texts else ""
    print(f"{done.quantized:,} of {done.parameters:,} numbers in 8 bits ({done.scheme}{calibrated}); {before:.1f} ->"
          f" {after:.1f} MB; written to {arguments.out}")  # fmt: skip
    print("what it costs: compare the two models with `evaluate` (fine-tuned) or `pareto` (sentence encoders)")
    return 0


def _quantize_arguments(parser):
    parser.add_argument("model", type=file_name, metavar="FOLDER", help="a run, a stage of it, or a converted model")
    parser.add_argument(
        "--out", required=True, type=file_name, metavar="FOLDER", help="where to write the model; new or empty"
    )
    parser.add_argument("--scales", default="per-channel", choices=("per-channel", "per-tensor"),
                        help="a scale for each output of a weight (default), or one for the whole weight")  # fmt: skip
    parser.add_argument("--calibrate", type=file_name, metavar="TEXT",
                        help="activations get a fixed scale in each layer, from their largest number on this text"
                        " (default: each token has its own scale, when the model runs)")  # fmt: skip
    parser.add_argument("--column", type=utf8_text, metavar="NAME", help="of a table: the column with the text")


def _described(graph):
    """A line on one graph that was written"""
    worst = {}
    for name, error in graph.errors.items():
        name = name.partition(".")[0]  # the attention maps of all layers together
        worst[name] = max(worst.get(name, 0.0), error)
    errors = ", ".join(f"{name} {error:.1e}" for name, error in worst.items())
    size = f"{graph.megabytes:.1f} MB, {graph.nodes} nodes"
    return f"onnx/{graph.name}: {size}; largest relative error in {graph.runtime}: {errors}"


def _exported(arguments):
    """Write the graphs alone, or with a page around them -> Exported"""
    if arguments.page:
        from ..interop.page.folder import export_page

        return export_page(arguments.model, arguments.page, arguments.int8, arguments.runtime)
    if arguments.runtime:
        raise ValueError("--runtime: found it without --page, expected both: only a page needs ONNX Runtime Web")
    from ..interop.onnx.folder import export

    return export(arguments.model, arguments.onnx, arguments.int8)


def export(arguments):
    done = _exported(arguments)
    for note in done.notes:
        print(note, file=sys.stderr)
    for graph in done.graphs:
        print(_described(graph))
    print(f"written to {arguments.onnx or arguments.page}")
    if arguments.page:
        print(
            f"to open it: python -m http.server --directory {shlex.quote(arguments.page)}, then http://localhost:8000,"
            " or on a phone in the same network http://ADDRESS-OF-THIS-COMPUTER:8000"
        )
    return 0


def _export_arguments(parser):
    parser.add_argument("model", type=file_name, metavar="FOLDER", help="a run, a stage of it, or a converted model")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--onnx", type=file_name, metavar="FOLDER", help="where to write the graphs; new or empty")
    target.add_argument(
        "--page", type=file_name, metavar="FOLDER", help="where to write a web page with the model; new or empty"
    )
    parser.add_argument("--runtime", type=file_name, metavar="FILE",
                        help="of a page: the npm package onnxruntime-web, if it shall not be fetched")  # fmt: skip
    parser.add_argument("--int8", action="store_true", help="in 8 bits too; only in 8 bits if the model is quantised")


COMMANDS = {
    "fill-mask": (
        "predict the words at [MASK]",
        "'The [MASK] of the United States.' --model runs/tiny --top 3", _fill_mask_arguments, fill_mask,
    ),
    "nsp": (
        "predict whether the second text follows the first",
        "'We set sail at dawn.' 'The wind was fair.' --model runs/tiny", _nsp_arguments, nsp,
    ),
    "convert": (
        "read or write a Hugging Face checkpoint (extra interop)",
        "--from-hf data/mobilebert --to runs/mobilebert", _convert_arguments, convert,
    ),
    "quantize": (
        "store a trained model's matrices in 8 bits: up to 4 times smaller",
        "runs/tiny --out runs/tiny8", _quantize_arguments, quantize,
    ),
    "export": (
        "write a trained model for ONNX Runtime and browsers (extra interop)",
        "runs/tiny --onnx web --int8", _export_arguments, export,
    ),
}  # fmt: skip
