"""Sizes, work and memory: the tables of `python -m minimobilebert models`, and the bytes that caches really keep."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.commands.paper_sizes import describe_presets, format_sizes
from minimobilebert.config import PRESETS
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.model.classification import classification_forward
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.memory import activation_bytes, cache_bytes, training_step_bytes
from minimobilebert.model.pretraining import pretraining_forward, pretraining_step
from minimobilebert.model.question_answering import question_answering_forward
from minimobilebert.model.sizes import PARTS
from minimobilebert.model.vector_classification import vector_classification_forward
from minimobilebert.training.adamw import AdamW

DROPOUTS = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}


def measured(config, lengths, dtype, dropout, head=None, masked=3):
    """cache_bytes of one real forward pass."""
    rng = np.random.default_rng(1)
    params = random_parameters(config, rng, head, num_labels=3, dtype=dtype)
    batch = random_batch(config, rng, lengths, masked)
    generator = np.random.default_rng(2) if dropout else None
    if head is None:
        _, cache = encoder_forward(
            params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask, rng=generator
        )
    else:
        forward = {
            "pretraining": pretraining_forward, "classification": classification_forward,
            "question-answering": question_answering_forward,
            "sentence-vectors": functools.partial(vector_classification_forward, pooling="mean", pad_id=0),
        }[head]  # fmt: skip
        _, cache = forward(params, config, batch, generator)
    return cache_bytes(cache, params)


# ---- activations


@pytest.mark.parametrize("head", [None, "pretraining", "classification", "question-answering", "sentence-vectors"])
@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_formula_equals_the_real_caches_to_the_byte(backend, name, dtype, dropout, head):
    config = CONFIGS[name].replace(**DROPOUTS)
    tokens = 10 if head == "sentence-vectors" else 9  # with padding behind the longest text
    expected = activation_bytes(
        config, 3, tokens, dtype, dropout=dropout, head=head, masked_words=3, keep_scores=head is None
    )
    assert measured(config, (9, 4, 7), dtype, dropout, head) == expected


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_formula_in_bfloat16(backend, name, activation, dropout):
    """NoNorm models keep no wide layer, unless there is dropout behind it; float64 does not care."""
    config = CONFIGS[name].replace(**DROPOUTS, hidden_act=activation)
    single = activation_bytes(config, 3, 9, dropout=dropout, head="pretraining", masked_words=3)
    with use_precision("bfloat16"):
        for dtype in (np.float32, np.float64):
            expected = activation_bytes(config, 3, 9, dtype, dropout=dropout, head="pretraining", masked_words=3)
            assert measured(config, (9, 4, 7), dtype, dropout, "pretraining") == expected
        half = activation_bytes(config, 3, 9, dropout=dropout, head="pretraining", masked_words=3)
    fewer = 4 * 27 * config.num_hidden_layers * config.num_feedforward_networks * config.intermediate_size
    fewer *= 1 if activation == "relu" else 2
    fuses = config.normalization_type == "no_norm" and (config.use_bottleneck or not dropout)
    assert single - half == (fewer if fuses else 0)


@given(
    st.sampled_from(sorted(CONFIGS)), st.integers(1, 4), st.integers(1, 11), st.sampled_from([1, 2, 4]),
    st.integers(1, 4), st.integers(1, 3), st.sampled_from(["layer_norm", "no_norm"]), st.booleans(), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_any_size_and_any_mixture_of_settings(
    backend, name, batch, tokens, heads, layers, ffns, normalization, trigram, hidden_dropout, attention_dropout
):
    """Each dropout also alone; and one head, one token, one sequence, where NumPy may return a view and not a copy."""
    config = CONFIGS[name].replace(
        num_attention_heads=heads, num_hidden_layers=layers, num_feedforward_networks=ffns, intermediate_size=7,
        normalization_type=normalization, trigram_input=trigram, hidden_dropout_prob=0.1 * hidden_dropout,
        attention_probs_dropout_prob=0.1 * attention_dropout,
    )  # fmt: skip
    expected = activation_bytes(config, batch, tokens, np.float32, head="pretraining", masked_words=1)
    assert measured(config, (tokens,) * batch, np.float32, True, "pretraining", masked=1) == expected


def test_both_attention_flags_at_once():
    """MobileBERT_TINY's flag wins over the shared bottleneck, as in the forward pass."""
    config = CONFIGS["mobilebert-tiny"].replace(key_query_shared_bottleneck=True)
    assert measured(config, (5, 3), np.float32, False) == activation_bytes(
        config, 2, 5, dropout=False, keep_scores=True
    )


