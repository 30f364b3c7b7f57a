"""A run: its folder, its settings, its inputs, and the duration of each stage."""

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
CONTENTS = "contents"  # in config.json: {input: fingerprint}


def begun_with(folder):
    """The inputs with which the run in `folder` started -> {input: fingerprint}; empty for a new run"""
    file = pathlib.Path(folder) / CONFIG
    return read_json(file, {CONTENTS: {str: str}, str: object})[CONTENTS] if file.exists() else {}


def check_same_contents(folder, contents):
    """ValueError if the run in `folder` started with other inputs than `contents` {input: fingerprint}."""
    known = begun_with(folder)
    for name in sorted({*known, *contents}) if known else ():
        expected, found = known.get(name, "none"), contents.get(name, "none")
        if found != expected:
            raise ValueError(
                f"{name}: found other contents ({found}) than when the run in {folder} was begun, expected the same"
                f" ({expected}); put them back, or choose another folder with --out"
            )


def _check_nothing_of_another(folder):
    """ValueError if `folder` is not a run and contains files that a run would overwrite, such as a model."""
    folder = pathlib.Path(folder)
    names = [VOCABULARY, *_RESULTS, *(path.name for path in folder.glob("checkpoint-*.npz"))]
    existing = [name for name in names if (folder / name).exists()]
    if existing and CONFIG not in read_manifest(folder):
        raise ValueError(
            f"{folder}: found {existing[0]} but no {CONFIG}, expected a new folder or a run; choose another folder with"
            " --out (make: OUT=...)"
        )


def check_no_run(folder):
    """ValueError if `folder` is a run or a model, so that it cannot be the folder of several runs."""
    for name in (CONFIG, VOCABULARY):
        if (pathlib.Path(folder) / name).exists():
            raise ValueError(
                f"{folder}: found {name} there, as in a run or a model, expected a new folder or one of several runs;"
                " choose another folder with --out"
            )


def check_same_run(folder, asked):
    """ValueError if `folder` contains a run with other settings than `asked`: two runs must not mix."""
    file = pathlib.Path(folder) / CONFIG
    if not file.exists():
        _check_nothing_of_another(folder)
        return
    found = read_json(file, {str: object})
    for name, value in asked.items():
        if found.get(name) != value:
            raise ValueError(
                f"{file}: found a run with {name} = {found.get(name)}, expected {name} = {value};"
                " give the same settings to resume that run, or choose another folder with --out (make: OUT=...)"
            )


def text_folders(text):
    """None, one folder or several -> list of folders; empty for the shipped texts"""
    return [] if text is None else [text] if isinstance(text, str | os.PathLike) else list(text)


def read_settings(folder):
    """The settings of a run -> TinySettings, the user's folders of texts (None: the shipped ones)"""
    shape = {**shape_of(TinySettings), "text": (OneOf("shipped"), [str]), CONTENTS: {str: str}}
    found = read_json(pathlib.Path(folder) / CONFIG, shape)
    text, _ = found.pop("text"), found.pop(CONTENTS)
    return TinySettings(**found), None if text == "shipped" else [path_of(name) for name in text]


def known_vocabulary(folder):
    """The vocabulary of the run in `folder` -> WordPieceTokenizer, or None if there is none yet.

    DamagedRun if its digest differs from the one in config.json.
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


class RunFolder:
    """The folder of a run, what it was begun with, and the duration of each stage.

    folder    all files of the run are in it
    settings  the settings of the training stages (stages.py), a dataclass
    asked     {name: value} of config.json
    data      what the stages read, with `tokenizer` and `fingerprint`; None until `start`
    seconds   {stage: seconds}
    log_every steps between two lines of metrics.jsonl
    """

    log_every = 10

    def __init__(self, folder, settings, asked):
        """ValueError if `folder` already contains a run with other settings: two runs must not mix."""
        self.folder, self.settings, self.asked, self.data = pathlib.Path(folder), settings, asked, None
        check_same_run(self.folder, self.asked)
        self._seconds_file = self.folder / "seconds.json"
        self.seconds = read_json(self._seconds_file, {str: float}) if self._seconds_file.exists() else {}

    def finished(self, result):
        """True if the run is finished and none of its files is missing. DamagedRun if one was modified."""
        return is_finished(self.folder, [CONFIG, VOCABULARY, result])

    def start(self, data, **contents):
        """Set the data and write config.json and the vocabulary. Nothing is written if an input is another one.

        contents: fingerprints of more inputs than the text and the vocabulary
        """
        check_same_run(self.folder, self.asked)  # again, because another process may have finished a run meanwhile
        contents = {"text": data.fingerprint, VOCABULARY: data.tokenizer.digest, **contents}
        check_same_contents(self.folder, contents)
        known_vocabulary(self.folder)
        self.data = data
        self.folder.mkdir(parents=True, exist_ok=True)
        reopen(self.folder)
        write_json(self.folder / CONFIG, {**self.asked, CONTENTS: contents})
        data.tokenizer.save(self.folder / VOCABULARY)

    def finish(self, *results):
        """Write the manifest with the hashes of all files of the result."""
        stages = [f"{path.parent.name}/{name}" for path in self.folder.glob("*/checkpoint-final.npz")
                  for name in (path.name, "metrics.jsonl")]  # fmt: skip
        write_manifest(self.folder, [CONFIG, VOCABULARY, *stages, *results])

    def configuration(self, model_config, stage, start, **read):
        """Everything that the result of a stage depends on. A stage resumes only from a checkpoint with an equal dict.

        start: the initial parameters of the stage; read: other models that it reads, {name: parameters}
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
        """Run a stage that has no checkpoints, and record its duration."""
        start = time.perf_counter()
        result = function(*arguments)
        self.note_seconds(name, time.perf_counter() - start)
        return result

    def note_seconds(self, name, seconds):
        """Record the duration of a stage; on disk only after `start` has written config.json."""
        self.seconds[name] = seconds
        if (self.folder / CONFIG).exists():
            write_json(self._seconds_file, self.seconds)


class Run(RunFolder):
    """A run of train-tiny: settings are TinySettings; `use_text` sets their `vocab_size` to the real size"""

    def __init__(self, folder, settings, text=None):
        folders = [name_of(path) for path in text_folders(text)]
        super().__init__(folder, settings, {**dataclasses.asdict(settings), "text": folders or "shipped"})

    def use_text(self, data):
        """`start` with TextData"""
        self.start(data)
        self.settings = dataclasses.replace(self.settings, vocab_size=data.tokenizer.vocab_size)
