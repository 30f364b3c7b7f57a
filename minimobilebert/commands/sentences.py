"""Commands for the vectors of texts: `embed` and `similar`."""

import json
import sys

from .options import file_name, json_option, loaded_model, model_option, positive, utf8_text

_MOST_INPUT = 1 << 28  # bytes of standard input that are compared with each other
_TABLE = 20  # the largest number of texts for which we print the table of all cosines
_POOLINGS = ("mean", "cls", "max", "pooler")  # as in inference/embed.py


def _lines_of_standard_input(most=None):
    """Yields the lines of standard input as Line; ValueError beyond `most` bytes, because it may have no end."""
    from ..support.lines import lines_of

    if sys.stdin.isatty():
        print("reading texts, one per line, until the end of the input (Ctrl-D; on Windows Ctrl-Z)", file=sys.stderr)
    size = 0
    for line in lines_of(sys.stdin.buffer, "standard input"):
        size += line.size
        if most and size > most:
            raise ValueError(f"standard input: found more than {most:,} bytes, expected fewer at a time")
        yield line


def _texts_of(arguments):
    """The texts of `embed`: arguments, or the lines that are not empty of a file or of standard input -> list of str"""
    if arguments.text:
        for number, text in enumerate(arguments.text, start=1):
            if not text.strip():
                raise ValueError(f"text {number}: found nothing, expected words")
        return arguments.text
    if arguments.texts:
        from ..support.lines import lines_of
        from ..support.regular_files import open_regular

        with open_regular(arguments.texts) as file:
            texts = [line.text for line in lines_of(file, arguments.texts) if line.text.strip()]
    else:
        texts = [line.text for line in _lines_of_standard_input(_MOST_INPUT) if line.text.strip()]
    if not texts:
        raise ValueError("text: found none, expected some as arguments, in a file, or as lines of the standard input")
    return texts


def _embedder(arguments):
    """The Embedder of a command. If --pooling is not what the model was made with, a note says so."""
    from ..inference.embed import Embedder

    model = loaded_model(arguments)
    own = model.sentence.pooling if model.sentence else None
    if arguments.pooling and own and arguments.pooling != own:
        print(f"note: pooling by {arguments.pooling}, as --pooling asks; the model was made for {own}", file=sys.stderr)
    return Embedder(model, arguments.pooling)


def _print_as_json(rows):
    """Print a list as JSON, one row at a time, to save memory."""
    print("[", end="")
    for number, row in enumerate(rows):
        print(",\n " if number else "", json.dumps(row), sep="", end="")
    print("]")


def _embed_into_file(arguments):
    """--out: the vectors of a file's lines, of those of standard input, or of the arguments"""
    from ..inference.similar import BLOCK, embed_file, write_vectors
    from ..support.lines import blocks_of

    if arguments.json or arguments.top:
        raise ValueError("--out: found it with --json or --top, expected one of them: it only writes the vectors")
    if not arguments.out.endswith(".npy"):
        raise ValueError(f"--out: found {arguments.out!r}, expected a name that ends in .npy")
    embedder = _embedder(arguments)
    if arguments.texts:
        count = embed_file(embedder, arguments.texts, arguments.out)
    else:
        texts = _texts_of(arguments) if arguments.text else (line.text for line in _lines_of_standard_input())
        count = write_vectors(embedder, blocks_of(texts, BLOCK), arguments.out)
    print(f"{count} vectors of {embedder.model.config.hidden_size} numbers written to {arguments.out}")
    return 0


def embed(arguments):
    from ..inference.embed import embed, format_similarities, lines_of_nearest, unit_vectors
    from ..inference.neighbours import nearest

    if arguments.text and arguments.texts:
        raise ValueError("--texts: found it with texts as arguments, expected one of them")
    if arguments.out:
        return _embed_into_file(arguments)
    texts, embedder = _texts_of(arguments), _embedder(arguments)
    vectors = embed(embedder.model, texts, pooling=arguments.pooling)
    units = vectors if embedder.normalize else unit_vectors(vectors)
    if not arguments.json and not arguments.top and len(texts) <= _TABLE:
        print(format_similarities(texts, units))
        return 0
    top = arguments.top or (0 if arguments.json else 3)
    indices, cosines = nearest(units, top)
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


def _pooling_option(parser):
    parser.add_argument("--pooling", choices=_POOLINGS,
                        help="how a text becomes one vector (default: as the model was made, or mean)")  # fmt: skip


def _embed_arguments(parser):
    parser.add_argument("text", nargs="*", type=utf8_text,
                        help="texts; without any, every line of the standard input is one")  # fmt: skip
    parser.add_argument("--texts", type=file_name, metavar="FILE", help="a text per line of this file")
    parser.add_argument("--out", type=file_name, metavar="FILE",
                        help="write the vectors to this .npy file, a row per line, and compare nothing")  # fmt: skip
    _pooling_option(parser)
    parser.add_argument("--top", type=positive, metavar="N",
                        help=f"the N nearest texts to each (default 3, with more than {_TABLE} texts)")  # fmt: skip
    model_option(parser)
    json_option(parser)


def similar(arguments):
    from ..inference.similar import format_similar, similar

    if not arguments.query.strip():
        raise ValueError("query: found nothing, expected words")
    found = similar(_embedder(arguments), arguments.query, arguments.texts, arguments.top, arguments.vectors)
    print(json.dumps([one._asdict() for one in found], indent=2) if arguments.json else format_similar(found))
    return 0


def _similar_arguments(parser):
    parser.add_argument("query", type=utf8_text, help="a text")
    parser.add_argument(
        "--texts", required=True, type=file_name, metavar="FILE", help="the texts to compare, one a line"
    )
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="number of texts to show (default 5)")
    parser.add_argument("--vectors", type=file_name, metavar="FILE",
                        help="their vectors, from an earlier embed --texts FILE --out")  # fmt: skip
    _pooling_option(parser)
    model_option(parser)
    json_option(parser)


COMMANDS = {
    "embed": (
        "compute vectors of texts, and compare them",
        "'A ship at sea.' 'A boat on the water.' --model runs/tiny", _embed_arguments, embed,
    ),
    "similar": (
        "find the lines of a file that are nearest to a text",
        "'A ship at sea.' --texts lines.txt --top 3 --model runs/minilm", _similar_arguments, similar,
    ),
}  # fmt: skip
