"""A trained model in use: loading, encoding, filling masks, embedding, next sentences."""

import dataclasses
import io
import json

import numpy as np
import pytest
from tiny_models import random_parameters

import minimobilebert
from minimobilebert.cli import main
from minimobilebert.config import preset
from minimobilebert.inference.embed import POOLINGS, embed
from minimobilebert.inference.fill_mask import fill_mask, masked_ids
from minimobilebert.inference.model import Model, NoSuchHead
from minimobilebert.inference.next_sentence import next_sentence
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.text.wordpiece import WordPieceTokenizer
from minimobilebert.training.checkpoints import load_checkpoint, save_checkpoint
from minimobilebert.training.model_folder import save_model

WORDS = "the sea was calm and grey nobody spoke until a bird cried".split()
TOKENIZER = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
CONFIG = preset(
    "mobilebert", vocab_size=TOKENIZER.vocab_size, hidden_size=16, embedding_size=8, intra_bottleneck_size=8,
    intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=12,
)  # fmt: skip


@pytest.fixture
def model(backend):
    params = random_parameters(CONFIG, np.random.default_rng(1), "pretraining")
    return Model(params, CONFIG, "pretraining", None, TOKENIZER, None)


@pytest.fixture
def folder(tmp_path):
    """A run as train-tiny leaves it: the student's stage inside, the vocabulary beside."""
    params = random_parameters(CONFIG, np.random.default_rng(1), "pretraining", dtype=np.float32)
    (tmp_path / "run" / "student").mkdir(parents=True)
    configuration = {"model": dataclasses.asdict(CONFIG), "vocabulary": TOKENIZER.digest}
    save_checkpoint(tmp_path / "run" / "student" / "checkpoint-final.npz", params, {"configuration": configuration})
    TOKENIZER.save(tmp_path / "run" / "vocab.txt")
    return tmp_path / "run"


@pytest.mark.parametrize("command", ["embed the", "embed the --json", "fill-mask [MASK] --json", "nsp the sea --json",
                                     "similar the --texts {0}/text", "embed --texts {0}/text --out {0}/vectors.npy",
                                     "predict --data {0}/text --text the --out {0}/answers.tsv"])  # fmt: skip
def test_activations_that_overflow_are_one_line(tmp_path, capsys, command):
    """Every parameter is finite, and their products are not. NaN would be no JSON, and no answer."""
    params = random_parameters(CONFIG, np.random.default_rng(1), "pretraining", dtype=np.float32)
    if command.startswith("predict"):
        params = random_parameters(CONFIG, np.random.default_rng(1), "classification", 2, np.float32)
    for part in ("query", "key"):
        params[f"mobilebert.encoder.layer.0.attention.self.{part}.bias"][:] = 3e38
    save_model(tmp_path / "model", params, CONFIG, TOKENIZER)
    (tmp_path / "text").write_text("the\tsea\nwas\tcalm\n", encoding="utf-8")
    assert main([*command.format(tmp_path).split(), "--model", str(tmp_path / "model")]) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("minimobilebert")]
    assert len(lines) == 1 and "found NaN or infinity, expected finite numbers" in lines[0]
    assert not captured.out and {path.name for path in tmp_path.iterdir() if path.name[0] != "."} <= {"model", "text"}


def test_encode_returns_what_was_asked_for(model):
    one = model.encode(["the sea was calm", "a bird"])
    assert one.tokens == [["[CLS]", "the", "sea", "was", "calm", "[SEP]"], ["[CLS]", "a", "bird", "[SEP]"]]
    assert one.attention_mask.tolist() == [[True] * 6, [True] * 4 + [False] * 2]
    assert one.last_hidden.shape == (2, 6, 16) and one.pooled.shape == (2, 16)
    assert one.hidden_states is None and one.attention_maps is None
    two = model.encode(["the sea"], ["was calm"], hidden_states=True, attention_maps=True)
    assert two.tokens == [["[CLS]", "the", "sea", "[SEP]", "was", "calm", "[SEP]"]]
    assert [h.shape for h in two.hidden_states] == [(1, 7, 16)] * 3
    assert [m.shape for m in two.attention_maps] == [(1, 2, 7, 7)] * 2
    np.testing.assert_allclose(two.attention_maps[0].sum(axis=-1), 1.0, rtol=1e-12)


def test_long_texts_are_cut_to_the_models_positions(model):
    assert len(model.encode([" ".join(WORDS * 3)]).tokens[0]) == 12