def test_activations_by_hand():
    """One block of MobileBERT as released, B = 1, T = 2, counted on paper: H = 12, C = 8, F = 10, E = 6, A = 2."""
    config = CONFIGS["mobilebert"].replace(num_hidden_layers=1, num_feedforward_networks=1)
    embeddings = 18 + 12 + 12  # trigrams, the norm's input, the output
    bottlenecks = 8 + 8 + 8  # both norms' inputs; the shared one's output (the other's is only added)
    attention = (
        8 + 8 + 8 + 2 * 2 + 2 * 2 + 8 + 8
    )  # q, k, v, scores for transfer, probabilities, weighted values, norm's input
    feed_forward = 8 + 10 + 8  # input, after relu, the norm's input
    output = 8 + 12 + 12  # dense's input, the norm's input, the block's output
    numbers = embeddings + bottlenecks + attention + feed_forward + output
    assert activation_bytes(config, 1, 2, np.float64, keep_scores=True) == 2 * (8 * numbers + 4 + 4 + 1)


def test_activations_grow_with_the_square_of_the_length_only_in_attention():
    """Third differences of a quadratic are 0; the second one is scores, probabilities and dropout's mask."""
    config = PRESETS["mobilebert"]
    at = [activation_bytes(config, 8, tokens) for tokens in (100, 200, 300, 400)]
    second = np.diff(at, 2)
    assert second[0] == second[1] == 24 * 2 * 4 * 4 * 8 * 2 * 100**2
    assert activation_bytes(config, 7, 50) == 7 * activation_bytes(config, 1, 50)


def test_an_unknown_head_is_named():
    with pytest.raises(ValueError, match="head: found 'tail', expected pretraining"):
        activation_bytes(CONFIGS["bert"], 1, 1, head="tail")


# ---- measuring


def test_cache_bytes_counts_memory_not_arrays():
    x = np.zeros((4, 6))
    assert cache_bytes((x, [x, (x.T, None)], {"a": x[1:, ::2], "b": x.reshape(-1)[::-1]}, 3, 0.5, True)) == 192
    assert cache_bytes(x[:1, :1]) == 192, "a small view keeps all of x"
    assert cache_bytes((x, x.copy(), np.zeros(3, bool))) == 192 + 192 + 3
    assert cache_bytes(np.broadcast_to(np.float64(1.0), (1000, 1000))) == 8
    assert cache_bytes(np.broadcast_to(x, (5, 4, 6))) == 192
    assert cache_bytes(np.lib.stride_tricks.as_strided(x, (100, 4), (0, 8))) == 192
    pair = np.empty((2, 10), np.float32)
    assert cache_bytes(tuple(pair)) == cache_bytes(pair[0]) == 80, "two halves of one buffer, or one half: 80 bytes"
    assert cache_bytes(()) == cache_bytes(np.zeros((0, 7))) == 0


def test_cache_bytes_of_memory_that_numpy_does_not_own():
    memory = bytearray(96)
    first, second = np.frombuffer(memory, np.float32), np.frombuffer(memory, np.uint8)
    assert cache_bytes((first, second)) == 96
    assert cache_bytes((first[:4], np.frombuffer(memory, np.uint8, 8, offset=80))) == 96
    assert cache_bytes(np.ndarray((50, 2), np.float32, memory, 8, (0, -4))) == 8


