"""Damage run folders, give the same command again, and look for a wrong result that is called done.

    python tests/damaged_runs.py --trials 2000 --seed 1      whole commands; prints a table of outcomes

A command is run once without damage: that is the result to expect. On the way a snapshot of its folder is taken after
every file that appears or changes its name, which are all the states that a kill can leave between two writes. A trial
takes a snapshot, damages one file of the run or of what the run reads, and gives the command again. It must either
end as if nothing had happened, or with exit code 2, one line, and every other file as it was.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

import numpy as np
from fine_tuning_data import BERT, no_dropout, write_glue, write_model, write_squad

from minimobilebert.cli import main
from minimobilebert.finetuning import run as finetune
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.pipeline import stages, train_tiny
from minimobilebert.support import files
from minimobilebert.training.checkpoints import load_checkpoint

TINY = (
    "vocab_size=60 sequence_length=16 batch_size=2 max_predictions=2 evaluation_batches=1 teacher_steps=2"
    " transfer_steps_per_layer=1 distillation_steps=2"
)
NAMES = ("tiny", "second", "sst2", "other", "squad1")


# ---- damages: a function (path, rng, others) -> None; others: files of the same name elsewhere


def _edit(path, change):
    """Write anew, because the bytes of a snapshot are shared by link."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def delete(path, rng, others):
    path.unlink()


def empty(path, rng, others):
    _edit(path, lambda content: b"")


def cut(path, rng, others):
    _edit(path, lambda content: content[: int(rng.integers(len(content)))] if content else b"{")


def flip(path, rng, others):
    def change(content):
        changed = bytearray(content or b"x")
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
        return bytes(changed)

    _edit(path, change)


def digit(path, rng, others):
    """Another digit somewhere: what is read still has its form."""

    def change(content):
        places = [i for i, byte in enumerate(content) if 48 <= byte < 58]
        if not places:
            return content + b" "
        changed = bytearray(content)
        at = places[int(rng.integers(len(places)))]
        changed[at] = 48 + (changed[at] - 48 + 1 + int(rng.integers(8))) % 10
        return bytes(changed)

    _edit(path, change)


def append(path, rng, others):
    _edit(path, lambda content: content + content[-40:] + b"\n")


def swap(path, rng, others):
    """Another file of this kind in its place: of another stage, another moment, or another run."""
    for _ in range(20):
        other = others[int(rng.integers(len(others)))].read_bytes()
        if other != path.read_bytes():
            return _edit(path, lambda _, other=other: other)
    delete(path, rng, others)


def folder(path, rng, others):
    path.unlink()
    path.mkdir()


DAMAGES = (delete, empty, cut, flip, digit, append, swap, folder)


# ---- commands


