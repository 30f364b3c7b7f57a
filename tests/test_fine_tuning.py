"""Fine-tuning: small models learn small tasks by heart, go on after a stop with the same bits, and keep their best."""

import json
import pathlib

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, no_dropout, write_glue, write_model, write_squad
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.cli import main
from minimobilebert.finetuning import run as module
from minimobilebert.finetuning.glue_job import GlueJob
from minimobilebert.finetuning.jobs import TaskFiles
from minimobilebert.finetuning.run import Plan, first_parameters, run, train_plan
from minimobilebert.finetuning.settings import search_space, usual_settings
from minimobilebert.inference.answer import answer
from minimobilebert.inference.model import Model
from minimobilebert.model.classification import classification_step
from minimobilebert.tasks.classification_batches import ClassificationBatch
from minimobilebert.training.best_checkpoint import BEST, BestCheckpoint
from minimobilebert.training.checkpoints import load_checkpoint
from minimobilebert.training.manifest import DamagedRun
from minimobilebert.training.model_folder import load_model
from minimobilebert.training.stage_folder import OtherConfiguration

FAST = {"learning_rate": 3e-3, "batch_size": 8, "weight_decay": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models and task files."""
    folder = tmp_path_factory.mktemp("fine-tuning")
    write_model(folder / "bert", no_dropout(BERT))
    write_model(folder / "mobile", no_dropout(MOBILE))
    write_model(folder / "dropout", BERT)
    write_glue(folder / "glue")
    write_squad(folder / "squad")
    write_squad(folder / "squad", version="2.0")
    return folder


def fine_tune(folder, out, task, model="bert", **changes):
    files = TaskFiles(data=str(folder / ("squad" if task.startswith("squad") else "glue")))
    return run(task=task, model=str(folder / model), out=out, files=files, **{**FAST, **changes})


@pytest.fixture(scope="module")
def sentences(folder, tmp_path_factory):
    """32 sentences learnt by heart -> run folder, summary"""
    out = tmp_path_factory.mktemp("sst2") / "run"
    return out, fine_tune(folder, out, "sst2", epochs=25)


@pytest.fixture(scope="module")
def questions(folder, tmp_path_factory):
    """16 questions learnt by heart -> run folder, summary"""
    out = tmp_path_factory.mktemp("squad1") / "run"
    return out, fine_tune(folder, out, "squad1", epochs=70, max_length=40, max_query=12, stride=10)


def test_32_sentences_are_learnt_by_heart(sentences):
    assert sentences[1]["best"]["scores"] == {"dev": {"accuracy": 1.0}}
    assert sentences[1]["steps"] == 100 and sentences[1]["rows"] == 32


def test_32_sentences_are_learnt_by_heart_by_a_mobilebert(folder, tmp_path):
    summary = fine_tune(folder, tmp_path / "run", "sst2", model="mobile", epochs=40, learning_rate=6e-3)
    assert summary["best"]["scores"] == {"dev": {"accuracy": 1.0}}


def test_32_numbers_are_learnt_by_heart(folder, tmp_path):
    summary = fine_tune(folder, tmp_path / "run", "stsb", epochs=50)
    assert summary["best"]["selection"] > 0.98


def test_16_questions_are_learnt_by_heart(questions):
    assert questions[1]["best"]["scores"]["dev"] == {"exact": 100.0, "f1": 100.0, "total": 16}


def test_questions_without_an_answer_are_learnt_too(folder, tmp_path):
    summary = fine_tune(folder, tmp_path / "run", "squad2", epochs=70, max_length=40, max_query=12, stride=10)
    scores = summary["best"]["scores"]["dev"]
    assert (scores["exact"], scores["HasAns_exact"], scores["NoAns_exact"]) == (100.0, 100.0, 100.0)
    assert scores["NoAns_total"] == 4


def result(out):
    """What must not depend on interruptions."""
    arrays, metadata = load_checkpoint(out / "checkpoint-final.npz")
    rows = json.loads((out / "evaluations.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for row in [*rows, *lines]:
        del row["seconds"]
    return arrays, metadata["step"], rows, lines


@pytest.mark.parametrize("task", ["sst2", "stsb"])
@pytest.mark.parametrize("where", ["in an epoch", "behind an evaluation"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(folder, tmp_path, monkeypatch, task, where):
    """With dropout. Stopped behind an evaluation, the newest checkpoint is the one before it."""
    monkeypatch.setattr(module, "_CHECKPOINT_SECONDS", 0.0)
    whole = {"model": "dropout", "epochs": 4}
    fine_tune(folder, tmp_path / "whole", task, **whole)

    class Stopped(Exception):
        pass

    class StopsAtStep10(module.TrainingBatches):
        def __call__(self, step):
            if step == 10:
                raise Stopped
            return super().__call__(step)

    class StopsBehindTheSecond(BestCheckpoint):
        def add(self, step, *arguments, **measured):
            super().add(step, *arguments, **measured)
            if step == 8:
                raise Stopped

    with monkeypatch.context() as patch:
        if where == "in an epoch":
            patch.setattr(module, "TrainingBatches", StopsAtStep10)
        else:
            patch.setattr(module, "BestCheckpoint", StopsBehindTheSecond)
        with pytest.raises(Stopped):
            fine_tune(folder, tmp_path / "part", task, **whole)
    assert not (tmp_path / "part" / "summary.json").exists()
    fine_tune(folder, tmp_path / "part", task, **whole)
    expected, found = result(tmp_path / "whole"), result(tmp_path / "part")
    assert all(np.array_equal(expected[0][name], found[0][name]) for name in expected[0])
    assert expected[1:] == found[1:] and len(found[2]) == 4


def test_the_best_of_several_epochs_is_kept(tmp_path):
    keeper = BestCheckpoint(tmp_path, {"a": 1})
    for step, selection in ((4, 0.3), (8, 0.9), (12, 0.9), (16, float("nan")), (20, 0.5)):
        keeper.add(step, {"w": np.full(3, step)}, selection)
    assert keeper.best["step"] == 8
    arrays, metadata = load_checkpoint(tmp_path / BEST)
    assert arrays["w"].tolist() == [8, 8, 8] and metadata["step"] == 8
    assert keeper.parameters()["w"].tolist() == [8, 8, 8]


def test_the_best_is_the_same_after_a_kill(tmp_path):
    """The newest checkpoint is of step 7: what was evaluated after it is evaluated again."""
    first = BestCheckpoint(tmp_path, {"a": 1})
    first.add(4, {"w": np.full(3, 4)}, 0.3)
    state = json.loads(json.dumps(first.state()))
    first.add(8, {"w": np.full(3, 8)}, 0.9)
    again = BestCheckpoint(tmp_path, {"a": 1})
    again.restore(state, 7)
    with pytest.raises(DamagedRun, match="best.npz: found another file"):
        again.parameters()  # of step 8, which is not reached again yet
    again.add(8, {"w": np.full(3, 8)}, 0.9)
    assert [row["step"] for row in again.rows] == [4, 8] and again.best["step"] == 8
    assert again.parameters()["w"].tolist() == [8, 8, 8]


def test_the_kept_model_is_that_of_the_best_epoch(folder, tmp_path, monkeypatch, capsys):
    """Were the second of four epochs the best, its parameters would be what Model.load finds."""
    selections, seen = iter((0.1, 0.9, 0.3, 0.8)), {}
    monkeypatch.setattr(GlueJob, "selection", lambda job, scores: next(selections))

    class Spy(BestCheckpoint):
        def add(self, step, params, *arguments, **measured):
            seen[step] = {name: array.copy() for name, array in params.items()}
            super().add(step, params, *arguments, **measured)

    monkeypatch.setattr(module, "BestCheckpoint", Spy)
    summary = fine_tune(folder, tmp_path / "run", "sst2", epochs=4)
    assert sorted(seen) == [4, 8, 12, 16] and summary["best"] == summary["evaluations"][1]
    found = Model.load(tmp_path / "run").params
    assert all(np.array_equal(found[name], seen[8][name]) for name in found)
    assert not np.array_equal(found["classifier.weight"], seen[16]["classifier.weight"])
    assert not (tmp_path / "run" / BEST).exists()
    arguments = ["--task", "sst2", "--data", str(folder / "glue"), "--model", str(tmp_path / "run"), "--json"]
    assert main(["evaluate", *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == summary["best"]["scores"]


def test_other_settings_and_other_data_are_refused(folder, tmp_path, monkeypatch):
    fine_tune(folder, tmp_path / "run", "sst2", epochs=1)
    with pytest.raises(ValueError, match="config.json: found a run with learning_rate = 0.003, expected .* = 0.1"):
        fine_tune(folder, tmp_path / "run", "sst2", epochs=1, learning_rate=0.1)
    (tmp_path / "run" / "summary.json").unlink()
    write_glue(tmp_path / "other", count=31)
    write_model(tmp_path / "model", no_dropout(BERT), seed=2)
    settings = usual_settings("sst2", 48, **FAST, epochs=1)
    other_data = Plan(load_model(folder / "bert"), TaskFiles(data=str(tmp_path / "other")), settings)
    other_start = Plan(load_model(tmp_path / "model"), TaskFiles(data=str(folder / "glue")), settings)
    for plan, field in ((other_data, "data"), (other_start, "start")):
        with pytest.raises(OtherConfiguration, match=f"found a checkpoint with {field} = "):
            train_plan(plan, tmp_path / "run")


def test_a_finished_run_is_only_read(folder, sentences, capsys):
    again = fine_tune(folder, sentences[0], "sst2", epochs=25)
    assert again == json.loads(json.dumps(sentences[1]))
    assert "holds this run already" in capsys.readouterr().err


def test_the_head_is_new_and_the_rest_is_taken_over(folder):
    saved = load_model(folder / "bert")
    plan = Plan(saved, TaskFiles(data=str(folder / "glue")), usual_settings("sst2", 48))
    assert plan.params["classifier.weight"].std() == pytest.approx(0.2 * 0.88, rel=0.3)  # cut off at 2 deviations
    assert not plan.params["classifier.bias"].any()
    for name, array in saved.params.items():  # the pooler too
        assert np.array_equal(plan.params[name], array) and plan.params[name] is not array
    other = Plan(saved, TaskFiles(data=str(folder / "glue")), usual_settings("sst2", 48, seed=2))
    assert not np.array_equal(plan.params["classifier.weight"], other.params["classifier.weight"])
    without = saved._replace(
        config=saved.config.replace(classifier_activation=False),
        params={name: array for name, array in saved.params.items() if "pooler" not in name},
    )
    params, config = first_parameters(without, plan.job, 1)
    assert config.classifier_activation and params["bert.pooler.dense.weight"].any(), "transformers' BERT has a pooler"


@pytest.mark.parametrize("name", ["bert", "mobilebert"])
def test_gradients_with_dropout_in_front_of_the_classifier(name, backend):
    config = CONFIGS[name].replace(hidden_dropout_prob=0.3)
    rng = np.random.default_rng(1)
    params = random_parameters(config, rng, "classification", 3)
    pairs = random_batch(config, rng)
    batch = ClassificationBatch(*pairs[:3], np.array([2, 0, 1]))

    def loss(shift):
        moved = {key: array + shift * direction[key] for key, array in params.items()}
        return classification_step(moved, config, batch, np.random.default_rng(3))[0]["loss"]

    direction = {key: rng.normal(size=array.shape) for key, array in params.items()}
    gradients = classification_step(params, config, batch, np.random.default_rng(3))[1]
    slope = sum(float((gradients[key] * direction[key]).sum()) for key in params)
    assert (loss(1e-6) - loss(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-5)
    assert loss(0.0) != classification_step(params, config, batch)[0]["loss"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("task", "model"),
    [("sst2", "bert"), ("stsb", "mobile"), ("rte", "mobile"), ("squad1", "bert"), ("squad1", "mobile")],
)
def test_pytorch_goes_the_same_way_on_the_same_plan(folder, tmp_path, task, model):
    """Without dropout both are the same computation: loss, gradients, clipping, schedule, AdamW, evaluation."""
    pytest.importorskip("transformers", reason="needs the extra compare: make setup EXTRAS=compare")
    from minimobilebert.bench.finetuning_torch import train_torch

    files = TaskFiles(data=str(folder / ("squad" if task == "squad1" else "glue")))
    changes = {"max_length": 40, "max_query": 12} if task == "squad1" else {}
    settings = usual_settings(task, 48, learning_rate=1e-4, batch_size=8, epochs=3, weight_decay=0.1, **changes)
    ours, theirs = (Plan(load_model(folder / model), files, settings) for _ in range(2))

    def logits(plan):
        """All training rows', without what the loss does not see: a shift of all scores of a row."""
        rows = [plan.job.logits(plan.params, plan.config)(plan.batches(step)) for step in range(plan.steps_per_epoch)]
        return np.concatenate([(x if task == "stsb" else x - x.mean(axis=1, keepdims=True)).ravel() for x in rows])

    before = logits(ours)
    found, expected = train_plan(ours, tmp_path / "run"), train_torch(theirs, tmp_path / "run")
    way, gap = np.abs(logits(theirs) - before).max(), np.abs(logits(ours) - logits(theirs)).max()
    # Rounding; and in transformers' MobileBERT the row of [PAD], which trigrams read, is not trained.
    assert gap < (1e-4 if model == "bert" else 1e-2) * way
    for mine, other in zip(found[0], expected[0], strict=True):
        assert mine["selection"] == pytest.approx(other["selection"], abs=1e-3)


def test_the_trained_folder_goes_to_hugging_face_and_back(sentences, questions, tmp_path):
    pytest.importorskip("safetensors", reason="needs the extra interop: make setup EXTRAS=interop")
    for out, head in ((sentences[0], "classification"), (questions[0], "question-answering")):
        model = Model.load(out)
        assert model.head == head
        assert main(["convert", "--from", str(out), "--to-hf", str(tmp_path / head)]) == 0
        assert main(["convert", "--from-hf", str(tmp_path / head), "--to", str(tmp_path / f"{head}-back")]) == 0
        back = Model.load(tmp_path / f"{head}-back")
        assert back.labels == model.labels and all(map(np.array_equal, back.params.values(), model.params.values()))
    assert Model.load(sentences[0]).labels == ["0", "1"]


def test_answers_are_marked_in_their_passage(questions, folder, capsys):
    out = str(questions[0])
    article = json.loads((folder / "squad" / "dev-v1.1.json").read_text())["data"][0]["paragraphs"][0]
    question, thing = article["qas"][0]["question"], article["qas"][0]["answers"][0]["text"]
    arguments = ["answer", "--question", question, "--passage", article["context"], "--model", out, "--top", "3"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert article["context"].replace(f" {thing} ", f" [[{thing}]] ") in shown and len(shown.splitlines()) == 6
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 3 and found[0]["text"] == thing == article["context"][found[0]["start"] : found[0]["stop"]]
    scores = [row["score"] for row in found]
    assert scores == sorted(scores, reverse=True) and sum(row["probability"] for row in found) <= 1.0 + 1e-6
    long = " ".join([article["context"]] * 5)  # more than one window
    texts = [row["text"] for row in answer(Model.load(out), question, long, top=1000, may_be_none=True)]
    assert "" in texts and thing in texts
    assert "" not in [row["text"] for row in answer(Model.load(out), question, long, top=1000)]


def test_answer_needs_a_model_and_words(sentences, questions, capsys):
    for model, words, passage in (
        (sentences[0], f"{sentences[0]}: found a classification head, expected one for questions", "a"),
        (questions[0], "passage: found nothing, expected words", " "),
    ):
        assert main(["answer", "--question", "ada", "--passage", passage, "--model", str(model)]) == 2
        assert words in capsys.readouterr().err


def test_predictions_for_the_sites(folder, questions, tmp_path, capsys):
    fine_tune(folder, tmp_path / "rte", "rte", epochs=1)
    common = ["--data", str(folder / "glue"), "--model", str(tmp_path / "rte"), "--out", str(tmp_path / "sites")]
    assert main(["predict", "--task", "rte", *common]) == 0
    lines = (tmp_path / "sites" / "RTE.tsv").read_text().splitlines()
    assert capsys.readouterr().out.strip() == str(tmp_path / "sites" / "RTE.tsv")
    assert lines[0] == "index\tprediction" and len(lines) == 33
    assert {line.split("\t")[1] for line in lines[1:]} <= {"entailment", "not_entailment"}

    data = ["--data", str(folder / "squad"), "--model", str(questions[0])]
    assert main(["predict", "--task", "squad1", *data, "--out", str(tmp_path / "squad")]) == 0
    assert {path.name for path in (tmp_path / "squad").iterdir()} == {"predictions.json", "nbest_predictions.json"}
    capsys.readouterr()
    dev, predictions = folder / "squad" / "dev-v1.1.json", tmp_path / "squad" / "predictions.json"
    assert main(["squad-score", str(dev), str(predictions), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"] == 100.0


def test_a_split_by_article_trains_on_some_and_scores_the_others(folder, tmp_path):
    left_out = tmp_path / "ids.json"
    left_out.write_text('["q0", "q3"]')
    files = TaskFiles(
        data="", train_file=str(folder / "squad" / "train-v1.1.json"), split_articles=1, leave_out=str(left_out)
    )
    settings = usual_settings("squad1", 48, max_length=40, max_query=12)
    plan = Plan(load_model(folder / "bert"), files, settings)
    assert [q.id for q in plan.job.examples.features.dataset.questions] == ["q1", "q2", "q4", "q5", "q6", "q7"]
    assert [q.id for q in plan.job.dev.dataset.questions] == [f"q{i}" for i in range(8, 16)]


def test_a_run_of_some_articles_is_scored_on_the_others(folder, tmp_path, capsys):
    file, run = str(folder / "squad" / "train-v1.1.json"), str(tmp_path / "run")
    common = ["--task", "squad1", "--data", str(folder / "squad")]
    small = ["--max-length", "40", "--max-query", "12"]
    assert main(["finetune", *common, *small, "--model", str(folder / "bert"), "--epochs", "1", "--out", run,
                 "--train-file", file, "--split-articles", "1"]) == 0  # fmt: skip
    capsys.readouterr()
    totals = []
    for more in ([], ["--dev-file", str(folder / "squad" / "dev-v1.1.json")]):
        assert main(["evaluate", *common, "--model", run, *more, "--json"]) == 0
        printed = capsys.readouterr()
        totals.append(json.loads(printed.out)["dev"]["total"])
        assert ("without the first 1 articles" in printed.err) == (not more)
    assert totals == [8, 16]
    for which, more in (("train", ["--split-articles", "1"]), ("dev", [])):
        missing = ["evaluate", "--task", "squad1", "--data", str(tmp_path), "--model", run, *more]
        if which == "dev":
            missing += ["--dev-file", str(tmp_path / "none.json")]
        assert main(missing) == 2
        assert f"(--{which}-file names another)" in capsys.readouterr().err


def test_a_search_finds_the_best_point_and_keeps_its_weights_only(folder, tmp_path, capsys):
    arguments = [
        "finetune", "--task", "sst2", "--data", str(folder / "glue"), "--model", str(folder / "bert"),
        "--out", str(tmp_path / "search"), "--search", "lr=1e-9,3e-3", "batch=8", "epochs=10",
    ]  # fmt: skip
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"].endswith("lr-0.003-batch-8-epochs-10") and len(found["points"]) == 2
    kept = [path.parent.name for path in (tmp_path / "search").glob("*/checkpoint-final.npz")]
    assert kept == ["lr-0.003-batch-8-epochs-10"]
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert again.err.count("holds this run already") == 2 and "| 0.003 | 8 | 10 |" in again.out.splitlines()[2]


def test_the_search_space_is_the_papers():
    space = search_space([])
    assert space["batch"] == (16, 32, 48) and space["epochs"] == tuple(range(2, 11))
    assert np.allclose(space["lr"], np.arange(1, 11) * 1e-5)
    assert search_space(["lr=1e-5,3e-5"]) == {**space, "lr": (1e-5, 3e-5)}
    for word in ("lr", "rate=1", "batch=a", "lr=nan", "lr=0", "epochs=0", "batch=8,8"):
        with pytest.raises(ValueError, match="--search: .*found "):
            search_space([word])


def test_the_table_of_glue(folder, tmp_path, capsys):
    arguments = [
        "glue", "--data", str(folder / "glue"), "--model", str(folder / "bert"), "--tasks", "sst2,stsb",
        "--seeds", "1,2", "--out", str(tmp_path / "table"), "--epochs", "1",
    ]  # fmt: skip
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| sst2 | ours | 2 | 32 | 1 | accuracy ") and "pearson" in lines[3]
    summaries = json.loads((tmp_path / "table" / "summary.json").read_text())
    values = [s["best"]["scores"]["dev"]["accuracy"] for s in summaries[:2]]
    assert f"accuracy {np.mean(values):.4f} +- {np.std(values, ddof=1):.4f} |" in lines[2]
    sts = np.mean([list(s["best"]["scores"]["dev"].values()) for s in summaries[2:]])
    assert lines[-1].startswith(f"GLUE average, ours: {50.0 * (np.mean(values) + sts):.2f} (without cola,")
    assert main(arguments) == 0 and capsys.readouterr().err.count("holds this run already") == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "sst2"], "data/glue: found no folder"),
        (["--task", "squad1", "--max-query", "9"], "data/squad: found no folder"),
        (["--task", "sst2", "--data", "nowhere"], "nowhere: found no folder"),
        (["--task", "cola", "--data", "GLUE"], "found no folder CoLA"),
        (["--task", "sst2", "--data", "GLUE", "--max-length", "49"], "max_length: found 49, expected at most 48"),
        (["--task", "sst2", "--data", "GLUE", "--lr", "0"], "learning_rate: found 0.0, expected a number between"),
        (["--task", "rte", "--data", "GLUE", "--model", "ONE"], "model: found 1 kind of segment, expected 2"),
        (["--task", "squad1", "--data", "SQUAD"], "--max-query: found 64 pieces for a question, which leaves no room in 48"),
        (["--task", "squad1", "--data", "GLUE", "--max-query", "9"], "dev-v1.1.json: found no file"),
        (["--task", "squad2", "--train-file", "V1", "--dev-file", "V1", "--max-query", "9"], "found SQuAD v1.1, expected v2.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(
    folder, tmp_path, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)  # where there is no data/
    places = {"GLUE": folder / "glue", "SQUAD": folder / "squad", "ONE": tmp_path / "one",
              "V1": folder / "squad" / "train-v1.1.json"}  # fmt: skip
    write_model(tmp_path / "one", no_dropout(BERT).replace(type_vocab_size=1))
    arguments = [str(places.get(word, word)) for word in arguments]
    if "--model" not in arguments:
        arguments += ["--model", str(folder / "bert")]
    assert main(["finetune", *arguments, "--out", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert words in message and message.startswith("minimobilebert: error: ")
    assert not (tmp_path / "run").exists()


def test_evaluate_refuses_a_model_for_something_else(folder, sentences, capsys):
    common = ["--data", str(folder / "glue"), "--model"]
    for task, model, words in (
        ("stsb", sentences[0], "found a classification head with 2 outputs, expected a classification head with 1 outputs"),
        ("sst2", folder / "bert", "found no head, expected a classification head with 2 outputs: finetune --task sst2"),
        ("rte", sentences[0], "found a model fine-tuned for sst2, expected one for rte"),
    ):  # fmt: skip
        assert main(["evaluate", "--task", task, *common, str(model)]) == 2
        assert words in capsys.readouterr().err


def test_texts_that_are_too_long_are_counted(folder, tmp_path, capsys):
    fine_tune(folder, tmp_path / "run", "sst2", epochs=1, max_length=8)
    said = capsys.readouterr().err
    lines = (pathlib.Path(folder) / "glue" / "SST-2" / "train.tsv").read_text().splitlines()[1:]
    count = sum(len(line.split("\t")[0].split()) > 6 for line in lines)
    assert f"note: sst2 train: {count} of 32 inputs cut to 8 word pieces (--max-length)" in said and count > 5
