"""The readers that fuzz_readers.py tries, each with a sound file."""

import gzip
import io
import json
import pathlib
import shutil
import tarfile
import types
import zipfile

import fuzzed_checkpoints
import numpy as np
from fuzz_readers import Reader

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.shared.recording import load_recordings, save_recording
from minimobilebert.course.teacher.policy import load_policy
from minimobilebert.course.teacher.submission import read_submission
from minimobilebert.download.unpack import unpack
from minimobilebert.finetuning.run import format_summary
from minimobilebert.interop.sentence_folders import read_sentence_settings
from minimobilebert.pipeline.result_files import FINE_TUNING_SUMMARY, read_result
from minimobilebert.support.archives import ArchiveError, open_archive
from minimobilebert.support.lines import lines_of
from minimobilebert.support.npy import reading_rows, writing_rows
from minimobilebert.support.structured_files import read_json, read_json_lines, read_toml
from minimobilebert.tasks.glue import glue_task, read_split
from minimobilebert.tasks.own_table import classes_of, read_texts
from minimobilebert.tasks.squad_data import read_ids, read_squad
from minimobilebert.tasks.squad_files import read_answers, read_null_odds
from minimobilebert.tasks.tsv import read_rows
from minimobilebert.text.corpus import read_documents
from minimobilebert.text.prepare import prepare
from minimobilebert.text.shards import TextShards
from minimobilebert.text.sources import RowReader, find_sources
from minimobilebert.text.table_files import open_table
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

SQUAD = {"version": "v2.0", "data": [{"title": "Boats", "paragraphs": [{"context": "The ship has two sails. And a cat é.", "qas": [
    {"id": "a", "question": "What has sails?", "is_impossible": False, "answers": [{"text": "ship", "answer_start": 4}]},
    {"id": "b", "question": "Who barks?", "is_impossible": True, "answers": [], "plausible_answers": []}]}]}]}  # fmt: skip


OWN_TABLES = {
    "a.csv": "id,review,stars\r\n1,\"Dull, and\nlong\",1\r\n2,é fine,5\r\n3,so so,1\r\n4,\"a \"\"b\"\"\",5\r\n".encode(),
    "b.csv": "번호;review;stars\n1;재미있는 영화였다;1\n2;정말 훌륭했다;5\n3;그저 그랬다;1\n4;좋았다;5\n".encode("cp949"),
    "c.csv": "review\tstars\nfine é\t5\ndull\t1\nok\t5\nno\t1\n".encode("utf-16"),
    "d.jsonl": b'{"review": "fine", "stars": 5}\n{"stars": 1, "review": "dull"}\n{"review": null, "stars": 5}\n'
               b'{"review": "ok", "stars": 5}\n{"review": "no", "stars": 1}\n',
}  # fmt: skip


def read_own_table(path):
    """The texts and classes of a table"""
    texts = read_texts(open_table(path), "review", label="stars")
    return texts, classes_of(texts.labels, path)


ROWS = {
    "a.txt": "One ship. Two ships.\n\nA cat é came.\nIt left.\n".encode(),
    "a.txt.gz": gzip.compress("One ship.\nA cat é came.\n".encode() * 20),
    "a.csv": OWN_TABLES["a.csv"].replace(b"review", b"text"),
    "a.tsv": b'text\tn\n"a" b\t1\n"c\t2\n',
    "a.jsonl": b'{"text": "fine", "meta": {"a": [1]}}\n{"text": null}\n{"text": "dull ship"}\n',
}  # fmt: skip
PIECES = WordPieceTokenizer([*SPECIAL_TOKENS, "the", "ship", "sails"])


def read_rows_of_text(path):
    """Every row of a text"""
    return list(RowReader(find_sources([path]), "sentence"))


def of_shards(folder):
    """A sample: prepared text"""
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parent / "text.txt").write_text("the ship\nthe ship sails\n")
    prepare([folder.parent / "text.txt"], folder, PIECES)
    return (folder / "manifest.json").read_bytes()


def of_shards_file(folder):
    of_shards(folder)
    return (folder / "00000.pieces.npy").read_bytes()


def of_unfinished(folder):
    content = of_shards(folder)
    (folder / "manifest.json").unlink()
    return content


def read_shards(path):
    """Everything in prepared text, as a training would read it"""
    shards = TextShards(path.parent)
    return shards.texts(np.arange(shards.rows))


def prepare_on(path):
    (path.parent / "manifest.json").unlink(missing_ok=True)
    return prepare([path.parent.parent / "text.txt"], path.parent, PIECES)


SENTENCE_FOLDER = {
    "modules.json": [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
                     {"idx": 1, "path": "pooling", "type": "sentence_transformers.models.Pooling"}],
    "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": False},
    "config.json": {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True, "include_prompt": True},
    "config_sentence_transformers.json": {"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": "query"},
}  # fmt: skip


