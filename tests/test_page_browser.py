"""The exported page in a headless Chromium: it computes there what this project computes, and asks nobody else.

The browser can reach the loopback only. ONNX Runtime Web has to be in the cache folder already; no test fetches 33 MB.
"""

import importlib.util

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, NEEDS_BROWSER, Browser, served
from onnx_models import HEADS, NEEDS_ONNX, write_model
from test_onnx_elsewhere import CONFIGS

from minimobilebert.cli import main
from minimobilebert.inference.embed import embed
from minimobilebert.inference.fill_mask import fill_mask
from minimobilebert.inference.logits import classification_logits
from minimobilebert.inference.model import Model
from minimobilebert.interop.page.runtime import PACKAGE, cache_folder
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.ops.softmax import softmax_forward
from minimobilebert.tasks.classification_batches import all_batches, encode_texts

if importlib.util.find_spec("onnx") is None:
    pytest.skip(NEEDS_ONNX, allow_module_level=True)
if not (CHROMIUM and DRIVER):
    pytest.skip(NEEDS_BROWSER, allow_module_level=True)
if not (cache_folder() / PACKAGE.name).exists():
    pytest.skip(f"needs {PACKAGE.name} in {cache_folder()}, where `export --page` keeps it", allow_module_level=True)

FLOAT, INT8 = "onnx/model.onnx", "onnx/model_quantized.onnx"
PHONE = (390, 844)
READY = "return ['ready', 'failed'].includes(document.body.dataset.state) && document.body.dataset.state"
IDLE = "return document.body.dataset.state === 'ready' && !document.querySelector('button').disabled"
ANSWER = """const output = document.querySelector(`#${arguments[0]} output`);
if (document.querySelector('button').disabled) return null;
return output.classList.contains('error') ? output.textContent : output.dataset.result && JSON.parse(output.dataset.result)"""


class Page:
    """A page with a model: `ask(section, values of its fields)` -> what it answers; a str is an error"""

    def __init__(self, browser, server):
        self.browser, self.server = browser, server

    def open(self, path=""):
        self.browser.open(self.server.address + path)
        return self.browser.wait(READY)

    def use(self, graph):
        self.browser.run("document.querySelector(`#graphs input[value='${arguments[0]}']`).click()", graph)
        self.browser.wait(IDLE)

    def ask(self, section, **fields):
        for name, text in fields.items():
            self.browser.run("document.getElementById(arguments[0]).value = arguments[1]", name.replace("_", "-"), text)
        self.browser.run("document.querySelector(`#${arguments[0]} button`).click()", section)
        return self.browser.wait(ANSWER, section)

    def shown(self, selector):
        return self.browser.run("return document.querySelector(arguments[0]).innerText", selector)


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile"), PHONE) as browser:
        yield browser


@pytest.fixture
def page(tmp_path, phone):
    """A function: config, head, ... of a random model -> its Page, opened; Model; Model in 8 bits"""
    servers = []

    def make(config, head=None, sentence=None, labels=None, seed=0):
        model = write_model(tmp_path / "model", config, head, sentence, labels, seed)
        assert main(["export", model, "--page", str(tmp_path / "page"), "--int8"]) == 0
        assert main(["quantize", model, "--out", str(tmp_path / "model8")]) == 0
        servers.append(served(tmp_path / "page"))
        made = Page(phone, servers[-1].__enter__())
        assert made.open() == "ready", made.shown("#status")
        return made, Model.load(model), Model.load(tmp_path / "model8")

    yield make
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("name", CONFIGS)
def test_words_for_masks_are_ours(page, name):
    opened, model, model8 = page(CONFIGS[name], "masked-words", seed=2)
    text = "ada eats [MASK], what does [MASK] eat <b>today</b>?"
    found = opened.ask("fill-mask", masked_text=text)  # 8 bits first
    probability = [{one["piece"]: one["probability"] for one in answers} for answers in fill_mask(model8, text, 10**6)]
    assert len(found) == 2
    for answers, expected in zip(found, probability, strict=True):
        np.testing.assert_allclose([one["value"] for one in answers], sorted(expected.values())[:-6:-1], atol=0.01)
        np.testing.assert_allclose(
            [one["value"] for one in answers], [expected[one["text"]] for one in answers], atol=0.01
        )
    opened.use(FLOAT)
    found = opened.ask("fill-mask", masked_text=text)
    for answers, expected in zip(found, fill_mask(model, text, 5), strict=True):
        assert [one["text"] for one in answers] == [one["piece"] for one in expected]
        np.testing.assert_allclose(
            [one["value"] for one in answers], [one["probability"] for one in expected], rtol=1e-3
        )
    assert found[0][0]["text"] in opened.shown("#fill-mask output") and "[MASK] 2 of 2" in opened.shown(
        "#fill-mask output"
    )


