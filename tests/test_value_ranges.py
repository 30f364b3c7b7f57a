"""Values have ranges, wherever they come from: NaN, infinity, negative and absurd numbers are refused in one line."""

import json

import pytest

from minimobilebert.cli import main
from minimobilebert.config import ConfigError, ModelConfig, config_from_dict
from minimobilebert.finetuning.settings import FineTuningSettings, search_space
from minimobilebert.pipeline.settings import TinySettings, settings_from_strings

NAN, INFINITY, LONG = float("nan"), float("inf"), 10**400
FLOATS = {"nan": NAN, "inf": INFINITY, "-inf": -INFINITY, "negative": -0.5, "400 digits": LONG, "text": "0.1",
          "true": True, "null": None, "list": [0.1]}  # fmt: skip
WHOLES = {"zero": 0, "negative": -1, "too many": 10**10, "64 bits": 2**64, "400 digits": LONG, "a fraction": 2.5,
          "nan": NAN, "text": "2", "true": True, "null": None}  # fmt: skip


def fields_of(kind, settings):
    return [name for name, value in vars(settings).items() if type(value) is kind]


@pytest.mark.parametrize(
    "settings",
    [ModelConfig(), TinySettings(), FineTuningSettings("sst2", 1e-4, 8, 3, 64)],
    ids=lambda s: type(s).__name__,
)
def test_every_number_of_every_dataclass_has_a_range(settings):
    """A field that is added without a range fails here."""
    may_be_zero = {"seed"}
    for kind, values in ((float, FLOATS), (int, WHOLES)):
        for name in fields_of(kind, settings):
            for wrong, value in values.items():
                # A seed may be any whole number of 63 bits.
                if (name in may_be_zero and wrong in ("zero", "too many")) or (name == "rows" and wrong == "null"):
                    continue
                with pytest.raises(ValueError, match=f"^{name}: found .*, expected ") as error:
                    type(settings)(**{**vars(settings), name: value})
                assert len(str(error.value)) < 200 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"num_feedforward_networks": 10**6}, {"num_hidden_layers": 10**7}, {"hidden_size": 10**9}, {"vocab_size": 10**9},
        {"layer_norm_eps": NAN}, {"layer_norm_eps": -1e-12}, {"layer_norm_eps": 0.0}, {"layer_norm_eps": 1e400},
        {"layer_norm_eps": LONG}, {"hidden_dropout_prob": 1.0}, {"initializer_range": NAN}, {"trigram_input": 1},
    ],
)  # fmt: skip
def test_a_configuration_that_no_model_has_is_refused_at_once(change):
    with pytest.raises(ConfigError, match=f"^{next(iter(change))}: found "):
        config_from_dict(change)


def test_whole_numbers_will_do_for_fractions():
    config = ModelConfig(hidden_dropout_prob=0, initializer_range=1)
    assert (type(config.hidden_dropout_prob), type(config.initializer_range)) == (float, float)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e400", "-1", "0", "x", "", "0.1,0.1", "1" * 5000])
def test_numbers_on_the_command_line(word, capsys, tmp_path):
    """Every option that takes a number, without the work behind it."""
    long = tmp_path / "none"
    commands = [
        ["sweep", f"--rates={word}", "--run", str(long)],
        ["finetune", "--task", "rte", "--out", str(long), f"--lr={word}"],
        ["finetune", "--task", "rte", "--out", str(long), f"--clip={word}"],
        ["finetune", "--task", "rte", "--out", str(long), f"--batch={word}"],
        ["train-tiny", "--out", str(long), "--set", f"teacher_learning_rate={word}"],
        ["train-tiny", "--out", str(long), "--set", f"batch_size={word}"],
    ]
    if word != "0":
        commands += [
            ["finetune", "--task", "rte", "--out", str(long), f"--weight-decay={word}"],
            ["finetune", "--task", "rte", "--out", str(long), f"--warmup={word}"],
            ["train-tiny", "--out", str(long), f"--seed={word}"],
            ["train-tiny", "--out", str(long), "--set", f"weight_decay={word}"],
            ["seeds", "--out", str(long), f"--seeds={word}"],
            ["gradcheck", f"--seed={word}"],
        ]
    if word not in ("0", "-1"):
        commands += [["squad-score", "a", "b", f"--null-threshold={word}"], ["fill-mask", "[MASK]", f"--top={word}"]]
    for command in commands:
        try:
            code = main(command)
        except SystemExit as exit:  # argparse
            code = exit.code
        message = capsys.readouterr().err.splitlines()[-1]
        assert code == 2 and "error: " in message, command
        assert len(message) < 300 and not long.exists()


def test_a_setting_or_a_seed_that_is_given_twice_is_refused(capsys, tmp_path):
    out = ["--out", str(tmp_path / "run")]
    for command, words in (
        (["train-tiny", *out, "--set", "batch_size=8", "batch_size=9"], "--set: found batch_size twice"),
        (["train-tiny", *out, "--set", "batch_size=8", "--set", "batch_size=9"], "--set: found batch_size twice"),
        (["seeds", *out, "--seeds", "1,2,1"], "--seeds: found 1 twice"),
    ):
        assert main(command) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match="--search: found lr= twice"):
        search_space(["lr=1e-5", "lr=2e-5"])
    assert search_space(["lr=1e-5,2e-5", "batch=8"])["batch"] == (8,)


def test_all_words_of_several_set_options_count(tmp_path, capsys):
    """Of `--set a=1 --set b=x` argparse would keep the last alone."""
    assert main(["train-tiny", "--out", str(tmp_path / "run"), "--set", "batch_size=x", "--set", "clip_norm=1"]) == 2
    assert "batch_size: found 'x'" in capsys.readouterr().err


def test_settings_from_json_have_the_same_ranges():
    settings = vars(settings_from_strings(1, {"batch_size": "8", "clip_norm": "2"}))
    assert TinySettings(**json.loads(json.dumps(settings))) == TinySettings(batch_size=8, clip_norm=2.0)