def test_fill_mask_equals_the_scores_of_the_whole_model(model):
    """An oracle by hand: run the pre-training model on the same ids and sort its softmax."""
    from types import SimpleNamespace

    from minimobilebert.model.pretraining import pretraining_forward

    ids = np.array([[2, 5, 4, 7, 4, 3]], np.int32)
    batch = SimpleNamespace(input_ids=ids, token_type_ids=np.zeros_like(ids), attention_mask=np.ones(ids.shape, bool),
                            masked_positions=np.array([2, 4]))  # fmt: skip
    logits = pretraining_forward(model.params, CONFIG, batch)[0].word_logits
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    answers = fill_mask(model, "the [MASK] was [MASK]", top=3)
    assert len(answers) == 2
    for row, candidates in zip(expected, answers, strict=True):
        best = np.argsort(-row)[:3]
        assert [c["piece"] for c in candidates] == [TOKENIZER.vocab[i] for i in best]
        np.testing.assert_allclose([c["probability"] for c in candidates], row[best], rtol=1e-9)


def test_all_pieces_together_have_probability_one(model):
    (candidates,) = fill_mask(model, "[MASK]", top=10**6)
    assert len(candidates) == TOKENIZER.vocab_size
    assert sum(c["probability"] for c in candidates) == pytest.approx(1.0)