@pytest.mark.parametrize("sentence", [
    SentenceSettings(), SentenceSettings("cls", False, 7), SentenceSettings("max", True, None, "ada: "),
])  # fmt: skip
def test_sentences_and_their_vectors_are_ours(page, sentence):
    opened, model, model8 = page(CONFIGS["ib-bert" if sentence.prompt else "bert"], None, sentence)
    lines, query = (
        ["gina a b", "Ida EATS é 中 salt!", "ben eats " * 20 + ".", "gina a b", "<i>tea</i>"],
        "what does ben eat today?",
    )
    for graph, ours, tolerance in ((INT8, model8, 0.05), (FLOAT, model, 1e-4)):
        opened.use(graph)
        found = opened.ask("search", sentences="\n\n".join(lines), query=query)
        vectors = embed(ours, [query, *lines])
        scale = np.abs(vectors[0]).max()
        np.testing.assert_allclose(found["query"], vectors[0], atol=tolerance * scale)
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = sorted(zip(units[1:] @ units[0], lines, strict=True), key=lambda pair: -pair[0])
        np.testing.assert_allclose([one["value"] for one in found["nearest"]], [c for c, _ in cosines], atol=tolerance)
    assert sorted(one["text"] for one in found["nearest"]) == sorted(lines)
    assert ("cut to 7 word pieces" in opened.shown("#search output")) == (sentence.max_length == 7)
    assert "<i>tea</i>" in opened.shown("#search output")  # a text with tags is a text


@pytest.mark.parametrize("labels", [None, ["bad", "<b>good</b>", "so so"]])
def test_classes_are_ours(page, labels):
    opened, model, _ = page(CONFIGS["mobilebert"], "classification", labels=labels, seed=2)  # 3 classes
    opened.use(FLOAT)
    names = labels or ["class 0", "class 1", "class 2"]
    for first, second in (("ada eats tea", ""), ("ada eats tea", "ben eats salt."), ("ada " * 60, "ben " * 99)):
        found = opened.ask("classification", first_text=first, second_text=second)
        texts = encode_texts(model.tokenizer, [first], [second] if second else None, None, 48)
        (batch,) = all_batches(texts, 1)
        expected = softmax_forward(classification_logits(model.params, model.config)(batch))[0][0]
        assert [one["text"] for one in found] == [names[i] for i in np.argsort(-expected)]
        np.testing.assert_allclose([one["value"] for one in found], -np.sort(-expected), rtol=1e-3)
    assert "cut to 48 word pieces" in opened.shown("#classification output")


def test_a_regression_shows_its_number(page):
    opened, model, _ = page(CONFIGS["bert"].replace(type_vocab_size=1), "classification", seed=0)  # one output
    opened.use(FLOAT)
    texts = encode_texts(model.tokenizer, ["ada eats tea"], None, None, 48)
    (batch,) = all_batches(texts, 1)
    expected = float(classification_logits(model.params, model.config)(batch)[0, 0])
    assert opened.ask("classification", first_text="ada eats tea") == pytest.approx(expected, rel=1e-3)
    assert opened.shown("#classification output").strip() == f"{expected:.3f}"
    assert opened.browser.run("return document.getElementById('second-text').hidden")  # the model knows no pairs


def test_attention_maps_are_ours(page):
    opened, model, _ = page(CONFIGS["mobilebert"])
    opened.use(FLOAT)
    found = opened.ask("attention", attention_text="ada eats tea and salt")
    encoded = model.encode(["ada eats tea and salt"], attention_maps=True)
    assert found["labels"] == encoded.tokens[0]
    choose = (
        "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))"
    )
    for layer, maps in enumerate(encoded.attention_maps):
        opened.browser.run(choose, "layer", layer)
        for head in ("mean", 0, 1):
            opened.browser.run(choose, "head", head)
            expected = maps[0].mean(axis=0) if head == "mean" else maps[0, head]
            np.testing.assert_allclose(opened.browser.wait(ANSWER, "attention")["map"], expected, atol=1e-4)
    opened.browser.run(choose, "row", 3)
    assert opened.shown("#attention h3") == f"{found['labels'][3]} (4) looks at"
    alpha = opened.browser.run("""const canvas = document.querySelector('canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.filter((value, i) => i % 4 === 3 && value > 0).length / (canvas.width * canvas.height)""")
    assert alpha > 0.3  # something is drawn
    assert set(opened.browser.run("return [...document.querySelectorAll('main > section:not([hidden])')].map((s) => s.id)")) == {
        "attention", "latency"}  # fmt: skip


