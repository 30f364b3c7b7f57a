"""Commands that run a trained model, and conversion from and to Hugging Face."""

import json
import sys

from .options import file_name, json_option, model_option, positive, utf8_text, whole


def _model(arguments):
    from ..inference.model import Model

    return Model.load(arguments.model)


def fill_mask(arguments):
    from ..inference.fill_mask import fill_mask, format_answers

    answers = fill_mask(_model(arguments), arguments.text, arguments.top)
    print(json.dumps(answers, indent=2) if arguments.json else format_answers(arguments.text, answers))
    return 0


def _fill_mask_arguments(parser):
    parser.add_argument("text", type=utf8_text, help="a text with [MASK] for each word to predict")
    parser.add_argument("--top", type=whole, default=5, help="number of candidates (default 5)")
    model_option(parser)
    json_option(parser)


_MOST_INPUT = 1 << 28  # bytes of standard input
_TABLE = 20  # the largest number of texts for which we print the table of all cosines


def _lines_of_standard_input():
    """The non-empty lines of standard input, decoded as UTF-8 for any encoding of the terminal -> list of str"""
    if sys.stdin.isatty():
        print("reading texts, one per line, until the end of the input (Ctrl-D; on Windows Ctrl-Z)", file=sys.stderr)
    content, texts = bytearray(), []
    while data := sys.stdin.buffer.read1(1 << 20):
        content += data
        if len(content) > _MOST_INPUT:  # it may have no end
            raise ValueError(f"standard input: found more than {_MOST_INPUT:,} bytes, expected fewer at a time")
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise ValueError(f"standard input, line {number}: found byte 0x{found:02x}, expected UTF-8") from None
        if text.strip():
            texts.append(text)
    return texts


def _print_as_json(rows):
    """Print a list as JSON, one row at a time, to save memory."""
    print("[", end="")
    for number, row in enumerate(rows):
        print(",\n " if number else "", json.dumps(row), sep="", end="")
    print("]")


def embed(arguments):
    from ..inference.embed import embed, format_similarities, lines_of_nearest
    from ..inference.neighbours import nearest

    texts = arguments.text or _lines_of_standard_input()
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise ValueError(f"text {number}: found nothing, expected words")
    if not texts:
        raise ValueError("text: found none, expected some as arguments or as lines of the standard input")
    vectors = embed(_model(arguments), texts, pooling=arguments.pooling)
    if not arguments.json and not arguments.top and len(texts) <= _TABLE:
        print(format_similarities(texts, vectors))
        return 0
    top = arguments.top or (0 if arguments.json else 3)
    indices, cosines = nearest(vectors, top)
    if arguments.json:
        _print_as_json(_row(texts, i, vectors[i], indices[i], cosines[i], arguments.top) for i in range(len(texts)))
        return 0
    for line in lines_of_nearest(texts, indices, cosines):
        print(line)
    return 0


def _row(texts, i, vector, indices, cosines, top):
    row = {"text": texts[i], "vector": vector.tolist()}
    if top:
        pairs = zip(indices.tolist(), cosines.tolist(), strict=True)
        row["nearest"] = [{"number": index + 1, "cosine": cosine} for index, cosine in pairs]
    return row


def _embed_arguments(parser):
    parser.add_argument("text", nargs="*", type=utf8_text,
                        help="texts; without any, every line of the standard input is one")  # fmt: skip
    parser.add_argument("--pooling", default="mean", choices=("mean", "cls"),
                        help="how a text becomes one vector (default mean)")  # fmt: skip
    parser.add_argument("--top", type=positive, metavar="N",
                        help=f"the N nearest texts to each (default 3, with more than {_TABLE} texts)")  # fmt: skip
    model_option(parser)
    json_option(parser)


def nsp(arguments):
    from ..inference.next_sentence import next_sentence

    answer = next_sentence(_model(arguments), arguments.first, arguments.second)
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


COMMANDS = {
    "fill-mask": (
        "predict the words at [MASK]",
        "'The [MASK] of the United States.' --model runs/tiny --top 3", _fill_mask_arguments, fill_mask,
    ),
    "embed": (
        "compute vectors of texts, and compare them",
        "'A ship at sea.' 'A boat on the water.' --model runs/tiny", _embed_arguments, embed,
    ),
    "nsp": (
        "predict whether the second text follows the first",
        "'We set sail at dawn.' 'The wind was fair.' --model runs/tiny", _nsp_arguments, nsp,
    ),
    "convert": (
        "read or write a Hugging Face checkpoint (extra interop)",
        "--from-hf data/mobilebert --to runs/mobilebert", _convert_arguments, convert,
    ),
}  # fmt: skip
