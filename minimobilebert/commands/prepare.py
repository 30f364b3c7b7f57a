"""The command that prepares text of any size."""

import json

from .options import file_name, json_option, positive, utf8_text

_UNITS = ("document", "paragraph", "sentence")  # as in text/sources.py


def prepare(arguments):
    from ..text.prepare import Preparation, format_counts, load_vocabulary
    from ..text.prepare import prepare as run

    preparation = Preparation(
        arguments.unit, arguments.column, arguments.encoding, arguments.max_length, arguments.keep_duplicates
    )
    shards = run(arguments.text, arguments.out, load_vocabulary(arguments.vocab), preparation)
    print(json.dumps(shards.counts, indent=2) if arguments.json else format_counts(shards))
    return 0


def _prepare_arguments(parser):
    parser.add_argument("--text", nargs="+", required=True, type=file_name, metavar="PATH",
                        help="folders, texts (.txt), tables (.csv, .tsv, .jsonl), all also with .gz, archives, or - for"
                             " one text per line on standard input")  # fmt: skip
    parser.add_argument("--out", required=True, type=file_name, metavar="FOLDER",
                        help="where to write; the same command goes on after an interruption")  # fmt: skip
    parser.add_argument("--vocab", default="runs/tiny", type=file_name, metavar="PATH",
                        help="a run, a converted model, or a vocab.txt (default runs/tiny)")  # fmt: skip
    parser.add_argument("--unit", default="paragraph", choices=_UNITS, help="what a row is (default paragraph)")
    parser.add_argument("--column", type=utf8_text, metavar="NAME",
                        help="tables: the column with the text (default text)")  # fmt: skip
    parser.add_argument("--encoding", type=utf8_text, metavar="NAME",
                        help="tables: such as cp949 (default: found out)")  # fmt: skip
    parser.add_argument("--max-length", type=positive, default=512, metavar="N",
                        help="pieces of a row, with [CLS] and [SEP]; longer rows are cut (default 512)")  # fmt: skip
    parser.add_argument("--keep-duplicates", action="store_true", help="keep rows that occurred before")
    json_option(parser)


COMMANDS = {
    "prepare": (
        "text of any size to word pieces on disk, for training in little memory",
        "--text texts reviews.csv --column review --out runs/text", _prepare_arguments, prepare,
    ),
}  # fmt: skip
