"""Fine-tuning of sentence encoders: texts are judged by their vectors, pairs by comparing two of them.

The other side of each comparison reads the two texts of a pair one at a time, with the tokeniser and the encoder alone.
"""

import csv
import json
import shutil

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, NAMES, THINGS, no_dropout, write_glue, write_model
from tiny_models import random_parameters

from minimobilebert import Model
from minimobilebert.cli import main
from minimobilebert.finetuning import saved_model, table_evaluation
from minimobilebert.finetuning.jobs import TaskFiles
from minimobilebert.finetuning.run import run
from minimobilebert.finetuning.table_prediction import predict
from minimobilebert.inference.embed import embed
from minimobilebert.inference.logits import vector_classification_logits
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.model.vector_classification import (
    comparison_backward,
    comparison_forward,
    cosine_line,
    texts_apart,
    vector_classification_forward,
)
from minimobilebert.tasks.classification_batches import encode_texts
from minimobilebert.text.encoding import encode_pair
from minimobilebert.training.model_folder import load_model, save_model

FIRSTS = ["ada eats tea today", "ben", "cleo eats rice and a very long dish", ""]
SECONDS = ["dora", "egon eats milk ? what does fritz eat", "gina eats", "hugo"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("model") / "m", no_dropout(MOBILE)))


def vector_of(params, config, tokenizer, text, pooling, padding=0):
    """One text alone, with some padding for trigrams to read -> its vector [H]"""
    encoded = list(encode_pair(tokenizer, text, None, max_length=48).ids)
    ids = np.array([encoded + padding * [tokenizer.pad_id]])
    mask = np.arange(ids.shape[1])[None] < len(encoded)
    hidden = encoder_forward(params, config, ids, np.zeros_like(ids), mask)[0].hidden_states[-1][0, : len(encoded)]
    return {"mean": hidden.mean(axis=0), "cls": hidden[0], "max": hidden.max(axis=0)}[pooling]


def test_a_batch_of_pairs_is_read_apart(saved):
    batch = encode_texts(saved.tokenizer, FIRSTS, SECONDS, None, 48).batch(np.arange(4))
    found = texts_apart(batch, saved.tokenizer.pad_id, 48)
    assert not found.token_type_ids.any() and found.attention_mask.dtype == bool
    for row, text in enumerate([*FIRSTS, *SECONDS]):
        expected = encode_pair(saved.tokenizer, text, None, max_length=48).ids
        assert found.input_ids[row][found.attention_mask[row]].tolist() == list(expected), text
        assert found.attention_mask[row, : len(expected)].all(), text
        assert (found.input_ids[row, len(expected) :] == saved.tokenizer.pad_id).all(), text


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("pairs", [False, True])
def test_logits_are_those_of_the_equations(backend, saved, pairs, pooling):
    """Without trigrams, whose last one reads the padding, a text's vector does not depend on the batch."""
    config = no_dropout(BERT).replace(classifier_activation=False)
    head = "sentence-pairs" if pairs else "sentence-vectors"
    params = random_parameters(config, np.random.default_rng(3), head, num_labels=3)
    tokenizer = saved.tokenizer
    batch = encode_texts(tokenizer, FIRSTS, SECONDS if pairs else None, None, 48).batch(np.arange(4))
    reading = {"pooling": pooling, "pad_id": tokenizer.pad_id}
    found, _ = vector_classification_forward(params, config, batch, **reading)
    name = "vector_pair_classifier" if pairs else "vector_classifier"
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    for row in range(4):
        texts = [FIRSTS[row], SECONDS[row]] if pairs else [FIRSTS[row]]
        vectors = [vector_of(params, config, tokenizer, text, pooling) for text in texts]
        n = [np.sqrt(len(v)) * v / np.linalg.norm(v) for v in vectors]
        features = np.concatenate([abs(n[0] - n[1]), n[0] * n[1]]) if pairs else n[0]
        np.testing.assert_allclose(found[row], weight @ features + bias, rtol=0, atol=1e-9)
    params = {name: array.astype(np.float32) for name, array in params.items()}
    by_engine = vector_classification_logits(params, config, **reading)(batch)
    # A logit is a sum of up to 64 products of size 1 in float32.
    np.testing.assert_allclose(by_engine, found, rtol=0, atol=2e-4 * np.abs(found).max())


