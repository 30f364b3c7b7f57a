"""`distil`, very small: students of a BERT with random weights, stopped and resumed, measured, and fed with nonsense."""

import html.parser
import json
import shutil

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, NAMES, THINGS, no_dropout, write_glue, write_model
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.cli import main
from minimobilebert.config import ConfigError
from minimobilebert.distilling import run as module
from minimobilebert.distilling import stages, teacher_vectors, word_vectors
from minimobilebert.distilling.first_values import start_from_teacher
from minimobilebert.distilling.layer_mapping import layer_pairs
from minimobilebert.distilling.pareto import on_the_front
from minimobilebert.distilling.settings import settings_for
from minimobilebert.distilling.sizes import step_megabytes
from minimobilebert.distilling.students import NAMES as STUDENTS
from minimobilebert.distilling.students import named_student
from minimobilebert.inference.embed import embed
from minimobilebert.inference.model import Model
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.model.embeddings import embeddings_forward
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.parameters import count_parameters, init_parameters, parameter_shapes
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.ops.pooling import pool_forward
from minimobilebert.text.prepare import prepare
from minimobilebert.text.wordpiece import SPECIAL_TOKENS
from minimobilebert.training import loop
from minimobilebert.training.checkpoints import load_checkpoint
from minimobilebert.training.model_folder import SavedModel, save_model

MINILM = BERT.replace(
    vocab_size=30522, hidden_size=384, embedding_size=384, intra_bottleneck_size=384, intermediate_size=1536,
    num_hidden_layers=6, num_attention_heads=12, max_position_embeddings=512,
)  # fmt: skip
SMALL = "batch_size=6 max_length=10 learning_rate=5e-3".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Teachers, texts and pairs."""
    folder = tmp_path_factory.mktemp("distil")
    write_model(folder / "bert", no_dropout(BERT))
    write_model(folder / "words", no_dropout(BERT), head="masked-words")
    write_model(folder / "run", no_dropout(MOBILE), head="pretraining")
    write_glue(folder / "glue", count=12)
    rng = np.random.default_rng(3)
    (folder / "text").mkdir()
    lines = [f"{rng.choice(NAMES)} eats {' '.join(rng.choice(THINGS, rng.integers(1, 9)))}." for _ in range(40)]
    (folder / "text" / "one.txt").write_text("\n".join(lines[:20]) + "\n", encoding="utf-8")
    (folder / "text" / "two.txt").write_text("\n".join(lines[20:]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Random models are as fast as they are; the latency of each is measured once."""
    monkeypatch.setattr("minimobilebert.distilling.sizes._TURNS", 1)
    with use_backend("numpy"):
        yield


def saved(config, head=None):
    """A teacher without parameters, for settings"""
    return SavedModel(None, config, head, None, None, None)