def test_cache_bytes_leaves_parameters_out():
    w, x = np.ones((3, 5)), np.ones(7)
    assert cache_bytes((w, w.T, w[1:], x)) == 120 + 56
    assert cache_bytes((w, w.T, w[1:], x), {"w": w}) == 56
    flat = np.zeros(100)  # parameters that are pieces of one file
    assert cache_bytes((flat[:10], x), {"a": flat[:10], "b": flat[10:]}) == 56


def test_cache_bytes_refuses_what_it_cannot_see_into():
    with pytest.raises(TypeError, match="cache: found a set"):
        cache_bytes((np.zeros(3), {1, 2}))


# ---- a training step


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_step_holds_what_the_table_says(name):
    """Real parameters, real gradients, real moments: each counted where it lies."""
    config, rng = CONFIGS[name], np.random.default_rng(3)
    params = random_parameters(config, rng, dtype=np.float32)
    batch = random_batch(config, rng, (10, 10), masked=2 * 2)  # 15 % of 10 tokens is 1.5, rounded to 2
    _, gradients = pretraining_step(params, config, batch)
    optimizer = AdamW(params)
    _, cache = pretraining_forward(params, config, batch)
    found = {
        "bytes_parameters": cache_bytes(params), "bytes_gradients": cache_bytes(gradients),
        "bytes_moments": cache_bytes([optimizer.first, optimizer.second]),
        "bytes_activations": cache_bytes(cache, params),
    }  # fmt: skip
    assert training_step_bytes(config, 2, 10) == found | {"bytes_total": sum(found.values())}


# ---- the tables


def test_rows_have_our_figures_and_the_papers():
    rows = {row["name"]: row for row in describe_presets()}
    assert list(rows) == list(PRESETS)
    paper = {name: (row["paper_parameters"], row["paper_flops"]) for name, row in rows.items()}
    assert paper == {
        "bert-base": (109e6, 22.5e9), "bert-large": (334e6, None), "ib-bert-large": (293e6, None),
        "mobilebert": (25.3e6, 5.7e9), "mobilebert-paper": (25.3e6, 5.7e9), "mobilebert-no-opt": (25.3e6, 5.7e9),
        "mobilebert-tiny": (15.1e6, 3.1e9), "classroom-teacher": (None, None), "classroom-student": (None, None),
    }  # fmt: skip
    for name, row in rows.items():
        assert row["parameters"] == sum(row[part] for part in PARTS)
        assert row["bytes_total"] == 4 * row["bytes_parameters"] + row["bytes_activations"]
        assert row["bytes_gradients"] == row["bytes_parameters"] == row["bytes_moments"] / 2
        assert (row["batch"], row["tokens"]) == (32, 64 if name.startswith("classroom") else 128)
        expected = activation_bytes(
            PRESETS[name], 32, row["tokens"], head="pretraining", masked_words=32 * (10 if row["tokens"] == 64 else 19)
        )
        assert row["bytes_activations"] == expected
        if row["paper_parameters"]:  # 25.3M for 24.6M is the largest gap, 2.9 %
            assert row["parameters"] == pytest.approx(row["paper_parameters"], rel=0.03)
        if row["paper_flops"]:  # 5.7 for 5.39
            assert row["flops_128"] == pytest.approx(row["paper_flops"], rel=0.06)
    assert rows["mobilebert-paper"]["parameters"] == 25_359_104
    assert round(rows["mobilebert-paper"]["parameters"] / 1e5) in (253, 254), "25.3M, cut or rounded"