def test_the_latency_is_shown_beside_the_papers(page):
    opened, *_ = page(CONFIGS["mobilebert"], "pretraining")
    found = opened.ask("latency")
    assert found["milliseconds"] > 0 and found["pieces"] == 48 and found["runs"] == 20
    shown = opened.shown("#latency")
    assert f"{found['milliseconds']:.1f} ms" in shown and "8 bits" in shown and "Chrome" in shown
    assert "62 ms" in shown and "Pixel 4" in shown and "128" in shown and "this page has another size" in shown


def test_the_latencies_of_both_precisions_are_kept(page):
    opened, *_ = page(CONFIGS["bert"], "masked-words")
    quantised = opened.ask("latency")["milliseconds"]
    assert opened.shown("#latency output").count(" ms\n") == 1
    opened.use(FLOAT)
    assert opened.shown("#latency output").split("\n") == [f"{quantised:.1f} ms", "8 bits"]
    whole = opened.ask("latency")["milliseconds"]
    rows = opened.browser.run("return [...document.querySelectorAll('#latency .rows li')].map((row) => row.innerText)")
    assert [row.split("\n") for row in rows] == [[f"{quantised:.1f} ms", "8 bits"], [f"{whole:.1f} ms", "float32"]]
    opened.use(INT8)
    assert f"{whole:.1f} ms" in opened.shown("#latency output")


def test_a_uniform_map_says_that_it_is_one(page):
    """Each cell has the same shade then, and the largest one is no larger than an equal share."""
    opened, *_ = page(CONFIGS["bert"])
    found = opened.ask("attention", attention_text="ada eats tea")["map"]
    most, share = max(max(row) for row in found), 1 / len(found)
    said = f"The darkest cell is {most:.1%}; equal shares would be {share:.1%}.".replace("%", " %")
    assert said in opened.shown("#attention output")


def test_every_section_says_what_it_shows(page):
    opened, *_ = page(CONFIGS["bert"], "masked-words", SentenceSettings())
    for section, words in (("fill-mask", "##"), ("search", "cosine"), ("attention", "[CLS]"), ("latency", "how long")):
        first = opened.shown(f"#{section} h2 + p")
        assert words.lower() in first.lower() and first.endswith(".")
    assert opened.shown("legend") == "Precision of the weights"


def test_what_is_wrong_is_said_in_the_page(page):
    opened, *_ = page(CONFIGS["bert"], "masked-words", SentenceSettings())
    assert "no [MASK]" in opened.ask("fill-mask", masked_text="ada eats tea")
    assert "write something" in opened.ask("fill-mask", masked_text=" \n")
    assert "103 word pieces" in opened.ask("fill-mask", masked_text="ada " * 100 + "[MASK]")
    assert "write something" in opened.ask("search", query="")
    assert "write something" in opened.ask("search", query="ada", sentences="\n \n")
    assert "write something" in opened.ask("attention", attention_text="")
    assert len(opened.ask("fill-mask", masked_text="ada eats [MASK]")) == 1  # and it goes on


def test_nobody_else_is_asked_and_everything_is_there(page):
    opened, *_ = page(CONFIGS["bert"], "masked-words")
    opened.ask("fill-mask", masked_text="ada eats [MASK]")
    opened.ask("attention", attention_text="ada")
    addresses = opened.browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(addresses) > 12 and all(address.startswith(opened.server.address) for address in addresses)
    assert opened.browser.messages() == []  # no error, nothing that the policy refused
    outside = "return fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)"
    assert opened.browser.run(outside) == "TypeError"
    assert any("Content Security Policy" in message for message in opened.browser.messages())


@pytest.mark.parametrize("head", HEADS)
def test_every_kind_of_model_has_a_page_that_fits_a_phone(page, head):
    opened, *_ = page(CONFIGS["bert"], head, SentenceSettings() if head is None else None)
    opened.ask("attention", attention_text="what does ada eat today? " * 20)
    width = opened.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1] == PHONE[0]
    unnamed = """return [...document.querySelectorAll('input, textarea, select')]
        .filter((field) => !field.labels.length).map((field) => field.outerHTML)"""
    assert opened.browser.run(unnamed) == []


