"""One run: its folder, its settings, its text, and the seconds each stage took."""

import dataclasses
import os
import pathlib
import time

from ..kernels.runtime.backend import current_backend
from ..support.files import name_of, path_of, write_json
from ..support.shapes import OneOf, shape_of
from ..support.structured_files import read_json
from ..text.wordpiece import WordPieceTokenizer
from ..training import fingerprints
from ..training.manifest import DamagedRun, is_finished, read_manifest, reopen, write_manifest
from .settings import TinySettings

CONFIG, VOCABULARY = "config.json", "vocab.txt"
_RESULTS = ("summary.json", "result.json", "report.html", "metrics.jsonl")
CONTENTS = "contents"  # in config.json: {what: fingerprint}, with which the run was begun


def begun_with(folder):
    """The contents that the run in `folder` was begun with -> {what: fingerprint}; empty for a new run"""
    file = pathlib.Path(folder) / CONFIG
    return read_json(file, {CONTENTS: {str: str}, str: object})[CONTENTS] if file.exists() else {}


def check_same_contents(folder, contents):
    """ValueError where the run in `folder` was begun with other contents: {what: fingerprint}."""
    known = begun_with(folder)
    for what in sorted({*known, *contents}) if known else ():
        expected, found = known.get(what, "none"), contents.get(what, "none")
        if found != expected:
            raise ValueError(
                f"{what}: found other contents ({found}) than when the run in {folder} was begun, expected the same"
                f" ({expected}); put them back, or choose another folder with --out"
            )


def _check_nothing_of_another(folder):
    """ValueError where `folder`, which holds no run, holds files that a run would overwrite: a model, a table."""
    folder = pathlib.Path(folder)
    names = [VOCABULARY, *_RESULTS, *(path.name for path in folder.glob("checkpoint-*.npz"))]
    there = [name for name in names if (folder / name).exists()]
    if there and CONFIG not in read_manifest(folder):
        raise ValueError(
            f"{folder}: found {there[0]} but no {CONFIG}, expected a new folder or a run; choose another folder with"
            " --out (make: OUT=...)"
        )


def check_no_run(folder):
    """ValueError where `folder` holds a run or a model: the folder of several runs must be another one."""
    for name in (CONFIG, VOCABULARY):
        if (pathlib.Path(folder) / name).exists():
            raise ValueError(
                f"{folder}: found {name} there, as in a run or a model, expected a new folder or one of several runs;"
                " choose another folder with --out"
            )


def check_same_run(folder, asked):
    """ValueError where `folder` holds a run with other settings than `asked`: two runs must not mix."""
    file = pathlib.Path(folder) / CONFIG
    if not file.exists():
        _check_nothing_of_another(folder)
        return
    found = read_json(file, {str: object})
    for name, value in asked.items():
        if found.get(name) != value:
            raise ValueError(
                f"{file}: found a run with {name} = {found.get(name)}, expected {name} = {value};"
                " give the same settings to go on with that run, or choose another folder with --out (make: OUT=...)"
            )


def text_folders(text):
    """None, one folder or several -> list of folders; empty for the shipped texts"""
    return [] if text is None else [text] if isinstance(text, str | os.PathLike) else list(text)


def read_settings(folder):
    """What a run was asked for -> TinySettings, the user's folders of texts (None: the shipped ones)"""
    shape = {**shape_of(TinySettings), "text": (OneOf("shipped"), [str]), CONTENTS: {str: str}}
    found = read_json(pathlib.Path(folder) / CONFIG, shape)
    text, _ = found.pop("text"), found.pop(CONTENTS)
    return TinySettings(**found), None if text == "shipped" else [path_of(name) for name in text]


def known_vocabulary(folder):
    """The vocabulary of the run in `folder` -> WordPieceTokenizer, or None where there is none yet.

    DamagedRun where it is not the one that the run noted in its config.json.
    """
    file = pathlib.Path(folder) / VOCABULARY
    known = begun_with(folder).get(VOCABULARY)
    if known is None or not file.exists():
        return None
    tokenizer = WordPieceTokenizer.load(file)
    if tokenizer.digest != known:
        raise DamagedRun(
            f"{file}: found another vocabulary than the one this run was begun with; put the file back, or remove it,"
            " and it is learned again from the same texts"
        )
    return tokenizer


class Run:
    """What every stage of a run gets.

    folder    where everything of this run is written
    settings  TinySettings; `vocab_size` becomes the real one once the vocabulary is known
    data      TextData, set by `use_text`
    seconds   {stage: seconds}
    """

    def __init__(self, folder, settings, text=None):
        """ValueError where `folder` already holds a run with other settings: two runs must not mix."""
        self.folder, self.settings, self.data = pathlib.Path(folder), settings, None
        places = [name_of(place) for place in text_folders(text)]
        self.asked = {**dataclasses.asdict(settings), "text": places or "shipped"}
        check_same_run(self.folder, self.asked)
        self._seconds_file = self.folder / "seconds.json"
        self.seconds = read_json(self._seconds_file, {str: float}) if self._seconds_file.exists() else {}

    def finished(self, result):
        """Whether the run is done and all its files are as it wrote them. DamagedRun where one has changed."""
        return is_finished(self.folder, [CONFIG, VOCABULARY, result])

    def use_text(self, data):
        """Take the text; from here on the folder is ours. Nothing is written before the text proved usable."""
        check_same_run(self.folder, self.asked)  # again: another process may have finished one here in between
        contents = {"text": data.fingerprint, VOCABULARY: data.tokenizer.digest}
        check_same_contents(self.folder, contents)
        known_vocabulary(self.folder)
        self.data = data
        self.settings = dataclasses.replace(self.settings, vocab_size=data.tokenizer.vocab_size)
        self.folder.mkdir(parents=True, exist_ok=True)
        reopen(self.folder)
        write_json(self.folder / CONFIG, {**self.asked, CONTENTS: contents})
        data.tokenizer.save(self.folder / VOCABULARY)

    def finish(self, *results):
        """Note every file that the result consists of, so that a change of one is noticed."""
        stages = [f"{path.parent.name}/{name}" for path in self.folder.glob("*/checkpoint-final.npz")
                  for name in (path.name, "metrics.jsonl")]  # fmt: skip
        write_manifest(self.folder, [CONFIG, VOCABULARY, *stages, *results])

    def configuration(self, model_config, stage, start, **read):
        """What a checkpoint must agree on before a stage goes on from it: all that its result depends on.

        start: the parameters it starts from; read: other models that it reads, {name: parameters}
        """
        return {
            "stage": stage,
            "model": dataclasses.asdict(model_config),
            "settings": dataclasses.asdict(self.settings),
            "vocabulary": self.data.tokenizer.digest,
            "text": self.data.fingerprint,
            "start": fingerprints.of_arrays(start),
            **{name: fingerprints.of_arrays(params) for name, params in read.items()},
            "backend": current_backend(),
        }

    def timed(self, name, function, *arguments):
        """Run a stage that is always done anew and note its seconds."""
        start = time.perf_counter()
        result = function(*arguments)
        self.note_seconds(name, time.perf_counter() - start)
        return result

    def note_seconds(self, name, seconds):
        """Keep a stage's seconds, on disk too once the folder is ours: until then nothing is written."""
        self.seconds[name] = seconds
        if (self.folder / CONFIG).exists():
            write_json(self._seconds_file, self.seconds)