def of_sentence_folder(name):
    """A sample: one of its files; the others are written beside it, those of pooling in their folder"""

    def sample(folder):
        (folder / "pooling").mkdir(exist_ok=True)
        for other, value in SENTENCE_FOLDER.items():
            (folder / "pooling" / other if other == "config.json" else folder / other).write_text(json.dumps(value))
        return json.dumps(SENTENCE_FOLDER[name], indent=1).encode()

    return sample


def read_sentence_folder(path):
    """The settings; of pooling the damaged file, which is written beside the others"""
    if path.name == "config.json":
        (path.parent / "pooling" / path.name).write_bytes(path.read_bytes())
    return read_sentence_settings(path.parent, ModelConfig())


def of_vectors(folder):
    """A sample: vectors as `embed --out` writes them"""
    with writing_rows(folder / "sound.npy", 3) as write:
        write(np.arange(12.0).reshape(4, 3))
    return (folder / "sound.npy").read_bytes()


def read_vectors(path):
    """All rows"""
    with reading_rows(path, 3) as rows:
        return rows.read(2), rows.read(2)


def read_lines(path):
    """All lines"""
    with open(path, "rb") as file:
        return list(lines_of(file, path))


def of_json(value):
    """A sample: the value as JSON"""
    return lambda folder: json.dumps(value, ensure_ascii=False, indent=1).encode()


def of_bytes(content):
    """A sample: these bytes"""
    return lambda folder: content


TASK = "minimobilebert/ops/nonorm.py"


def of_zip(method):
    """A sample: a zip with a task's file and a split of RTE"""

    def sample(folder):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr(
                f"student/{TASK}", "def nonorm_forward(x, weight, bias):\n    return weight * x + bias\n" * 5
            )
            archive.writestr("RTE/dev.tsv", "index\tsentence1\n0\ta\n" * 20)
        return out.getvalue()

    return sample


def of_tar(mode):
    """A sample: the same as a tar"""

    def sample(folder):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as archive:
            for name in (TASK, "x" * 150 + ".py"):
                info = tarfile.TarInfo(f"./student/{name}")
                info.size = 60
                archive.addfile(info, io.BytesIO(b"def nonorm_forward(x, weight, bias):\n    return weight * x #\n"))
        return out.getvalue()

    return sample


EVALUATED = {"step": 3, "selection": 0.5, "epoch": 1, "scores": {"dev": {"accuracy": 0.5}}, "seconds": 1.5}
ROOT = pathlib.Path(__file__).resolve().parents[1]


def of_texts(kind):
    """A sample: two texts in an archive"""

    def sample(folder):
        texts = {"a.txt": b"One ship. Two ships.", "b/c.txt": "A cat é came.".encode()}
        out = io.BytesIO()
        if kind == "zip":
            with zipfile.ZipFile(out, "w") as archive:
                for name, text in texts.items():
                    archive.writestr(name, text)
            return out.getvalue()
        with tarfile.open(fileobj=out, mode=f"w:{kind[4:]}") as archive:
            for name, text in texts.items():
                info = tarfile.TarInfo(name)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
        return out.getvalue()

    return sample


def of_course(folder):
    """A sample: the first lesson of this course, in a project of its own"""
    (folder / "lessons" / "00_tour").mkdir(parents=True)
    package = folder / "minimobilebert"
    if not package.exists():
        package.symlink_to(ROOT / "minimobilebert")
    text = (ROOT / "lessons" / "course.toml").read_text(encoding="utf-8")
    return "[[lesson]]".join(text.split("[[lesson]]")[:2]).encode()


def read_course(path):
    (path.parent / "lessons" / "course.toml").write_bytes(path.read_bytes())
    return load(path.parent)


def read_archive(path):
    """Every member, as somebody would who wants them all"""
    try:
        with open_archive(path) as archive:
            return [archive.read(member, 10**6) for member in archive.members if member.kind == "a file"]
    except ArchiveError as error:
        raise ValueError(f"{path}: {error}") from None


def has_files_or_a_reason(submission):
    assert submission.files or (submission.problem and "\n" not in submission.problem)


def unpacked(path):
    """The table in it; whatever was written before a failure is gone"""
    try:
        unpack(path, "RTE", ["dev.tsv"], path.parent / "RTE", limit=10**6)
        (path.parent / "RTE" / "dev.tsv").unlink()
        (path.parent / "RTE").rmdir()
    finally:
        assert not (path.parent / "RTE").exists()


def of_recording(folder):
    save_recording(
        folder / "made", {"a": ({"array": 0}, [np.arange(6.0).reshape(2, 3)]), "b": ({"array": 0}, [np.ones(3)])}
    )
    return (folder / "made").read_bytes()


def read_recording(path):
    lesson = types.SimpleNamespace(folder=path.parent.name)
    (path.parent.parent / "lessons").mkdir(exist_ok=True)
    link = path.parent.parent / "lessons" / path.parent.name
    if not link.exists():
        link.symlink_to(path.parent)
    try:
        return load_recordings(types.SimpleNamespace(root=path.parent.parent, lessons=[lesson], edition={"seed": 1}))
    except ValueError as error:
        raise ValueError(str(error).replace(str(link), str(path.parent))) from None


