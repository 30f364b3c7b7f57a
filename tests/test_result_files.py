"""Files of results that a command reads back: sound ones are taken, others end in one line that names the file."""

import copy
import json

import pytest

from minimobilebert.finetuning.saved_model import run_settings
from minimobilebert.pipeline.result_files import (
    BLOCKS,
    FINE_TUNING_SUMMARY,
    LATENCIES,
    RUN_SUMMARY,
    SCORES,
    read_metrics,
    read_result,
)

SCORED = {"mlm_loss": 4.5, "mlm_accuracy": 0.25, "nsp_accuracy": 0.75}
MODEL = {**SCORED, "parameters": 100, "task_accuracy": None}
EVALUATED = {"step": 3, "selection": 0.5, "epoch": 1, "scores": {"dev": {"accuracy": 0.5}}, "seconds": 1.5}
SOUND = {
    "run": (RUN_SUMMARY, {
        "seed": 1, "settings": {"strategy": "progressive", "seed": 1}, "seconds": {"total": 3.5, "text": 1.0},
        "teacher": MODEL, "student": MODEL, "student_from_scratch": {**MODEL, "task_accuracy": 0.5},
        "unigram_mlm_loss": 6.1, "nsp_majority_accuracy": 0.5, "task_majority_accuracy": None, "steps": {"teacher": 3},
    }),
    "fine-tuning": (FINE_TUNING_SUMMARY, {
        "task": "mrpc", "best": EVALUATED, "evaluations": [EVALUATED, {**EVALUATED, "selection": None}],
        "settings": {"seed": 1}, "rows": 10, "steps": 3, "seconds": {"reading": 0, "training": 1.5, "evaluation": 0.1},
    }),
    "scores": (SCORES, SCORED),
    "latencies": (LATENCIES, {"full size": {name: {"milliseconds": 1.5, "ratio": 1.0, "ratio_low": 0.9, "ratio_high": 1.1}
                                            for name in BLOCKS}}),
}  # fmt: skip


def places(value, path=()):
    """The path of every value inside."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("name", SOUND)
def test_every_value_of_another_type_is_one_line(name, tmp_path):
    shape, sound = SOUND[name]
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(sound))
    assert read_result(file, shape) == sound
    anything = {("seed",), ("settings", "seed"), ("steps",), ("steps", "teacher")}
    for path in places(sound):
        for wrong in ([1], {"a": 1}, "x", None, -1, 1e999, [[]], "1"):
            changed = wrong
            if path:
                changed = copy.deepcopy(sound)
                holder = changed
                for key in path[:-1]:
                    holder = holder[key]
                if type(holder[path[-1]]) is type(wrong) or (holder[path[-1]] is None and wrong is None):
                    continue
                holder[path[-1]] = wrong
            file.write_text(json.dumps(changed))
            try:
                read_result(file, shape)
            except ValueError as error:
                assert str(error).startswith(f"{file}: ") and "delete the file to compute it again" in str(error)
            else:
                assert path in anything or wrong is None or path[-1] in ("selection", "accuracy"), (path, wrong)


def test_metrics_lines_are_checked_one_by_one(tmp_path):
    assert read_metrics(tmp_path / "no stage") == []
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 10, "loss": 3}\n{"step": 20, "loss": 2.5}\n')
    assert read_metrics(tmp_path) == [{"step": 10, "loss": 3}, {"step": 20, "loss": 2.5}]
    for line in ('{"loss": 1}', '{"step": "30"}', '{"step": 30, "loss": null}', "[]", '{"step": 30, "lo'):
        file.write_text(f'{{"step": 10, "loss": 3}}\n{line}\n')
        with pytest.raises(ValueError, match=r"metrics.jsonl: line 2: .*found .*expected"):
            read_metrics(tmp_path)


def test_the_settings_of_a_model_folder(tmp_path):
    """Of a fine-tuning run they are checked; another folder's config.json is none of ours."""
    assert run_settings(tmp_path) == {}
    file = tmp_path / "config.json"
    config = {"start_model": "runs/tiny", "task": "squad2", "max_length": 64, "stride": 32, "max_query": 16,
              "split_articles": None, "train_file": None, "seed": 1}  # fmt: skip
    for settings, expected in ((config, config), ({"seed": 1}, {})):
        file.write_text(json.dumps(settings))
        assert run_settings(tmp_path) == expected
    for change in ({"task": 3}, {"max_length": "64"}, {"stride": 0}, {"split_articles": True}, {"train_file": []}):
        file.write_text(json.dumps({**config, **change}))
        with pytest.raises(ValueError, match=f"config.json: field {next(iter(change))}: found"):
            run_settings(tmp_path)
    file.write_text("[]")
    with pytest.raises(ValueError, match="config.json: found a list, expected an object"):
        run_settings(tmp_path)