def test_other_lengths_and_batches():
    rows = describe_presets(tokens=50, batch=3)
    assert {"flops_50", "flops_128"} < set(rows[0]) and {row["tokens"] for row in rows} == {50}
    assert [row["flops_128"] for row in rows] == [row["flops_128"] for row in describe_presets()]
    # Everything but attention's T x T and the pooler is proportional to the length.
    assert all(50 / 128 * 0.8 < row["flops_50"] / row["flops_128"] <= 50 / 128 * 1.01 for row in rows)
    assert rows[0]["bytes_activations"] * 2 == describe_presets(tokens=50, batch=6)[0]["bytes_activations"]
    for wrong in ({"tokens": 0}, {"batch": -1}, {"ranks": 0}):
        with pytest.raises(ValueError, match=rf"{next(iter(wrong))}: found .*, expected at least 1"):
            describe_presets(**wrong)


def test_memory_of_a_rank():
    """Half of the batch and of the moments, all weights and gradients; one large table makes the shares uneven."""
    one, two = ({row["name"]: row for row in describe_presets(batch=6, ranks=ranks)} for ranks in (1, 2))
    for name, row in one.items():
        assert two[name]["bytes_parameters"] == row["bytes_parameters"]
        assert two[name]["bytes_activations"] * 2 == row["bytes_activations"]
        assert 0.5 <= two[name]["bytes_moments"] / row["bytes_moments"] < 0.51
        assert two[name]["bytes_total"] < row["bytes_total"]
    many = {row["name"]: row for row in describe_presets(batch=6, ranks=64)}
    table = 4 * 2 * one["bert-base"]["embeddings"] * 30522 / (30522 + 512 + 2)  # the word table has one owner
    assert many["bert-base"]["bytes_moments"] == pytest.approx(table, rel=1e-3)
    assert "With 64 ranks the batch is that of all of them" in format_sizes(list(many.values()))


@pytest.mark.parametrize("tokens", [128, 384])
def test_the_tables_are_aligned_and_narrow(tokens):
    text = format_sizes(describe_presets(tokens))
    sizes, size_notes, work, work_notes = text.split("\n\n")
    for table in (sizes, work):
        lines = table.splitlines()
        assert len(lines) == 1 + len(PRESETS) and len({len(line) for line in lines}) == 1
        assert [line.split()[0] for line in lines[1:]] == list(PRESETS)
    assert max(map(len, text.splitlines())) <= 120
    cells = {line.split()[0]: line.split()[1:] for line in sizes.splitlines()}
    assert cells["mobilebert"] == ["24,581,888", "25.3M", "4,368,128", "2,770,944", "12,668,928", "4,773,888", "0"]
    assert [cells[name][1] for name in ("bert-large", "bert-base", "ib-bert-large", "mobilebert-tiny")] == [
        "334M", "109M", "293M", "15.1M",
    ]  # fmt: skip
    assert cells["classroom-teacher"][1] == "-"
    heads = work.splitlines()[0].split()
    assert heads[1:-7] == (["GFLOP@128"] if tokens == 128 else ["GFLOP@128", "GFLOP@384"])
    cells = {line.split()[0]: line.split()[1:] for line in work.splitlines()}
    if tokens == 128:
        assert cells["bert-base"] == [
            "22.35", "22.5", "32", "x", "128", "440", "440", "881", *cells["bert-base"][-2:],
        ]  # fmt: skip
        assert cells["mobilebert"][:2] == ["5.39", "5.7"] and cells["bert-large"][1] == "-"
    for word in ("25.3M", "24.6M", "mobilebert-paper", "share", "Table 1"):
        assert word in size_notes
    assert "2 x multiply-adds" in work_notes and "MB" in work_notes


def test_memory_counts_the_heads_too():
    """bert-large: 4 x 4 bytes a parameter; above the encoder a dense layer, a norm, a bias a word, next sentence."""
    parameters = 335_141_888 + (1024 * 1024 + 1024) + 2 * 1024 + 30_522 + (2 * 1024 + 2)
    row = next(row for row in describe_presets() if row["name"] == "bert-large")
    assert row["bytes_total"] - row["bytes_activations"] == 16 * parameters