def test_masks_are_found_inside_words_and_in_a_row(model):
    assert masked_ids(model, "the[MASK]sea [MASK][MASK]") == [2, 5, 4, 6, 4, 4, 3]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_texts_vector_does_not_depend_on_the_texts_beside_it(model, pooling):
    texts = ["the sea", "a bird cried until the grey sea was calm", "nobody spoke", "a", "the bird"]
    together = embed(model, texts, pooling=pooling, batch_size=2)
    alone = np.concatenate([embed(model, [text], pooling=pooling) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, rtol=1e-12)
    hidden = model.encode(["nobody spoke"])
    states = hidden.last_hidden[0]
    expected = {"mean": states.mean(axis=0), "cls": states[0], "max": states.max(axis=0), "pooler": hidden.pooled[0]}
    expected = expected[pooling]
    np.testing.assert_allclose(together[2], expected / np.linalg.norm(expected), rtol=1e-12)


def test_next_sentence_is_a_softmax_of_the_pooled_vector(model):
    pooled = model.encode(["the sea"], ["was calm"]).pooled[0]
    logits = model.params["cls.seq_relationship.weight"] @ pooled + model.params["cls.seq_relationship.bias"]
    follows = 1.0 / (1.0 + np.exp(logits[1] - logits[0]))
    answer = next_sentence(model, "the sea", "was calm")
    assert answer["follows"] == pytest.approx(follows, rel=1e-9)
    assert answer["follows"] + answer["random"] == pytest.approx(1.0)


def test_a_model_without_the_head_says_so(model):
    bare = dataclasses.replace(
        model, params={k: v for k, v in model.params.items() if not k.startswith("cls.")}, head=None
    )
    for ask in (lambda: fill_mask(bare, "[MASK]"), lambda: next_sentence(bare, "a", "bird")):
        with pytest.raises(NoSuchHead, match="found no head, expected one for"):
            ask()


def test_the_package_offers_the_model():
    assert minimobilebert.Model is Model
    with pytest.raises(AttributeError, match="no attribute 'Modell'"):
        minimobilebert.Modell  # noqa: B018


def test_one_text_in_place_of_a_list_is_refused(model):
    for ask in (lambda: model.encode("A ship."), lambda: model.encode(["A ship."], "At sea.")):
        with pytest.raises(ValueError, match="found one text, expected a list of texts"):
            ask()


def test_a_run_a_stage_and_a_checkpoint_all_load(folder):
    for place in (folder, folder / "student", folder / "student" / "checkpoint-final.npz"):
        loaded = Model.load(place)
        assert (loaded.config, loaded.head, loaded.tokenizer.vocab) == (CONFIG, "pretraining", TOKENIZER.vocab)


def test_commands_answer_in_words_and_in_json(folder, capsys):
    model = Model.load(folder)
    assert main(["fill-mask", "the [MASK]", "--model", str(folder), "--top", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == fill_mask(model, "the [MASK]", 2)
    assert main(["fill-mask", "the [MASK]", "--model", str(folder), "--top", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["embed", "the sea", "a bird", "--model", str(folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["text"] for row in rows] == ["the sea", "a bird"]
    np.testing.assert_allclose([row["vector"] for row in rows], embed(model, ["the sea", "a bird"]), rtol=1e-6)
    assert main(["embed", "the sea", "the sea", "--model", str(folder)]) == 0
    assert "1.000   1.000" in capsys.readouterr().out
    assert main(["nsp", "the sea", "was calm", "--model", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == next_sentence(model, "the sea", "was calm")


def _shorten(folder):
    file = folder / "vocab.txt"
    file.write_text("\n".join(TOKENIZER.vocab[:-1]) + "\n")


def _remove_a_parameter(folder):
    path = folder / "student" / "checkpoint-final.npz"
    arrays, metadata = load_checkpoint(path)
    del arrays["cls.predictions.transform.dense.bias"]
    save_checkpoint(path, arrays, metadata)


def _other_configuration(folder):
    path = folder / "student" / "checkpoint-final.npz"
    arrays, metadata = load_checkpoint(path)
    metadata["configuration"]["model"]["hidden_act"] = "swish"
    save_checkpoint(path, arrays, metadata)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_shorten, f"vocab.txt: found {TOKENIZER.vocab_size - 1} pieces, expected {TOKENIZER.vocab_size}"),
        (_remove_a_parameter, "found parameters that do not fit its configuration"),
        (_other_configuration, "found no usable configuration (hidden_act: found 'swish'"),
        (lambda folder: (folder / "vocab.txt").unlink(), "vocab.txt: found no file"),
        (
            lambda folder: (folder / "student" / "checkpoint-final.npz").unlink(),
            "found no checkpoint-final.npz and no student/checkpoint-final.npz",
        ),
        (
            lambda folder: (folder / "student" / "checkpoint-final.npz").write_bytes(b"PK nonsense"),
            "found a damaged file",
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_line(folder, capsys, damage, words):
    damage(folder)
    assert main(["fill-mask", "[MASK]", "--model", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fill-mask", "no mask here"], "found no [MASK] in 'no mask here'"),
        (["fill-mask", "[MASK]", "--top", "0"], "top: found 0, expected at least 1"),
        (["fill-mask", "[MASK] " * 20], "found 22 word pieces, expected at most 12"),
        (["embed", "the sea", " "], "text 2: found nothing, expected words"),
        (["nsp", "the sea", ""], "second text: found nothing, expected words"),
    ],
)
def test_questions_that_cannot_be_answered_are_one_line(folder, capsys, arguments, words):
    assert main([*arguments, "--model", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]


def _standard_input(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


def test_embed_reads_lines_as_utf8_and_passes_over_empty_ones(folder, capsys, monkeypatch):
    _standard_input(monkeypatch, "the sea\n\na caf\u00e9\r\n".encode())
    assert main(["embed", "--model", str(folder), "--json"]) == 0
    assert [row["text"] for row in json.loads(capsys.readouterr().out)] == ["the sea", "a caf\u00e9"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "text: found none, expected some as arguments, in a file, or as lines of the standard input"),
        (b"\n \n", "text: found none"),
        (b"the sea\na caf\xe9\n", "standard input, line 2: found byte 0xe9, expected UTF-8"),
    ],
)
def test_standard_input_that_holds_no_text_is_one_line(folder, capsys, monkeypatch, data, words):
    _standard_input(monkeypatch, data)
    assert main(["embed", "--model", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]


def test_what_is_cut_is_said_and_long_texts_take_one_line_of_the_list(folder, capsys):
    assert main(["embed", "the sea was\n" * 20, "a bird", "--model", str(folder)]) == 0
    printed = capsys.readouterr()
    assert "note: 1 of 2 inputs cut to 12 word pieces" in printed.err
    first = printed.out.splitlines()[0]
    assert first.startswith("  1  the sea was the sea") and first.endswith(" ...") and len(first) <= 105
    assert printed.out.splitlines()[1] == "  2  a bird"
    assert main(["nsp", "the sea", "a bird " * 20, "--model", str(folder)]) == 0
    assert "note: 1 of 1 inputs cut" in capsys.readouterr().err


def test_a_folder_that_is_no_model_is_one_line(tmp_path, capsys):
    assert main(["nsp", "a", "b", "--model", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert "nowhere: found no folder, expected a run" in error and "make train-tiny" in error
    (tmp_path / "notes.txt").write_text("no checkpoint at all")
    assert main(["nsp", "a", "b", "--model", str(tmp_path / "notes.txt")]) == 2
    error = capsys.readouterr().err
    assert "notes.txt: found a damaged file (no .npz)" in error and "pickle" not in error
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["nsp", "a", "b", "--model", str(tmp_path)]) == 2
    assert "found a Hugging Face folder, expected a converted one" in capsys.readouterr().err


def test_a_full_size_mobilebert_saves_and_loads(tmp_path):
    """The released architecture, all 24 layers of it, through the file and one forward pass."""
    config = preset("mobilebert")
    tokenizer = WordPieceTokenizer([*TOKENIZER.vocab, *(f"w{i}" for i in range(config.vocab_size - 17))])
    save_model(tmp_path / "full", init_parameters(parameter_shapes(config, "pretraining"), config,
                                                  np.random.default_rng(1)), config, tokenizer)  # fmt: skip
    model = Model.load(tmp_path / "full")
    assert sum(array.size for array in model.params.values()) == 36_597_564  # with both pre-training heads
    assert np.isfinite(model.encode(["the sea was calm"]).last_hidden).all()
