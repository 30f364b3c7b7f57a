"""`export --page`: what the folder holds, where ONNX Runtime Web comes from, and what is refused."""

import hashlib
import json
import re
import tarfile
import tomllib

import pytest
from browser import served
from documents import ROOT
from onnx_models import HEADS, NEEDS_ONNX, write_model
from test_onnx_elsewhere import CONFIGS

from minimobilebert.cli import main
from minimobilebert.config import preset
from minimobilebert.download.addresses import SOURCES, RemoteFile
from minimobilebert.download.run import download
from minimobilebert.interop.page import folder as pages
from minimobilebert.interop.page import runtime
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.training.model_folder import load_model

onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)

CONTENT = {name: f"the content of {name}".encode() for name in runtime.FILES}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small onnxruntime-web, served; its checksums are the ones that are asked for -> archive, folder, server"""
    unpacked = tmp_path / "unpacked" / "package"
    (unpacked / "dist").mkdir(parents=True)
    for name, content in CONTENT.items():
        (unpacked / "dist" / name).write_bytes(content)
    (unpacked / "dist" / "ort.all.js").write_text("not needed")
    archive = tmp_path / "served" / "runtime.tgz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(unpacked, "package")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(runtime, "FILES", sums)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with served(archive.parent) as server:
        file = RemoteFile(server.address + "runtime.tgz", hashlib.sha256(archive.read_bytes()).hexdigest())
        monkeypatch.setattr(pages, "find_runtime", lambda given: runtime.find_runtime(given, file, pause=0.0, tries=1))
        yield archive, unpacked, server


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "runs" / "model", CONFIGS["mobilebert"], "masked-words")


def export(*words):
    return main(["export", *map(str, words)])


def refused(capsys, *words):
    """The one line that a refused command says"""
    assert export(*words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not re.match("onnx/|runtime.tgz", line)]
    assert len(lines) == 1, lines
    return lines[0]


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_page_is_written(tmp_path, package, model, capsys):
    assert export(model, "--page", tmp_path / "page") == 0
    page = tmp_path / "page"
    assert files_of(page) == {
        *(path.name for path in pages.FILES.iterdir()), "settings.json", "vocab.txt", "onnx/model.onnx",
        *(f"runtime/{name}" for name in CONTENT), "runtime/LICENSE.txt",
    }  # fmt: skip
    assert "MIT License" in (page / "runtime/LICENSE.txt").read_text()
    assert {name: (page / "runtime" / name).read_bytes() for name in CONTENT} == CONTENT
    said = capsys.readouterr().out
    assert "python -m http.server" in said and "on a phone in the same network" in said
    settings = json.loads((page / "settings.json").read_text())
    assert settings["name"] == "model" and settings["uses"] == ["fill-mask"] and settings["longest"] == 48


def test_the_package_is_fetched_once(tmp_path, package, model):
    for number in range(2):
        assert export(model, "--page", tmp_path / f"page{number}") == 0
    assert package[2].paths == ["/runtime.tgz"]


@pytest.mark.parametrize("given", ["archive", "folder", "dist"])
def test_the_package_can_be_given(tmp_path, package, model, given):
    archive, unpacked, server = package
    path = {"archive": archive, "folder": unpacked, "dist": unpacked / "dist"}[given]
    assert export(model, "--page", tmp_path / "page", "--runtime", path) == 0
    assert (tmp_path / "page/runtime/ort-wasm-simd-threaded.wasm").exists() and server.paths == []


def test_8_bits_come_first(tmp_path, package, model):
    assert export(model, "--page", tmp_path / "page", "--int8") == 0
    settings = json.loads((tmp_path / "page/settings.json").read_text())
    assert [graph["numbers"] for graph in settings["graphs"]] == ["8 bits", "float32"]
    assert main(["quantize", model, "--out", str(tmp_path / "model8")]) == 0
    assert export(tmp_path / "model8", "--page", tmp_path / "page8", "--int8") == 0
    (graph,) = json.loads((tmp_path / "page8/settings.json").read_text())["graphs"]
    assert graph["file"] == "onnx/model_quantized.onnx"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("sentence", [None, SentenceSettings()])
def test_what_a_page_offers(tmp_path, package, capsys, head, sentence):
    model = write_model(tmp_path / "model", CONFIGS["bert"], head, sentence)
    assert export(model, "--page", tmp_path / "page") == 0
    uses = json.loads((tmp_path / "page/settings.json").read_text())["uses"]
    expected = {"pretraining": ["fill-mask"], "masked-words": ["fill-mask"], "classification": ["classification"]}
    assert uses == expected.get(head, []) + ["search"] * (sentence is not None)
    assert ("only draws attention maps" in capsys.readouterr().err) == (not uses)


def test_what_is_refused(tmp_path, package, model, capsys):
    archive, unpacked, server = package
    full, page = tmp_path / "full", tmp_path / "page"
    full.mkdir()
    (full / "file").touch()
    assert "expected a new or empty folder" in refused(capsys, model, "--page", full)
    assert "found no folder, expected a run" in refused(capsys, tmp_path / "nothing", "--page", page)
    assert "found it without --page" in refused(capsys, model, "--onnx", page, "--runtime", archive)
    assert "expected onnxruntime-web-1.30.0.tgz" in refused(capsys, model, "--page", page, "--runtime", tmp_path / "no")
    assert "expected the package onnxruntime-web" in refused(capsys, model, "--page", page, "--runtime", full)
    assert "expected a zip or tar archive" in refused(capsys, model, "--page", page, "--runtime", full / "file")
    assert server.paths == []  # nothing was fetched for any of them
    (unpacked / "dist" / "ort-wasm-simd-threaded.wasm").write_text("another version")
    assert "found sha256" in refused(capsys, model, "--page", page, "--runtime", unpacked)
    for words in (["--page", page, "--onnx", page], []):
        with pytest.raises(SystemExit):
            export(model, *words)
    assert not page.exists() and files_of(full) == {"file"}


def test_a_package_that_cannot_be_fetched(tmp_path, package, model, capsys, monkeypatch):
    page = tmp_path / "page"
    dead = RemoteFile("http://127.0.0.1:9/runtime.tgz", "0" * 64)
    monkeypatch.setattr(pages, "find_runtime", lambda given: runtime.find_runtime(given, dead))
    assert "give it as --runtime FILE" in refused(capsys, model, "--page", page)
    other = RemoteFile(package[2].address + "runtime.tgz", "0" * 64)
    monkeypatch.setattr(pages, "find_runtime", lambda given: runtime.find_runtime(given, other, pause=0.0))
    assert "expected 0000" in refused(capsys, model, "--page", page)
    assert not page.exists() and not list((tmp_path / "cache").rglob("*.tgz"))


def test_the_package_is_fetched_by_download_too(tmp_path, package, model, capsys):
    """`download onnxruntime-web`, and `export --page` with what it fetched"""
    file = RemoteFile(package[2].address + "runtime.tgz", hashlib.sha256(package[0].read_bytes()).hexdigest())
    (path,) = download("onnxruntime-web", tmp_path / "kept", sources={"onnxruntime-web": {"1.30.0": (file,)}})
    assert export(model, "--page", tmp_path / "page", "--runtime", path) == 0


def test_the_table_of_addresses_has_the_package():
    assert runtime.PACKAGE in SOURCES["onnxruntime-web"][runtime.VERSION]
    assert runtime.PACKAGE.address.startswith("https://registry.npmjs.org/") and runtime.PACKAGE.sha256


def test_texts_of_readers_are_never_read_as_html_and_nothing_is_loaded_from_elsewhere():
    for path in pages.FILES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
        assert addresses <= {"http://localhost:8000"}, path


def test_the_files_of_the_page_are_installed():
    """Data of the package has to be named; everything in the folder is."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    room = pages.FILES.parent
    named = {path for pattern in data["minimobilebert.interop.page"] for path in room.glob(pattern)}
    assert {path for path in room.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")} == named


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (None, True),
        ({"task": "table", "text_b": None}, False),
        ({"task": "table", "text_b": "reply"}, True),
        ({"task": "sst2", "text_b": None}, False),
        ({"task": "mrpc", "text_b": None}, True),
    ],
)
def test_a_run_knows_whether_it_was_trained_with_pairs(trained, expected):
    config = CONFIGS["bert"]
    assert pages.takes_pairs(config, trained) == expected
    assert not pages.takes_pairs(config.replace(type_vocab_size=1))


def test_the_page_knows_the_model_of_the_paper(tmp_path, package, model):
    assert export(model, "--page", tmp_path / "page") == 0
    assert json.loads((tmp_path / "page/settings.json").read_text())["ofThePaper"] is False
    saved = load_model(model)._replace(config=preset("mobilebert", vocab_size=100))
    assert pages.settings_of("paper", saved, [], 512)["ofThePaper"] is True
    tiny = saved._replace(config=preset("mobilebert-tiny"))
    assert pages.settings_of("tiny", tiny, [], 512)["ofThePaper"] is False
