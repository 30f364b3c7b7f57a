"""A folder in which the documented commands find, small, what they speak of: texts, models, tasks, what was handed in.

The commands run in this process with the folder as the place where they are given. "Shipped" texts are the beginnings
of real ones, and what a download would fetch comes from a server on the loopback.
"""

import contextlib
import hashlib
import http.server
import importlib.util
import io
import threading
import zipfile

import pytest
from course_submissions import hand_in, nonorm_file
from documents import ROOT, codes_of
from fine_tuning_data import write_glue, write_model, write_squad
from test_train_tiny import write_text

from minimobilebert import bootstrap
from minimobilebert.cli import main
from minimobilebert.course.teacher import tables
from minimobilebert.download import run as downloads
from minimobilebert.download.addresses import RemoteFile
from minimobilebert.gradcheck import table as gradcheck_table
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.pipeline import ablate, text_data
from minimobilebert.text.corpus import shipped_documents

# What makes a training small. The vocabulary is large enough for whole words, because README.md prints some.
SMALL = (
    "--set vocab_size=1200 sequence_length=16 batch_size=4 max_predictions=3 evaluation_batches=1 held_out_fraction=0.3"
    " teacher_steps=3 transfer_steps_per_layer=1 distillation_steps=1 task_steps=2 task_batch_size=8"
)


def first_words(documents, words=60):
    """The beginning of every fourth text: all eras and novels, and a vocabulary that is learnt at once."""
    short = [[" ".join(text.split()[:words]) for text in document.paragraphs[:2]] for document in documents]
    return [document._replace(paragraphs=texts) for document, texts in zip(documents, short, strict=True)][::4]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def remote_files(folder, base):
    """Published files of `folder`, all served -> a table like addresses.SOURCES"""
    write_glue(folder / "glue")
    # A test file is what `predict` answers; only RTE's is written there.
    (folder / "glue/SST-2/test.tsv").write_text("index\tsentence\n0\tada eats tea today .\n", encoding="utf-8")
    (folder / "glue/STS-B/test.tsv").write_text("index\tsentence1\tsentence2\n0\tada\tben\n", encoding="utf-8")
    parts = {}
    for task, name in (("sst2", "SST-2"), ("stsb", "STS-B"), ("rte", "RTE")):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for table in sorted((folder / "glue" / name).iterdir()):
                archive.write(table, f"{name}/{table.name}")
        parts[task] = (RemoteFile(f"{base}/{name}.zip", _sha256(folder / f"{name}.zip")),)
    squad = {}
    for version in ("1.1", "2.0"):
        write_squad(folder, version=version)
        names = [f"{split}-v{version}.json" for split in ("train", "dev")]
        squad[f"v{version}"] = tuple(RemoteFile(f"{base}/{name}", _sha256(folder / name)) for name in names)
    weights = [folder / name for name in ("config.json", "vocab.txt", "model.safetensors")]
    for path in weights:
        path.write_bytes(b"some bytes of " + path.name.encode())
    mobilebert = {path.name: (RemoteFile(f"{base}/{path.name}"),) for path in weights}
    return {"glue": parts, "squad": squad, "mobilebert": mobilebert}


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prepare(folder):
    """What the user brings along."""
    for name in ("text", "texts"):
        write_text(folder / name)
    write_model(folder / "runs/minilm")
    (folder / "lines.txt").write_text("ada eats tea .\nben eats milk .\n", encoding="utf-8")
    rows = "".join(f"{n},a {'fine' if n % 2 else 'dull'} story {n},{1 + n % 2}\n" for n in range(40))
    for name in ("reviews.csv", "new.csv"):
        (folder / name).write_text("id,review,stars\n" + rows, encoding="utf-8")
    for student in ("ada", "ben"):
        hand_in(folder / "submissions" / student, nonorm_file())
    teaching = ROOT / "lessons" / "TEACHING.md"
    policy = next(code for code in codes_of(teaching, teaching.read_text(encoding="utf-8")) if code.kind == "toml")
    (folder / "a1.toml").write_text(policy.text, encoding="utf-8")


class CommandFolder:
    """run(words) -> exit code and what was printed"""

    def __init__(self, folder, sources):
        self.folder, self.installed = folder, []
        documents = first_words(shipped_documents())
        download, latencies, gradcheck = downloads.download, ablate.block_latencies, gradcheck_table.run_all
        self.small = (
            (text_data, "shipped_documents", lambda: documents),
            (downloads, "download", lambda what, to, only: download(what, to, only, sources, pause=0.0)),
            (ablate, "block_latencies", lambda *_: latencies("classroom-student", 8, turns=1)),
            (gradcheck_table, "run_all", lambda seed: gradcheck(seed, repeats=1)),
            # `setup` here is without installation: pip needs the network.
            (bootstrap, "VENV", folder / ".venv"),
            (bootstrap, "STAMP", folder / ".venv" / "stamp.json"),
            (bootstrap, "_run", self._install),
            # `course --write` has nothing to write where the tables are up to date; a test mends no documents.
            (tables, "write_text", only_read),
        )

    def _install(self, arguments, problem):
        self.installed.append(arguments)
        python = bootstrap.python_of(bootstrap.VENV)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    def run(self, words):
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, use_backend("numpy"), one_blas_thread():
            for where, name, small in self.small:  # only while it runs: other tests use the same modules
                patch.setattr(where, name, small)
            patch.setenv("no_proxy", "*")  # the loopback is never behind a proxy
            patch.chdir(self.folder)
            with contextlib.redirect_stdout(printed):
                code = main(words)
        return code, printed.getvalue()


def one_blas_thread():
    """Products as small as these only lose with more, and much on a machine that has other work."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return contextlib.nullcontext()
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1)


def only_read(path, text):
    raise AssertionError(f"{path} is not up to date: python -m minimobilebert course --write")


@contextlib.contextmanager
def command_folder(folder, served):
    """A prepared CommandFolder in `folder`; files from the network come from `served`"""

    def handler(*arguments):
        return Quiet(*arguments, directory=str(served))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        prepare(folder)
        commands = CommandFolder(folder, remote_files(served, f"http://127.0.0.1:{server.server_port}"))
        yield commands
        server.shutdown()