@pytest.mark.parametrize("head", ["sentence-vectors", "sentence-pairs"])
def test_a_row_does_not_depend_on_the_others_of_its_batch(saved, backend, head):
    config = saved.config
    params = random_parameters(config, np.random.default_rng(6), head, num_labels=1)
    texts = encode_texts(saved.tokenizer, FIRSTS, SECONDS if head == "sentence-pairs" else None, None, 48)
    reading = {"pooling": "mean", "pad_id": saved.tokenizer.pad_id}
    whole = vector_classification_forward(params, config, texts.batch(np.arange(4)), **reading)[0]
    for row in range(4):
        alone = vector_classification_forward(params, config, texts.batch(np.array([row])), **reading)[0]
        np.testing.assert_allclose(alone[0], whole[row], rtol=0, atol=1e-9)


def test_a_pair_of_the_greatest_length_fits(saved):
    """Each text has all positions; also where one of them is empty"""
    positions = saved.config.max_position_embeddings
    for texts in (["ada " * 99], [""]), ([""], ["ada " * 99]), (["ada " * 99], ["ben " * 99]):
        encoded = encode_texts(saved.tokenizer, *texts, None, positions, apart=True)
        found = texts_apart(encoded.batch(np.arange(1)), saved.tokenizer.pad_id, positions)
        assert encoded.cut == 1 and found.input_ids.shape == (2, positions)
        assert found.attention_mask.sum(axis=1).tolist() == [positions if text[0] else 2 for text in texts]


def test_the_comparison_backward_along_random_directions():
    rng = np.random.default_rng(4)
    n, df, direction = rng.normal(size=(6, 5)), rng.normal(size=(3, 10)), rng.normal(size=(6, 5))
    step = 1e-6
    slope = (
        (df * (comparison_forward(n + step * direction) - comparison_forward(n - step * direction))).sum() / 2 / step
    )
    assert (comparison_backward(df, n) * direction).sum() == pytest.approx(slope, rel=1e-8)
    same = np.repeat(rng.normal(size=(1, 5)), 2, axis=0)  # u = v: the difference has a kink, and no gradient
    assert not comparison_backward(np.eye(1, 10), same).any()


def test_the_line_of_cosines():
    rng = np.random.default_rng(5)
    n = rng.normal(size=(8, 6))
    n *= np.sqrt(6) / np.linalg.norm(n, axis=1, keepdims=True)
    cosines = (n[:4] * n[4:]).sum(axis=1) / 6
    weight, bias = cosine_line((1, 12), np.array([3.0, 1.0, 5.0]), np.float64)
    np.testing.assert_allclose(comparison_forward(n) @ weight.T + bias, 1.0 + 4.0 * cosines[:, None], rtol=1e-12)


# ---- runs