def words(folder, out, *more, teacher="bert", steps=4):
    return ["distil", "--teacher", str(folder / teacher), "--text", str(folder / "text"), "--out", str(out),
            "--steps", str(steps), "--set", *SMALL, *more]  # fmt: skip


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A whole run with everything in its report -> run folder, what it printed on stderr and stdout"""
    out = tmp_path_factory.mktemp("distilled") / "run"
    more = [
        "--measure",
        "stsb",
        "--data",
        str(folder / "glue"),
        "--baseline",
        "--vectors-only",
        "--sentence",
        "ada eats <b>",
        "--set",
        "embedding_size=16",
    ]
    with pytest.MonkeyPatch.context() as patch, use_backend("numpy"):
        patch.setattr("minimobilebert.distilling.sizes._TURNS", 1)
        assert main(words(folder, out, *more)) == 0
    return out, more


def weights(out, stage="student"):
    return load_checkpoint(out / stage / "checkpoint-final.npz")[0]


def equal(a, b):
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


def refused(capsys, arguments, *parts):
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("minimobilebert")]
    assert len(lines) == 1 and all(part in lines[0] for part in parts), lines


def test_the_memory_of_a_step_is_that_of_the_runs_precision_wherever_it_is_asked():
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = settings_for(saved(BERT), changes={"precision": precision})
        for around in ("float32", "bfloat16"):
            with use_precision(around):
                found.setdefault(precision, set()).add(step_megabytes(settings, BERT))
    assert len(found["float32"]) == len(found["bfloat16"]) == 1
    assert max(found["bfloat16"]) < min(found["float32"])  # NoNorm's feed-forwards keep less


def test_what_is_learned_by_default_depends_on_what_the_teacher_is_for():
    plain, words = settings_for(saved(BERT)), settings_for(saved(BERT, "masked-words"))
    encoder = settings_for(saved(BERT)._replace(sentence=SentenceSettings(pooling="mean", max_length=16)))
    by_cls = settings_for(saved(BERT)._replace(sentence=SentenceSettings(pooling="cls")))
    assert [s.strategy for s in (plain, words, encoder, by_cls)] == ["joint", "joint", "none", "auxiliary"]
    assert [s.random_words for s in (plain, words, encoder, by_cls)] == [0.0, 0.0, 0.15, 0.15]
    assert encoder.embedding_factor == 0.0 != by_cls.embedding_factor
    assert [s.words_start for s in (plain, words, encoder, by_cls)] == [
        "embeddings",
        "embeddings",
        "outputs",
        "embeddings",
    ]
    assert [s.words_factor for s in (plain, words)] == [0.0, 1.0]
    assert encoder.max_length == 16 and by_cls.pooling == "cls" and by_cls.max_length == 20 and plain.max_length == 48


def test_a_student_makes_vectors_as_its_teacher_does(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    teacher, sentence = Model.load(folder / "bert"), SentenceSettings("mean", False, 9, "ada ")
    save_model(tmp_path / "encoder", teacher.params, teacher.config, teacher.tokenizer, sentence=sentence)
    command = [*words(folder, tmp_path / "run", "--json"), "--teacher", str(tmp_path / "encoder")]
    command[command.index("max_length=10")] = "max_length=9"
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "the teacher's outputs for single words" in said and "the teacher expects 'ada ' before a text" in said
    student = Model.load(tmp_path / "run")
    assert student.sentence == sentence
    first = load_checkpoint(tmp_path / "run" / "first_values.npz")[0]
    assert main(command) == 0 and equal(load_checkpoint(tmp_path / "run" / "first_values.npz")[0], first)


def test_sizes_are_derived_from_the_teacher():
    parameters = {name: count_parameters(parameter_shapes(named_student(name, MINILM))) for name in STUDENTS}
    assert parameters == {"mobile": 7_102_848, "mobile-thin": 3_170_304, "mobile-shallow": 5_677_824, "tiny": 3_009_888}
    mobile = named_student("mobile", MINILM)
    assert (mobile.intra_bottleneck_size, mobile.intermediate_size, mobile.num_hidden_layers) == (96, 384, 6)
    assert (mobile.hidden_size, mobile.embedding_size, mobile.num_attention_heads) == (384, 128, 12)
    for teacher in (BERT, BERT.replace(num_attention_heads=16), CONFIGS["ib-bert"], CONFIGS["mobilebert-tiny"]):
        for name in STUDENTS:  # any teacher has students: heads divide the width
            student = named_student(name, teacher)
            assert student.inner_size % student.num_attention_heads == 0 and student.hidden_size == teacher.hidden_size


def test_layers_are_paired_evenly_or_as_given():
    def teachers(*arguments):
        return [pair[1] + 1 for pair in layer_pairs(*arguments)]

    assert teachers("uniform", 6, 6) == [1, 2, 3, 4, 5, 6]
    assert teachers("uniform", 3, 6) == [2, 4, 6]
    assert teachers("uniform", 4, 6) == [2, 3, 5, 6]
    assert teachers("uniform", 1, 12) == [12]
    assert teachers("1,3,5", 3, 6) == [1, 3, 5]
    for layers, count in (("1,3", 3), ("3,1", 2), ("1,7", 2), ("0,1", 2), ("1,x", 2), ("2,2", 2)):
        with pytest.raises(ValueError, match="--layers: found"):
            layer_pairs(layers, count, 6)
    with pytest.raises(ValueError, match="expected at most the teacher's 6"):
        layer_pairs("uniform", 7, 6)


def test_a_run_leaves_a_model_a_summary_and_a_report(folder, finished, capsys):
    out, _ = finished
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["retention"]) == {
        "teacher",
        "first_values",
        "student",
        "student_vectors_only",
        "student_scratch",
    }
    assert all(np.isfinite(list(found.values())).all() for found in summary["retention"].values())
    assert set(summary["after"]) == {"feature_map_transfer", "attention_transfer"}
    model = Model.load(out)
    assert model.config == settings_for(saved(BERT), changes={"embedding_size": "16"}).student_config
    assert embed(model, ["ada eats tea."]).shape == (1, 32)
    assert main(["embed", "ada eats tea.", "ben eats milk.", "--model", str(out)]) == 0
    for stage, head in (("student", None), ("student_scratch", "masked-words")):
        assert Model.load(out / stage).head == head


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not any(name in ("src", "href") and value.startswith("http") for name, value in attributes if value)

    def handle_data(self, data):
        self.texts.append(data)


def test_the_report_is_one_page_and_the_readers_sentence_is_only_text(finished):
    text = (finished[0] / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "ada eats <b>" in page.texts and "b" not in page.tags
    assert page.tags.count("svg") >= 7 and "img" in page.tags and "script" not in page.tags
    everything = " ".join(page.texts)
    for part in (
        "distilled student",
        "without a teacher",
        "sentence vectors only",
        "principal directions",
        "STS-B dev",
    ):
        assert part in everything


def test_a_finished_run_is_only_measured_again(folder, finished, capsys):
    out, more = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert main(words(folder, out, *more)) == 0
    assert "holds this run already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    copy = shutil.copytree(out, out.parent / "copy")
    assert main(words(folder, copy, "--sentence", "ben eats milk.", "--set", "embedding_size=16")) == 0
    assert equal(weights(copy), weights(out))
    assert "ben eats milk." in (copy / "report.html").read_text(encoding="utf-8")
    assert json.loads((copy / "summary.json").read_text(encoding="utf-8"))["retention"] == {}


class Killed(BaseException):
    """Like kill -9: nobody handles it."""


@pytest.mark.parametrize("at", [2, 5])
def test_stopped_at_any_step_it_ends_with_the_same_bits(folder, tmp_path, monkeypatch, at):
    """Progressive, so that one stop is between the stages; every step has a checkpoint."""
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {"stop": 1})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    monkeypatch.setattr(loop.Records, "__new__", _every_step(loop.Records.__new__))
    more = ["strategy=progressive", "transfer_fraction=0.5"]

    def run(out):
        arguments = dict(word.split("=") for word in [*SMALL, *more])
        module.run(teacher=folder / "bert", out=out, text=[folder / "text"], settings=arguments, steps=8)

    run(tmp_path / "whole")
    calls, step = [], stages.encoder_transfer_step

    def stops(*arguments):
        calls.append(1)
        if len(calls) > at:
            raise Killed
        return step(*arguments)

    monkeypatch.setattr(stages, "encoder_transfer_step", stops)
    with pytest.raises(Killed):
        run(tmp_path / "stopped")
    monkeypatch.setattr(stages, "encoder_transfer_step", step)
    run(tmp_path / "stopped")
    for stage in (stages.TRANSFER, stages.STUDENT):
        assert equal(weights(tmp_path / "stopped", stage), weights(tmp_path / "whole", stage))
        lines = [
            [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in file.read_text().splitlines()]
            for file in (tmp_path / run / stage / "metrics.jsonl" for run in ("stopped", "whole"))
        ]
        assert lines[0] == lines[1]


def _every_step(new):
    def make(cls, folder, configuration, log_every=1, checkpoint_seconds=-1.0):
        return new(cls, folder, configuration, 1, -1.0)

    return make


def test_other_settings_texts_or_teachers_are_refused(folder, finished, tmp_path, capsys):
    out, more = finished
    capsys.readouterr()
    refused(capsys, words(folder, out, *more, steps=5), "steps = 4", "steps = 5")
    refused(capsys, [*words(folder, out, *more), "--student", "tiny"], "student = mobile")
    refused(capsys, [*words(folder, out, *more), "--set", "num_feedforward_networks=3"], "student.num_feedforward")
    other, file = shutil.copytree(out, tmp_path / "run"), folder / "text" / "two.txt"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "one more line.\n", encoding="utf-8")
    refused(capsys, words(folder, other, *more), "text: found other contents than when the text")
    file.write_text(text, encoding="utf-8")
    shutil.move(folder / "bert", tmp_path / "bert")
    write_model(folder / "bert", no_dropout(BERT), seed=2)
    refused(capsys, words(folder, other, *more), "teacher: found other contents")
    shutil.rmtree(folder / "bert")
    shutil.move(tmp_path / "bert", folder / "bert")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nonsense": "1"}, "unknown setting 'nonsense'"),
        ({"learning_rate": "fast"}, "learning_rate: found 'fast'"),
        ({"feature_loss": "best"}, "feature_loss: found 'best'"),
        ({"trigram_input": "maybe"}, "trigram_input: found 'maybe', expected true or false"),
        (
            {"hidden_size": "16", "embedding_size": "16", "feature_factor": "1"},
            "feature_factor: found 1.0 with widths 16",
        ),
        ({"num_attention_heads": "4", "attention_factor": "1"}, "attention_factor: found 1.0 with 4 and 2 heads"),
        ({"relation_factor": "1", "relation_heads": "7"}, "relation_heads: found 7, expected a divisor of"),
        ({"words_factor": "1"}, "words_factor: found it above 0"),
        ({"hidden_size": "64", "embedding_size": "64"}, "embedding_size: found 64, expected at most the teacher's 32"),
        ({"vocab_size": "9"}, "vocab_size: found 9"),
        ({"max_length": "500"}, "max_length: found 500, expected at most 48"),
        (
            {f"{name}_factor": "0" for name in ("feature", "attention", "embedding", "direction")},
            "strategy joint: found every factor of transfer 0",
        ),
        ({"strategy": "none", "direction_factor": "0"}, "strategy none: found every factor of distillation 0"),
        ({"teacher_precision": "int8"}, "teacher_precision: found int8 with strategy joint"),
        ({"teacher_precision": "int4", "strategy": "none"}, "teacher_precision: found 'int4'"),
        (
            {"strategy": "none", "layers": "2", "num_hidden_layers": "1"},
            "layers: found 2 with strategy none, which does not",
        ),
        ({"strategy": "none", "feature_factor": "2"}, "feature_factor: found 2.0 with strategy none"),
        ({"strategy": "none", "transfer_fraction": "0.5"}, "transfer_fraction: found 0.5 with strategy none"),
        ({"strategy": "auxiliary", "transfer_fraction": "0.5"}, "transfer_fraction: found 0.5 with strategy auxiliary"),
        ({"relation_heads": "2"}, "relation_heads: found 2 with strategy joint, which does not read it"),
        ({"words_alpha": "0.3"}, "words_alpha: found 0.3"),
        ({"strategy": "progressive", "steps": "2"}, "steps: found 2, expected more than the 2 of transfer"),
        (
            {"words_start": "outputs", "trigram_input": "false", "embedding_size": "32"},
            "words_start: found outputs with word vectors of the width 32 and no trigrams",
        ),
        ({"batch_size": "1", "similarity_factor": "1"}, "batch_size: found 1, expected at least 2"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers: found 3, expected at most the teacher's 2"),
    ],
)
def test_settings_that_do_not_fit_are_one_clear_line(settings, words):
    with pytest.raises((ConfigError, ValueError), match=words):
        settings_for(saved(BERT), changes=settings)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--measure", "stsb"], "--data: found nothing"),
        (["--measure", "pairs.csv"], "--columns: found nothing"),
        (["--data", "glue"], "--data: found it without --measure, expected it with --measure stsb only"),
        (["--columns", "a,b,c"], "--columns: found it without --measure"),
        (["--measure", "pairs.csv", "--data", "glue"], "--data: found it with --measure pairs.csv"),
        (["--measure", "stsb", "--data", "glue", "--columns", "a,b,c"], "--columns: found it with --measure stsb"),
        (["--sentence", " "], "--sentence: found nothing, expected words"),
        (["--teacher", "nowhere"], "nowhere: found no folder"),
        (["--text", "nowhere"], "nowhere: not found"),
        (["--vectors-only", "--set", "strategy=none"], "--vectors-only: found it with strategy none"),
    ],
)
def test_unusable_options_are_one_clear_line_and_nothing_is_written(folder, tmp_path, capsys, arguments, part):
    refused(capsys, [*words(folder, tmp_path / "run"), *arguments], part)
    assert not (tmp_path / "run").exists()


def test_a_student_of_another_width_and_with_other_heads_learns_relations_and_similarities(folder, tmp_path, capsys):
    pairs = tmp_path / "pairs.csv"
    rows = [f"{a} eats tea,{b} eats milk,{n / 8}\n" for n, (a, b) in enumerate(zip(NAMES[:8], NAMES[8:], strict=True))]
    pairs.write_text("first,second,score\n" + "".join(rows), encoding="utf-8")
    more = ["hidden_size=24", "embedding_size=16", "num_attention_heads=4", "intra_bottleneck_size=16", "precision=bfloat16",
            "--measure", str(pairs), "--columns", "first,second,score", "--layers", "2", "--student", "tiny"]  # fmt: skip
    out = tmp_path / "run"
    assert main(words(folder, out, *more)) == 0
    said = capsys.readouterr()
    assert "4 heads and the teacher's 2: relations of queries, keys and values instead of attention maps" in said.err
    assert "widths 24 and the teacher's 32" in said.err and "1 with 2" in said.err
    assert "distilled student" in said.out
    assert set(losses(out, "transfer")) == {"relation_transfer"}
    assert set(losses(out, "student")) == {"sentence_similarities"}


def losses(out, stage):
    """The terms of the loss in the last line of a stage's metrics"""
    line = json.loads((out / stage / "metrics.jsonl").read_text().splitlines()[-1])
    return [name for name in line if name not in ("step", "loss", "learning_rate", "gradient_norm", "seconds")]