READERS = {reader.name: reader for reader in [
    Reader("json", "a.json", of_json({"a": [1, 2.5, None, {"b": "é", "c": True}], "d": "x\n"}), read_json),
    Reader("json lines", "a.jsonl", of_bytes(b'{"step": 1, "loss": 2.5}\n' * 5), read_json_lines),
    Reader("toml", "a.toml", of_bytes('[[a]]\nb = "é"\nc = [1, 2.5, true]\n[a.d]\ne.f = \'x\'\ng = """y\nz"""\n'.encode()),
           read_toml),
    Reader("squad", "dev.json", of_json(SQUAD), lambda path: read_squad(path, training=True)),
    Reader("squad for scoring", "dev.json", of_json(SQUAD), read_squad),
    Reader("ids", "ids.json", of_json(["a", "b"]), read_ids),
    Reader("answers", "predictions.json", of_json({"a": "ship", "b": ""}), read_answers),
    Reader("null odds", "null_odds.json", of_json({"a": -1.5, "b": 3}), read_null_odds),
    Reader("tsv rows", "dev.tsv", of_bytes("id\tsentence\tlabel\n1\tA \"ship\".\t0\n2\té\t1\n".encode()),
           lambda path: list(read_rows(path))),
    Reader("text", "a.txt", of_bytes("One ship. Two ships.\n\nA cat é came. It left.\n".encode()), lambda path: read_documents(path.parent),
           names_folder=True),
    *(Reader(f"texts in a {kind}", f"a.{kind}", of_texts(kind), read_documents) for kind in ("tar", "tar.gz", "tar.bz2", "zip")),
    *(Reader(f"rows of {name}", name, of_bytes(content), read_rows_of_text) for name, content in ROWS.items()),
    Reader("prepared text", "manifest.json", of_shards, read_shards, names_folder=True),
    Reader("pieces", "00000.pieces.npy", of_shards_file, read_shards, names_folder=True),
    Reader("unfinished text", "unfinished.json", of_unfinished, prepare_on, names_folder=True),
    Reader("vocabulary", "vocab.txt", of_bytes("\n".join([*SPECIAL_TOKENS, "the", "##s", "é", "##é"]).encode()),
           WordPieceTokenizer.load),
    Reader("glue", "dev.tsv", of_bytes("index\tsentence1\tsentence2\tlabel\n0\tA b.\tc\tentailment\n1\té\tf\tnot_entailment\n".encode()),
           lambda path: read_split(glue_task("rte"), path.parent, "dev"), names_folder=True),
    *(Reader(f"own table, {name}", name, of_bytes(content), read_own_table) for name, content in OWN_TABLES.items()),
    Reader("manifest of the course", "course.toml", of_course, read_course, names_folder=True),
    Reader("policy", "grading.toml", lambda folder: (ROOT / "lessons" / "grading.toml").read_bytes(), load_policy),
    Reader("summary", "summary.json", of_json({
        "task": "mrpc", "best": EVALUATED, "evaluations": [EVALUATED], "settings": {"seed": 1}, "rows": 10, "steps": 3,
        "seconds": {"reading": 0, "training": 1.5, "evaluation": 0.1}}),
        lambda path: format_summary(read_result(path, FINE_TUNING_SUMMARY))),
    *(Reader(f"zip {method}", "a.zip", of_zip(method), read_archive) for method in (0, 8, 12, 14)),
    *(Reader(f"tar {mode[2:]}".strip(), "a.tar", of_tar(mode), read_archive) for mode in ("w:", "w:gz", "w:bz2", "w:xz")),
    Reader("submission", "a.zip", of_zip(8), lambda path: read_submission(path, {TASK: ""}), has_files_or_a_reason),
    Reader("submission as tar", "a.tgz", of_tar("w:gz"), lambda path: read_submission(path, {TASK: ""}), has_files_or_a_reason),
    Reader("submitted file", "nonorm.py", of_bytes(b"def nonorm_forward(x, weight, bias):\n    return weight * x + bias\n"),
           lambda path: read_submission(path, {TASK: ""}, {TASK: ["nonorm_forward"]}), has_files_or_a_reason),
    Reader("downloaded zip", "RTE.zip", of_zip(8), unpacked),
    Reader("vectors", "v.npy", of_vectors, read_vectors),
    Reader("lines", "a.txt", of_bytes("One ship.\n\nA cat é came.\r\n".encode()), read_lines),
    *(Reader(f"sentence folder, {name}", name, of_sentence_folder(name), read_sentence_folder, names_folder=True)
      for name in SENTENCE_FOLDER),
    Reader("recording", "recorded.npz", of_recording, read_recording),
    *fuzzed_checkpoints.READERS,
]}  # fmt: skip
