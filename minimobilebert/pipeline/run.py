"""One run: its folder, its settings, its text, and the seconds each stage took."""

import dataclasses
import os
import pathlib
import time

from ..files import name_of, read_json, write_json


def check_same_run(file, asked):
    """ValueError where `file` is the config.json of a run with other settings than `asked`: two runs must not mix."""
    if not file.exists():
        return
    found = read_json(file)
    for name, value in asked.items():
        if found.get(name) != value:
            raise ValueError(
                f"{file}: found a run with {name} = {found.get(name)}, expected {name} = {value};"
                " choose another folder with --out (make: OUT=...)"
            )


def text_folders(text):
    """None, one folder or several -> list of folders; empty for the shipped texts"""
    return [] if text is None else [text] if isinstance(text, str | os.PathLike) else list(text)


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
        check_same_run(self.folder / "config.json", self.asked)
        self._seconds_file = self.folder / "seconds.json"
        self.seconds = read_json(self._seconds_file) if self._seconds_file.exists() else {}

    def use_text(self, data):
        """Take the text; from here on the folder is ours. Nothing is written before the text proved usable."""
        self.data = data
        self.settings = dataclasses.replace(self.settings, vocab_size=data.tokenizer.vocab_size)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "config.json", self.asked)
        vocabulary = self.folder / "vocab.txt"
        if not vocabulary.exists():
            data.tokenizer.save(vocabulary)

    def configuration(self, model_config):
        """What a checkpoint must agree on before a stage goes on from it: model, settings, vocabulary."""
        return {
            "model": dataclasses.asdict(model_config),
            "settings": dataclasses.asdict(self.settings),
            "vocabulary": self.data.tokenizer.digest,
        }

    def timed(self, name, function, *arguments):
        """Run a stage that is always done anew and note its seconds."""
        start = time.perf_counter()
        result = function(*arguments)
        self.note_seconds(name, time.perf_counter() - start)
        return result

    def note_seconds(self, name, seconds):
        """Keep a stage's seconds, on disk too; folder must exist."""
        self.seconds[name] = seconds
        if self.folder.exists():
            write_json(self._seconds_file, self.seconds)