@pytest.mark.parametrize(
    ("strategy", "transfer", "student"),
    [
        ("progressive", ["feature_map_transfer", "attention_transfer"], ["sentence_directions"]),
        ("joint", ["feature_map_transfer", "attention_transfer", "embedding_transfer"], ["sentence_directions"]),
        ("auxiliary", None,
         ["feature_map_transfer", "attention_transfer", "embedding_transfer", "sentence_directions"]),
        ("none", None, ["sentence_directions"]),
    ],
)  # fmt: skip
def test_strategies_have_the_papers_stages(folder, tmp_path, monkeypatch, strategy, transfer, student):
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    out = tmp_path / "run"
    assert main(words(folder, out, f"strategy={strategy}", "--json")) == 0
    assert (out / "transfer").exists() == (transfer is not None)
    assert losses(out, "student") == student and (transfer is None or losses(out, "transfer") == transfer)


def test_the_teachers_vectors_are_computed_once_where_the_text_is_seen_more_than_once(
    folder, tmp_path, monkeypatch, capsys
):
    """Each batch has the vectors of its own rows; parts are finished one by one, and a changed one is noticed."""
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    monkeypatch.setattr(teacher_vectors, "PART", 16)
    out, seen, step = tmp_path / "run", [], stages.encoder_transfer_step

    def watched(params, config, teacher, teacher_config, batch, transfer, rng, shares):
        if hasattr(batch, "teacher_vectors"):
            hidden = encoder_forward(teacher, teacher_config, *batch[:3])[0].hidden_states[-1]
            expected, _ = pool_forward(hidden, batch.attention_mask, "mean")
            np.testing.assert_allclose(batch.teacher_vectors, expected, rtol=1e-4, atol=1e-5)
            seen.append(1)
        return step(params, config, teacher, teacher_config, batch, transfer, rng, shares)

    monkeypatch.setattr(stages, "encoder_transfer_step", watched)
    command = words(folder, out, "--json", steps=12)
    assert main(command) == 0
    parts = sorted((out / "teacher_vectors").glob("*.npy"))
    assert len(parts) == 3 and len(seen) == 9  # the transfer stage has the first 3 steps
    before, vectors = weights(out), [part.read_bytes() for part in parts]
    shutil.rmtree(out / "student")
    parts[2].unlink()
    assert main(command) == 0
    assert equal(weights(out), before) and [part.read_bytes() for part in parts] == vectors
    shutil.rmtree(out / "student")
    parts[1].write_bytes(parts[0].read_bytes())
    refused(capsys, command, "00001.npy: found other contents")


