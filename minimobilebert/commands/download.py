"""The command that downloads data and weights from their publishers."""

from .options import file_name, names_of


def download(arguments):
    from ..download.run import download

    only = [name for word in arguments.only for name in names_of(word, "--only")]
    for path in download(arguments.what, arguments.to, only):
        print(path)
    return 0


def _download_arguments(parser):
    parser.add_argument("what", choices=("glue", "squad", "mobilebert", "minilm", "onnxruntime-web"),
                        help="what to fetch")  # fmt: skip
    parser.add_argument(
        "--to", required=True, type=file_name, metavar="FOLDER", help="where to write; existing files are kept"
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="only these parts, comma separated (glue: tasks; squad: v1.1, v2.0)")  # fmt: skip


COMMANDS = {
    "download": (
        "fetch GLUE, SQuAD, Google's MobileBERT, MiniLM or ONNX Runtime Web",
        "glue --to data/glue --only rte,sst2", _download_arguments, download,
    ),
}  # fmt: skip