class Command:
    """words: of the command line; run: its folder; reads: folders of what it reads; result: folder -> what must agree"""

    def __init__(self, name, words, run, reads=()):
        self.name, self.words, self.run, self.reads = name, words, pathlib.Path(run), [pathlib.Path(r) for r in reads]
        self.expected, self.snapshots = None, []

    def __call__(self):
        """-> exit code, stdout, stderr; a traceback is an exit code of its own"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), quick():
            try:
                code = main(self.words)
            except BaseException as error:
                code, err = f"{type(error).__name__}: {error}", err
        return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def quick():
    """Small work by NumPy, and a checkpoint and a line of metrics after every step."""
    train, forecast = stages.train, train_tiny.forecast

    def every_step(*arguments, **options):
        records = options["records"]._replace(checkpoint_seconds=0.0, log_every=1)
        return train(*arguments, **{**options, "records": records})

    stages.train = finetune.train = every_step
    train_tiny.forecast = lambda *_: {"all": 0.0}
    try:
        with use_backend("numpy"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        stages.train = finetune.train = train
        train_tiny.forecast = forecast


def copy(source, target):
    """A copy of a folder in which all files but those that are appended to share their bytes by links."""

    def link(one, other):
        if pathlib.Path(one).name in ("metrics.jsonl", ".lock"):
            shutil.copyfile(one, other)
        else:
            os.link(one, other)

    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, target, copy_function=link)


def without_seconds(value):
    if isinstance(value, dict):
        return {key: without_seconds(inner) for key, inner in value.items() if key != "seconds"}
    return [without_seconds(inner) for inner in value] if isinstance(value, list) else value


def result(run):
    """What must not depend on interruptions or damage: numbers, parameters, vocabulary"""
    found = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.suffix == ".npz":
            arrays, metadata = load_checkpoint(path)
            found[name] = metadata["step"], {key: array.tobytes() for key, array in arrays.items()}
        elif path.name in ("summary.json", "result.json", "evaluations.json"):
            found[name] = json.dumps(without_seconds(json.loads(path.read_text())))
        elif path.name == "metrics.jsonl":
            found[name] = [without_seconds(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name == "vocab.txt":
            found[name] = path.read_text()
    return found


def record(command, shelf):
    """Run a command once; fill its `expected` and `snapshots`, which are kept in the folder `shelf`."""
    replace, states = os.replace, []

    def replace_and_copy(source, target):
        replace(source, target)
        states.append(shelf / f"{command.name}-{len(states)}")
        copy(command.run, states[-1])

    files.os.replace = replace_and_copy
    try:
        code, command.out, err = command()
    finally:
        files.os.replace = replace
    assert code == 0, (command.name, code, err)
    command.expected, command.snapshots = result(command.run), states
    command.finished = shelf / f"{command.name}-finished"
    copy(command.run, command.finished)
    for state in states:
        for left in state.rglob("*.tmp"):
            left.unlink()


def make_commands(folder, names=NAMES):
    """Texts, tasks and models in `folder` -> list of recorded Commands, those of `names`"""
    text = folder / "text"
    text.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(4):
        lines = [" ".join(rng.choice("the sea was calm and grey ; nobody spoke".split(), 6)) + "." for _ in range(12)]
        (text / f"{number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_model(folder / "bert", no_dropout(BERT))
    write_glue(folder / "glue", count=16)
    write_squad(folder / "squad", questions=4)
    small = ["--model", str(folder / "bert"), "--epochs", "3", "--batch", "8", "--lr", "3e-3"]
    spans = ["--max-length", "40", "--max-query", "12", "--stride", "10"]

    def tiny(name, seed):
        run = folder / name
        words = ["train-tiny", "--text", str(text), "--out", str(run), "--seed", seed, "--set", *TINY.split()]
        return Command(name, words, run, [text])

    def tune(name, task, data, part, *more):
        words = ["finetune", "--task", task, "--data", str(folder / data), "--out", str(folder / name), *small, *more]
        return Command(name, words, folder / name, [folder / data / part, folder / "bert"])

    every = [
        tiny("tiny", "3"), tune("sst2", "sst2", "glue", "SST-2"), tune("squad1", "squad1", "squad", "", *spans),
        tune("other", "sst2", "glue", "SST-2", "--seed", "2"), tiny("second", "4"),
    ]  # fmt: skip
    commands = [command for command in every if command.name in names]
    for command in commands:
        record(command, folder / "shelf")
    return commands


# ---- trials


def trial(command, commands, state, damage, rng, which=None):
    """One damage -> outcome, what happened; the outcome begins with WRONG where it must not be

    which: the file's name inside the run or inside what it reads; None: any
    """
    copy(state, command.run)
    originals = [shelf_copy(read) for read in command.reads]
    try:
        inside = [path for root in (command.run, *command.reads) for path in sorted(root.rglob("*")) if path.is_file()]
        candidates = [path for path in inside if which is None or path.name == which]
        if not candidates:
            return "no such file", ""
        path = candidates[int(rng.integers(len(candidates)))]
        places = [c.finished for c in commands] + [
            s for c in commands for s in c.snapshots[:: max(1, len(c.snapshots) // 4)]
        ]
        everything = [*inside, *(p for place in places for p in place.rglob("*") if p.is_file())]
        others = [p for p in everything if p.suffix == path.suffix]
        before = {p: p.read_bytes() for p in inside if p != path}
        damage(path, rng, others)
        name = path.relative_to(path.parents[1] if path.parent != command.run else command.run).as_posix()
        what = f"{command.name} at {state.name}: {damage.__name__} {name}"
        return judged(command, path, before, *command()), what
    finally:
        for read, original in zip(command.reads, originals, strict=True):
            shutil.rmtree(read)
            original.rename(read)


def shelf_copy(folder):
    original = folder.with_name(f".{folder.name}-original")
    shutil.rmtree(original, ignore_errors=True)
    shutil.copytree(folder, original)
    return original


def judged(command, path, before, code, out, err):
    if code == 0:
        try:
            same = result(command.run) == command.expected
        except (ValueError, OSError) as error:
            return f"WRONG: done with files that cannot be read: {error}"
        return "as if nothing had happened" if same else "WRONG: done with another result"
    lines = [line for line in err.splitlines() if line.startswith("minimobilebert: ")]
    if code != 2 or len(lines) != 1 or "Traceback" in err or "bug in minimobilebert" in err:
        return f"WRONG: exit {code}: {err[-300:]}"
    for other, content in before.items():
        if other.suffix == ".npz" and other.stem.startswith("checkpoint-final"):
            if not other.exists() or other.read_bytes() != content:
                return f"WRONG: refused, and {other.name} was changed"
    return "refused in one line"


def run(folder, trials, seed, names=None, say=print):
    """-> Counter of outcomes, list of (outcome, what happened) that are wrong"""
    commands = make_commands(folder)
    rng, outcomes, wrong = np.random.default_rng(seed), collections.Counter(), []
    chosen = [c for c in commands if not names or c.name in names]
    for number in range(trials):
        command = chosen[number % len(chosen)]
        states = [command.finished] if rng.random() < 0.2 else command.snapshots
        state, damage = states[int(rng.integers(len(states)))], DAMAGES[int(rng.integers(len(DAMAGES)))]
        outcome, what = trial(command, commands, state, damage, rng)
        kind = "finished" if state == command.finished else "unfinished"
        outcomes[f"{command.name:<7} {kind:<10} {damage.__name__:<7} {outcome[:26]}"] += 1
        if outcome.startswith("WRONG"):
            wrong.append((outcome, what))
            say(f"trial {number}: {what}: {outcome}")
    return outcomes, wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of commands: tiny, second, sst2, other, squad1")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        outcomes, wrong = run(pathlib.Path(temporary), arguments.trials, arguments.seed, arguments.only)
    for line, count in sorted(outcomes.items()):
        print(f"{count:>6}  {line}")
    print(f"{sum(outcomes.values())} trials, {len(wrong)} wrong")
    sys.exit(bool(wrong))