@pytest.mark.parametrize("random_words", [0.3, 0])
def test_a_teacher_in_8_bits_gives_nearly_the_same_vectors(folder, tmp_path, monkeypatch, random_words):
    """Computed in each step, or once for all rows, and always of the words that the student reads."""
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    step, distances = stages.encoder_transfer_step, []

    def watched(params, config, teacher, teacher_config, batch, transfer, rng, shares):
        hidden = encoder_forward(teacher, teacher_config, *batch[:3])[0].hidden_states[-1]
        expected, _ = pool_forward(hidden, batch.attention_mask, "mean")
        distances.append(np.linalg.norm(batch.teacher_vectors - expected) / np.linalg.norm(expected))
        return step(params, config, teacher, teacher_config, batch, transfer, rng, shares)

    monkeypatch.setattr(stages, "encoder_transfer_step", watched)
    for precision, least, most in (("same", 0.0, 1e-5), ("int8", 1e-4, 0.05)):
        distances.clear()
        changes = ["strategy=none", f"random_words={random_words}", f"teacher_precision={precision}"]
        assert main(words(folder, tmp_path / precision, *changes, "--json", steps=12)) == 0
        assert len(distances) == 12 and least <= min(distances) and max(distances) <= most


def test_prepared_text_is_read_where_it_is(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    shards, text = tmp_path / "shards", str(folder / "text")
    command = ["prepare", "--text", text, "--unit", "sentence", "--vocab", str(folder / "bert"), "--out", str(shards)]
    assert main(command) == 0
    assert main([*words(folder, tmp_path / "prepared", "--json"), "--text", str(shards)]) == 0
    assert main(words(folder, tmp_path / "direct", "--json")) == 0
    assert equal(weights(tmp_path / "prepared"), weights(tmp_path / "direct"))
    assert not (tmp_path / "prepared" / "text").exists()
    capsys.readouterr()
    both = [*words(folder, tmp_path / "both"), "--text", str(shards), text]
    refused(capsys, both, "--text: found 2 folders with prepared text")
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "ada", "eats"]), encoding="utf-8")
    assert main([*command, "--vocab", str(tmp_path / "vocab.txt"), "--out", str(tmp_path / "other")]) == 0
    capsys.readouterr()
    other = [*words(folder, tmp_path / "no"), "--text", str(tmp_path / "other")]
    refused(capsys, other, "other: found text prepared with another vocabulary, expected the teacher's")