def table(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def meals(count=48, seed=1):
    """Two sentences; they are alike if the same one eats."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        a = int(rng.integers(len(NAMES)))
        b = a if number % 2 else int(rng.integers(len(NAMES)))
        first, second = (f"{NAMES[who]} eats {THINGS[int(rng.integers(len(THINGS)))]} today" for who in (a, b))
        rows.append([first, second, "same" if a == b else "other", 5.0 * (a == b)])
    return [["first", "second", "class", "score"], *rows]


FAST = {"learning_rate": 3e-3, "batch_size": 8, "weight_decay": 0.0, "epochs": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sentence encoder that reads [CLS], and a table of pairs"""
    folder = tmp_path_factory.mktemp("vectors")
    plain = load_model(write_model(folder / "plain", no_dropout(MOBILE)))
    sentence = SentenceSettings(pooling="cls", normalize=False, max_length=20, prompt="")
    save_model(folder / "m", plain.params, plain.config, plain.tokenizer, None, sentence)
    table(folder / "meals.csv", meals())
    return folder


PAIRS = {"text": "first", "text_b": "second"}
KINDS = {
    "score": ({**PAIRS, "label": "score", "regression": True}, "sentence-pairs", 1),
    "class of a pair": ({**PAIRS, "label": "class"}, "sentence-pairs", 2),
    "class of a text": ({"text": "first", "label": "class"}, "sentence-vectors", 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_its_scores_and_its_predictions(folder, tmp_path, kind):
    columns, head, outputs = KINDS[kind]
    files = TaskFiles(str(folder / "meals.csv"), **columns)
    with use_backend("numpy"):
        summary = run(
            task="table", model=str(folder / "m"), out=tmp_path / "run", files=files, sentence_vectors=True, **FAST
        )
        saved = load_model(tmp_path / "run")
        assert (saved.head, saved.num_labels) == (head, outputs)
        assert saved.sentence == SentenceSettings(pooling="cls", normalize=False, max_length=20, prompt="")
        scores = table_evaluation.evaluate(model=str(tmp_path / "run"), files=TaskFiles(None))
        for name, value in summary["best"]["scores"]["dev"].items():
            assert scores[name] == pytest.approx(value, abs=1e-6), name
        predict(
            model=str(tmp_path / "run"), files=TaskFiles(str(folder / "meals.csv")), out=str(tmp_path / "answers.csv")
        )
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()))
    name = "vector_pair_classifier" if head == "sentence-pairs" else "vector_classifier"
    weight, bias = saved.params[f"{name}.weight"], saved.params[f"{name}.bias"]
    for row in rows[:10]:
        texts = [row["first"], row["second"]] if head == "sentence-pairs" else [row["first"]]
        model = saved.params, saved.config, saved.tokenizer
        vectors = [vector_of(*model, text, "cls", padding=1) for text in texts]
        n = [np.sqrt(len(v)) * v / np.linalg.norm(v) for v in vectors]
        features = np.concatenate([abs(n[0] - n[1]), n[0] * n[1]]) if len(n) == 2 else n[0]
        logits = weight @ features + bias
        if outputs == 1:
            assert float(row["prediction"]) == pytest.approx(float(logits[0]), abs=2e-3)
        elif abs(logits[0] - logits[1]) > 1e-3:
            assert row["prediction"] == saved.labels[int(logits.argmax())]


def test_the_first_scores_of_a_regression_are_the_cosines(folder, tmp_path):
    """Before any update the predictions are a line in the cosines that `embed` gives."""
    from minimobilebert.finetuning.run import Plan
    from minimobilebert.finetuning.settings import usual_settings

    saved = load_model(folder / "m")
    files = TaskFiles(str(folder / "meals.csv"), **KINDS["score"][0])
    plan = Plan(saved, files, usual_settings("table", 48, sentence_vectors=True))
    batch = plan.job.examples.batch(np.arange(6))
    found = plan.job.logits(plan.params, plan.config)(batch)[:, 0]
    firsts, seconds, _ = plan.job.parts[0]
    model = Model.load(folder / "m")
    u, v = (embed(model, list(texts[:6]), normalize=True) for texts in (firsts, seconds))
    # `embed` has no padding behind [SEP]; the trigram of [SEP] reads it, and [CLS] attends to [SEP].
    np.testing.assert_allclose(found, 5.0 * (u * v).sum(axis=1), atol=5e-2)


def test_glue_and_the_right_head(folder, tmp_path):
    data = write_glue(tmp_path / "glue")
    with use_backend("numpy"):
        summary = run(
            task="stsb", model=str(folder / "m"), out=tmp_path / "run", files=TaskFiles(data), sentence_vectors=True,
            **FAST,
        )  # fmt: skip
        found = saved_model.evaluate(task="stsb", model=str(tmp_path / "run"), files=TaskFiles(data))
        assert found["dev"] == pytest.approx(summary["best"]["scores"]["dev"], abs=1e-6)
        with pytest.raises(ValueError, match="found a sentence-pairs head with 1 outputs, expected a sentence-vectors"):
            saved_model.evaluate(task="sst2", model=str(tmp_path / "run"), files=TaskFiles(data))


def test_commands_and_what_is_refused(folder, tmp_path, capsys):
    common = ["--model", str(folder / "m"), "--epochs", "1", "--out"]
    pairs = ["--data", str(folder / "meals.csv"), "--text", "first", "--text-b", "second", "--label", "class"]
    with use_backend("numpy"):
        assert main(["finetune", *pairs, *common, str(tmp_path / "run"), "--sentence-vectors", "true", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["settings"]["sentence_vectors"] is True
        # A pair's model without the second text; a run with other settings; SQuAD
        other = table(tmp_path / "other.csv", [["text"], ["ada eats tea"]])
        assert main(["predict", "--data", other, "--text", "text", "--model", str(tmp_path / "run"), "--out",
                     str(tmp_path / "a.csv")]) == 2  # fmt: skip
        assert "second" in capsys.readouterr().err and not (tmp_path / "a.csv").exists()
        assert main(["finetune", *pairs, *common, str(tmp_path / "run")]) == 2
        assert "found a run with" in capsys.readouterr().err
        assert main(["finetune", "--task", "squad1", "--data", str(tmp_path), *common, str(tmp_path / "no"),
                     "--sentence-vectors", "true"]) == 2  # fmt: skip
        assert "--sentence-vectors: found it with squad1" in capsys.readouterr().err
        assert main(["glue", "--data", write_glue(tmp_path / "glue"), *common[:2], "--out", str(tmp_path / "glue-runs"),
                     "--sentence-vectors", "true", "--against", "torch"]) == 2  # fmt: skip
        assert "--against: found it with --sentence-vectors" in capsys.readouterr().err
        assert not (tmp_path / "glue-runs").exists()
        (tmp_path / "texts.txt").write_text("ada eats tea\nben eats rice\n", encoding="utf-8")
        assert main(["similar", "ada eats tea", "--texts", str(tmp_path / "texts.txt"), "--model",
                     str(tmp_path / "run"), "--top", "1"]) == 0  # fmt: skip
        assert "ada eats tea" in capsys.readouterr().out


def test_a_run_in_8_bits_and_for_other_libraries(folder, tmp_path, capsys):
    pytest.importorskip("safetensors", reason="the extra interop is not installed")
    files = TaskFiles(str(folder / "meals.csv"), **KINDS["score"][0])
    run(task="table", model=str(folder / "m"), out=tmp_path / "run", files=files, sentence_vectors=True,
        **FAST | {"epochs": 1})  # fmt: skip
    assert main(["quantize", str(tmp_path / "run"), "--out", str(tmp_path / "q8")]) == 0
    scored = ["--data", str(folder / "meals.csv"), "--text", "first", "--text-b", "second", "--label", "score"]
    found = []
    for name in ("run", "q8"):
        capsys.readouterr()
        assert main(["evaluate", "--model", str(tmp_path / name), *scored, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["pearson"])
    assert found[0] == pytest.approx(found[1], abs=0.05)

    assert main(["convert", "--from", str(tmp_path / "run"), "--to-hf", str(tmp_path / "hf")]) == 0
    said = capsys.readouterr()
    assert "left out vector_pair_classifier.weight" in said.out + said.err
    assert main(["convert", "--from-hf", str(tmp_path / "hf"), "--to", str(tmp_path / "back")]) == 0
    back, run_model = load_model(tmp_path / "back"), load_model(tmp_path / "run")
    assert back.head is None and back.sentence == run_model.sentence
    for name, array in back.params.items():
        np.testing.assert_array_equal(array, run_model.params[name], err_msg=name)


def test_a_graph_gives_the_vectors(folder, tmp_path, capsys):
    pytest.importorskip("onnx", reason="the extra interop is not installed")
    files = TaskFiles(str(folder / "meals.csv"), **KINDS["class of a text"][0])
    run(task="table", model=str(folder / "m"), out=tmp_path / "run", files=files, sentence_vectors=True,
        **FAST | {"epochs": 1})  # fmt: skip
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "onnx")]) == 0
    assert "left out vector_classifier.weight" in capsys.readouterr().err
    assert "id2label" not in json.loads((tmp_path / "onnx" / "config.json").read_text(encoding="utf-8"))


def test_prompt_and_length_are_those_of_the_sentence_encoder(tmp_path):
    """With a learning rate of almost 0, predictions are a line in the cosines of `embed`."""
    plain = load_model(write_model(tmp_path / "bert", no_dropout(BERT)))
    sentence = SentenceSettings(pooling="mean", normalize=True, max_length=9, prompt="what does ")
    save_model(tmp_path / "m", plain.params, plain.config, plain.tokenizer, None, sentence)
    rows = [["first", "second", "score"]]
    pairs = enumerate(zip(NAMES, THINGS, strict=True))
    rows += [[f"{a} eats {b} today {'tea ' * 20}", f"{b} {a}", n / 16] for n, (a, b) in pairs]
    data = table(tmp_path / "long.csv", rows)
    files = TaskFiles(data, text="first", text_b="second", label="score", regression=True)
    run(task="table", model=str(tmp_path / "m"), out=tmp_path / "run", files=files, sentence_vectors=True,
        **FAST | {"learning_rate": 1e-12, "epochs": 1})  # fmt: skip
    assert json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["max_length"] == 9
    predict(model=str(tmp_path / "run"), files=TaskFiles(data), out=str(tmp_path / "answers.csv"))
    answers = list(csv.DictReader((tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()))
    found = np.array([float(row["prediction"]) for row in answers])
    model = Model.load(tmp_path / "run")
    u, v = (embed(model, [row[column] for row in rows[1:]]) for column in (0, 1))
    slope, start = np.polyfit(
        (u * v).sum(axis=1), found, 1
    )  # from the lowest to the highest label of the training rows
    np.testing.assert_allclose(found, start + slope * (u * v).sum(axis=1), rtol=0, atol=1e-4)
    assert 0.8 < slope < 1.0
    with pytest.raises(ValueError, match="max_length: found 10, expected 3 or more, and at most 9"):
        run(task="table", model=str(tmp_path / "m"), out=tmp_path / "no", files=files, sentence_vectors=True,
            max_length=10)  # fmt: skip


def test_scores_of_a_bfloat16_run_are_those_that_evaluate_finds(folder, tmp_path):
    files = TaskFiles(str(folder / "meals.csv"), **KINDS["score"][0])
    summary = run(task="table", model=str(folder / "m"), out=tmp_path / "run", files=files, sentence_vectors=True,
                  precision="bfloat16", **FAST)  # fmt: skip
    scores = table_evaluation.evaluate(model=str(tmp_path / "run"), files=TaskFiles(None))
    assert {name: scores[name] for name in ("pearson", "spearman")} == summary["best"]["scores"]["dev"]


@pytest.mark.parametrize("vectors", [True, False])
def test_a_model_in_float64_stays_one(folder, tmp_path, vectors):
    plain = load_model(folder / "plain")
    params = {name: array.astype(np.float64) for name, array in plain.params.items()}
    save_model(tmp_path / "m", params, plain.config, plain.tokenizer)
    files = TaskFiles(str(folder / "meals.csv"), **KINDS["score"][0])
    with use_backend("numpy"):
        run(task="table", model=str(tmp_path / "m"), out=tmp_path / "run", files=files, sentence_vectors=vectors,
            **FAST | {"epochs": 1})  # fmt: skip
    assert {array.dtype.name for array in load_model(tmp_path / "run").params.values()} == {"float64"}


def test_a_start_model_that_pools_otherwise_is_another_one(folder, tmp_path):
    plain = load_model(folder / "plain")
    save_model(tmp_path / "m", plain.params, plain.config, plain.tokenizer, None, SentenceSettings(pooling="mean"))
    arguments = {"task": "table", "model": str(tmp_path / "m"), "out": tmp_path / "run", "sentence_vectors": True,
                 "files": TaskFiles(str(folder / "meals.csv"), **KINDS["score"][0]), **FAST}  # fmt: skip
    with use_backend("numpy"):
        run(**arguments)
        shutil.rmtree(tmp_path / "m")
        save_model(tmp_path / "m", plain.params, plain.config, plain.tokenizer, None, SentenceSettings(pooling="max"))
        with pytest.raises(ValueError, match="found other contents|changed"):
            run(**arguments)


def test_what_a_converted_model_gets_is_called_zeros_only_if_it_is(tmp_path):
    pytest.importorskip("safetensors", reason="the extra interop is not installed")
    from minimobilebert.interop.convert import to_hf

    config = no_dropout(BERT).replace(tie_word_embeddings=False, classifier_activation=False)
    plain = load_model(write_model(tmp_path / "plain", config, "masked-words"))
    plain.params["cls.predictions.bias"][...] = 1.0
    save_model(tmp_path / "m", plain.params, plain.config, plain.tokenizer)
    notes = to_hf(tmp_path / "m", tmp_path / "hf").notes
    assert "note: added cls.predictions.decoder.bias, which transformers' class has" in notes
    encoder = {name: array for name, array in plain.params.items() if not name.startswith("cls.")}
    save_model(tmp_path / "e", encoder, plain.config, plain.tokenizer)
    assert any("pooler.dense.weight, zeros, which" in note for note in to_hf(tmp_path / "e", tmp_path / "hf-e").notes)