def test_the_keyboard_is_enough(page):
    opened, *_ = page(CONFIGS["bert"], None, SentenceSettings())
    opened.browser.run("document.getElementById('query').focus()")
    opened.browser.keys("\ue007")  # Enter
    assert opened.browser.wait(ANSWER, "search")["nearest"]
    opened.browser.keys("\ue004")  # Tab: to the button
    assert opened.browser.run("return document.activeElement.textContent") == "Search"
    opened.browser.keys("\ue004\ue004 ")  # the attention map's text, its button, Space
    assert opened.browser.wait(ANSWER, "attention")["labels"]


def test_a_page_opened_from_the_disk_says_what_to_do(page, tmp_path):
    opened, *_ = page(CONFIGS["bert"], "masked-words")
    opened.browser.open((tmp_path / "page" / "index.html").as_uri())
    assert "python -m http.server" in opened.shown("#status")


@pytest.mark.parametrize(
    "name", ["settings.json", "vocab.txt", INT8, "runtime/ort-wasm-simd-threaded.wasm", "tokenizer.js"]
)
def test_a_missing_file_is_named(page, tmp_path, name):
    opened, *_ = page(CONFIGS["bert"], "masked-words")
    (tmp_path / "page" / name).rename(tmp_path / "away")
    with served(tmp_path / "page") as server:  # another address, so that the browser has no copy of the file
        opened.browser.open(server.address)
        says = "const s = document.getElementById('status'); return s.className === 'error' && s.innerText"
        status = opened.browser.wait(says, seconds=30)
        assert name.rpartition("/")[2] in status or "page.js or a file that it imports" in status
        assert opened.browser.run("return document.querySelector('main').hidden")


def test_a_second_graph_that_cannot_be_loaded(page, tmp_path):
    """The first one is released before the second is loaded, so no model is left; the first can be chosen again."""
    opened, *_ = page(CONFIGS["bert"], "masked-words")
    (tmp_path / "page" / FLOAT).unlink()
    choose = "document.querySelector(`#graphs input[value='${arguments[0]}']`).click()"
    opened.browser.run(choose, FLOAT)
    opened.browser.wait("return document.body.dataset.state === 'failed'")
    assert "404" in opened.shown("#status")
    for section in ("fill-mask", "attention", "latency"):
        opened.browser.run("document.querySelector(`#${arguments[0]} button`).click()", section)
        assert opened.browser.wait(ANSWER, section).startswith("No model is loaded: choose the other precision")
    opened.use(INT8)
    assert len(opened.ask("fill-mask", masked_text="ada eats [MASK]")) == 1


def test_a_fine_tuned_run_cuts_texts_as_predict_does(page, tmp_path, phone):
    rows = "".join(f"{'ada ben'.split()[n % 2]} eats {n} figs,{'good bad'.split()[n % 2]}\n" for n in range(40))
    (tmp_path / "table.csv").write_text("review,stars\n" + rows, encoding="utf-8")
    run, text = str(tmp_path / "run"), "ada eats tea . ben eats salt . gina a b"
    words = ["finetune", "--data", str(tmp_path / "table.csv"), "--text", "review", "--label", "stars", "--epochs", "1"]
    start = write_model(tmp_path / "start", CONFIGS["bert"])
    assert main([*words, "--model", start, "--max-length", "6", "--out", run]) == 0
    (tmp_path / "new.csv").write_text(f"review\n{text}\n", encoding="utf-8")
    answers = str(tmp_path / "answers.csv")
    assert main(["predict", "--model", run, "--data", str(tmp_path / "new.csv"), "--out", answers]) == 0
    *_, bad, good = (tmp_path / "answers.csv").read_text(encoding="utf-8").split()[-1].split(",")
    assert main(["export", run, "--page", str(tmp_path / "page")]) == 0
    with served(tmp_path / "page") as server:
        opened = Page(phone, server)
        assert opened.open() == "ready"
        found = {one["text"]: one["value"] for one in opened.ask("classification", first_text=text)}
        assert found == {"bad": pytest.approx(float(bad), abs=1e-4), "good": pytest.approx(float(good), abs=1e-4)}
        assert "cut to 6 word pieces" in opened.shown("#classification output")
        assert opened.browser.run("return document.getElementById('second-text').hidden")  # rows have one text