def test_a_teacher_with_a_head_for_masked_words_teaches_them(folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(words(folder, out, teacher="words")) == 0
    assert "masked-word head" in capsys.readouterr().err
    assert Model.load(out).head == "masked-words"
    assert "masked_words" in json.loads((out / "student" / "metrics.jsonl").read_text().splitlines()[-1])
    assert main(["fill-mask", "ada eats [MASK].", "--model", str(out)]) == 0


@pytest.mark.parametrize("steps", [4, 12])
def test_sentence_vectors_alone_are_those_of_whole_texts(folder, tmp_path, monkeypatch, steps):
    """However often the text is seen: also beside a student that learns masked words."""
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    step, seen = stages.encoder_transfer_step, []

    def watched(params, config, teacher, teacher_config, batch, transfer, rng, shares):
        if transfer.only_vectors:
            mask_id = SPECIAL_TOKENS.index("[MASK]")
            seen.append(hasattr(batch, "masked_positions") or bool((batch.input_ids == mask_id).any()))
        return step(params, config, teacher, teacher_config, batch, transfer, rng, shares)

    monkeypatch.setattr(stages, "encoder_transfer_step", watched)
    assert main(words(folder, tmp_path / "run", "--vectors-only", "--json", teacher="words", steps=steps)) == 0
    assert seen == [False] * steps


def test_a_mobilebert_with_its_pretraining_heads_teaches_too(folder, tmp_path, monkeypatch):
    """Its embeddings have a map from trigrams; next sentences have no part in a text of single rows."""
    monkeypatch.setattr("minimobilebert.distilling.run.summarise", lambda *_: {})
    monkeypatch.setattr(module.RunFolder, "finish", lambda *_: None)
    out = tmp_path / "run"
    assert main(words(folder, out, "embedding_size=16", "--json", teacher="run")) == 0
    assert Model.load(out).head == "masked-words" and losses(out, "student") == ["sentence_directions", "masked_words"]
    assert not (out / "teacher_vectors").exists()


@pytest.mark.parametrize("name", ["bert", "ib-bert"])
def test_the_embedding_output_starts_near_the_teachers(name):
    """Equal where the word table is not narrower and the norms are the same; else the best line through the points."""
    rng = np.random.default_rng(4)
    teacher = CONFIGS[name]
    of_teacher, batch = random_parameters(teacher, rng, None, dtype=np.float32), random_batch(teacher, rng)
    inputs = batch.input_ids, batch.token_type_ids
    expected, _ = embeddings_forward(of_teacher, teacher, *inputs)
    same = named_student("mobile", teacher).replace(normalization_type="layer_norm")
    errors = []
    for config in (same, named_student("mobile", teacher), named_student("mobile", teacher).replace(embedding_size=3)):
        params = init_parameters(parameter_shapes(config), config, rng)
        pairs = layer_pairs("uniform", config.num_hidden_layers, teacher.num_hidden_layers)
        starts = start_from_teacher((params, config, of_teacher, teacher), pairs, batch)
        assert {"word table", "map to the width", "embedding norm", "blocks"} <= {start.part for start in starts}
        found, _ = embeddings_forward(params, config, *inputs)
        errors.append(((found - expected)[batch.attention_mask] ** 2).mean() / expected[batch.attention_mask].var())
    assert errors[0] < 1e-10 and errors[0] < errors[1] < errors[2] < 1.0


def test_words_start_with_what_the_teacher_makes_of_them_alone(folder):
    """Hidden states of [CLS] w [SEP], frequent words shorter; in a table that is not narrower nothing is lost."""
    teacher = Model.load(folder / "bert")
    counts = np.zeros(BERT.vocab_size)
    counts[[7, 9]] = 990, 10
    vectors = word_vectors.output_word_vectors(teacher.params, teacher.config, teacher.tokenizer, counts)
    for word, share in ((7, 0.991), (9, 0.011), (20, 0.001)):
        text = " ".join(teacher.tokenizer.vocab[word : word + 1])
        hidden = teacher.encode([text]).last_hidden[0, 1]
        np.testing.assert_allclose(vectors[word], hidden * 1e-3 / (1e-3 + share), rtol=1e-4, atol=1e-6)
    ids = np.array([[7, 9, 20]], np.int32)
    for embedding_size, exact in ((32, True), (16, False)):
        config = named_student("mobile", BERT).replace(embedding_size=embedding_size)
        params = init_parameters(parameter_shapes(config), config, np.random.default_rng(6))
        (start, _) = start_from_teacher((params, config, teacher.params, BERT), ((0, 0),), None, vectors)
        assert "outputs for single words" in start.origin
        found, _ = embeddings_forward(params, config, ids, np.zeros_like(ids))
        error = np.abs(found[0] - vectors[ids[0]]).max() / np.abs(vectors[ids[0]]).max()
        assert (error < 1e-5) == exact and error < 0.8


def test_a_student_with_fewer_of_the_teachers_own_blocks_starts_with_these(folder):
    teacher = CONFIGS["bert"]
    student, rng = teacher.replace(num_hidden_layers=2), np.random.default_rng(5)
    of_teacher, batch = random_parameters(teacher, rng, None, dtype=np.float32), random_batch(teacher, rng)
    params = init_parameters(parameter_shapes(student), student, rng)
    starts = start_from_teacher((params, student, of_teacher, teacher), ((0, 0), (1, 2)), batch)
    assert ("blocks", "the teacher's layers 1, 3") in [tuple(start) for start in starts]
    for layer, source in ((0, 0), (1, 2)):
        names = [name for name in params if f".layer.{layer}." in name]
        assert names and all(
            np.array_equal(params[n], of_teacher[n.replace(f".{layer}.", f".{source}.", 1)]) for n in names
        )


def test_pieces_are_counted_in_all_shards(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("minimobilebert.text.prepare.SHARD_PIECES", 50)
    monkeypatch.setattr("minimobilebert.text.prepare.CHUNK_ROWS", 8)
    tokenizer = Model.load(folder / "bert").tokenizer
    shards = prepare([folder / "text"], tmp_path / "shards", tokenizer)
    batches, counts = shards.batches(1, 7, 48), np.zeros(tokenizer.vocab_size, int)
    for step in range(batches.steps_per_epoch):
        batch = batches(step)
        counts += np.bincount(batch.input_ids[batch.attention_mask], minlength=len(counts))
    assert len(list((tmp_path / "shards").glob("*.pieces.npy"))) > 1
    np.testing.assert_array_equal(shards.piece_counts(), counts)


def test_which_models_are_worth_their_cost():
    assert on_the_front([1.0, 2.0, 3.0], [0.5, 0.7, 0.6]) == [True, True, False]
    assert on_the_front([1.0, 1.0, 2.0], [0.5, 0.5, 0.5]) == [True, True, False]  # equal ones do not beat each other
    assert on_the_front([2.0], [-1.0]) == [True]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_the_cheapest_to_the_dearest_improve(models):
    costs, scores = zip(*models, strict=True)
    front = on_the_front(costs, scores)
    for (cost, score), on in zip(models, front, strict=True):
        cheaper = [s for c, s in models if c < cost]
        as_cheap = [s for c, s in models if c == cost]
        assert on == (score == max(as_cheap) and score > max(cheaper, default=-1))


def test_models_side_by_side(finished, folder, tmp_path, capsys):
    out, svg = finished[0], tmp_path / "chart.svg"
    command = ["pareto", str(folder / "bert"), str(out), "--measure", "stsb", "--data", str(folder / "glue")]
    assert main([*command, "--svg", str(svg), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(command) == 0
    table = capsys.readouterr().out
    kept = json.loads((out / "summary.json").read_text(encoding="utf-8"))["retention"]
    assert [row["name"] for row in found] == ["bert", "run"] and any(row["front"] for row in found)
    for row, name in zip(found, ("teacher", "student"), strict=True):
        assert {key: row[key] for key in kept[name]} == kept[name]
        assert f"{row['parameters']:,}" in table and f"{row['spearman']:.4f}" in table
    drawn = svg.read_text(encoding="utf-8")
    assert "bert (" in drawn and "Spearman, STS-B dev" in drawn
    positions = min(Model.load(model).config.max_position_embeddings for model in (folder / "bert", out))
    assert {row["pieces"] for row in found} == {positions} and f"ms ({positions} pieces)" in table
    (tmp_path / "linked").symlink_to(out)
    for same in (f"{out}/", str(tmp_path / "linked")):
        refused(capsys, ["pareto", str(out), same, *command[3:]], "found it twice")
    refused(capsys, [*command, "--svg", str(tmp_path / "none" / "chart.svg")], "found no folder")
    refused(capsys, [*command, "--svg", str(folder)], str(folder))
