"""Servers that never come to an end: sizes, speeds, redirects; each is one line, and nothing unchecked is kept."""

import contextlib
import http.server
import json
import os
import re
import threading
import time

import pytest

from minimobilebert.cli import main
from minimobilebert.download import fetch as fetching
from minimobilebert.download import run as downloads
from minimobilebert.download.addresses import RemoteFile
from minimobilebert.download.fetch import fetch

BODY = b"0123456789" * 100


def head(handler, status, *headers):
    handler.wfile.write(f"HTTP/1.1 {status}\r\n".encode() + b"".join(f"{h}\r\n".encode() for h in headers) + b"\r\n")


def endless(handler):
    head(handler, "200 OK", "Connection: close")
    while True:
        handler.wfile.write(b"x" * 4096)


def endless_chunks(handler):
    head(handler, "200 OK", "Transfer-Encoding: chunked")
    while True:
        handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")


def announced(length):
    def answer(handler):
        head(handler, "200 OK", f"Content-Length: {length}", "Connection: close")
        handler.wfile.write(BODY)

    return answer


def continued(total):
    """A first half, and then a rest of a file that is said to have so many bytes"""

    def answer(handler):
        if "Range" in handler.headers:
            start = int(handler.headers["Range"][6:-1])
            head(
                handler,
                "206 Partial",
                f"Content-Range: bytes {start}-{total - 1}/{total}",
                'ETag: "1"',
                "Connection: close",
            )
            handler.wfile.write(BODY[start:])
        else:
            head(handler, "200 OK", "Content-Length: 1000", 'ETag: "1"')
            handler.wfile.write(BODY[:500])

    return answer


def slow(handler):
    start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
    if start:
        head(handler, "206 Partial", f"Content-Range: bytes {start}-89999/90000", 'ETag: "1"')
    else:
        head(handler, "200 OK", "Content-Length: 90000", 'ETag: "1"')
    while True:
        handler.wfile.write(b"x" * 10)
        time.sleep(0.02)


def slow_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X")
        time.sleep(0.05)


def a_byte_each(handler):
    start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
    if start:
        head(handler, "206 Partial", f"Content-Range: bytes {start}-89999/90000", 'ETag: "1"')
    else:
        head(handler, "200 OK", "Content-Length: 90000", 'ETag: "1"')
    handler.wfile.write(b"x")


def sent_on(to):
    return lambda handler: head(handler, "302 Found", f"Location: {to}", "Content-Length: 0")


SERVERS = {
    "endless": (endless, "found [0-9,]+ bytes, expected at most 100,000; nothing was kept"),
    "endless-chunks": (endless_chunks, "found [0-9,]+ bytes, expected at most 100,000; nothing was kept"),
    "huge": (announced(10**15), "found 1,000,000,000,000,000 bytes, expected at most 100,000; nothing was kept"),
    "longer": (announced(1001), "broke off 2 times .*the connection ended early.* at 0 bytes of 1001"),
    "huge-rest": (continued(10**15), "broke off 2 times .the server sent another part than it was asked for"),
    "slow": (slow, "broke off 2 times .fewer than 10,000 bytes a second. at [0-9,]+ bytes of 90000; the same command"),
    "slow-headers": (slow_headers, "broke off 2 times .timed out."),
    "a-byte-each": (a_byte_each, "broke off 2 times .*at 2 bytes of 90000"),
    "loop": (sent_on("/loop"), "the server says 302 The HTTP server returned a redirect error that would lead to an infinite loop"),
    "to-a-file": (sent_on("file:///etc/passwd"), "the server says 302 .*not allowed"),
}  # fmt: skip
GOOD = {
    "no-length": lambda handler: (head(handler, "200 OK", "Connection: close"), handler.wfile.write(BODY)),
    "digits": announced("9" * 5000),
    "negative": announced("-5"),
    "words": announced("many"),
    "rest": continued(1000),
}


@pytest.fixture(scope="module")
def base():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path[1:]
            with contextlib.suppress(OSError):
                (GOOD.get(name) or SERVERS[name][0])(self)

        def log_message(self, *_):
            pass

    with pytest.MonkeyPatch.context() as patch, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        patch.setenv("no_proxy", "*")
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LIMITS = {"timeout": 0.3, "tries": 2, "pause": 0.0, "most": 100_000, "minute": 0.2}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_without_end_is_left(base, name, tmp_path, capsys):
    sources = {"mobilebert": {"uncased": (RemoteFile(f"{base}/{name}"),)}}
    start = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        fetch_all = downloads.download
        patch.setattr(downloads, "download", lambda what, to, only: fetch_all(what, to, only, sources, **LIMITS))
        assert main(["download", "mobilebert", "--to", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"minimobilebert: error: {base}/{name}: ") and time.monotonic() - start < 10
    assert re.search(SERVERS[name][1], line)
    assert not (tmp_path / name).exists()
    if "nothing was kept" in line:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", GOOD)
def test_what_comes_to_an_end_is_fetched_whatever_was_announced(base, name, tmp_path, capsys):
    assert fetch(RemoteFile(f"{base}/{name}"), tmp_path, **LIMITS).read_bytes() == BODY
    unsure = f"note: {name}: the server did not say how many bytes to expect; 1,000 came\n"
    assert capsys.readouterr().err == ("" if name == "rest" else unsure)


@pytest.mark.parametrize(
    "notes", [{"validator": 5}, {"validator": "a\nb"}, {"total": "x"}, {"total": True}, {"validator": None}]
)
def test_notes_of_another_kind_are_not_trusted(base, tmp_path, notes):
    (tmp_path / "rest.part").write_bytes(b"?" * 100)
    usable = {"address": f"{base}/rest", "validator": '"1"', "total": 1000}
    (tmp_path / "rest.part.json").write_text(json.dumps(usable | notes), encoding="utf-8")
    assert fetch(RemoteFile(f"{base}/rest"), tmp_path, **LIMITS).read_bytes() == BODY


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_under_the_files_name_is_no_file(base, tmp_path):
    os.mkfifo(tmp_path / "rest")
    with pytest.raises(ValueError, match="rest: found a pipe, expected a file"):
        fetch(RemoteFile(f"{base}/rest", sha256="0"), tmp_path, **LIMITS)


def test_an_address_that_cannot_be_parsed(tmp_path, monkeypatch):
    """Without a server: urllib leaves the connection open that sent it to "http://["."""

    def urlopen(*_, **__):
        raise ValueError("Invalid IPv6 URL")

    monkeypatch.setattr(fetching.urllib.request, "urlopen", urlopen)
    with pytest.raises(
        ValueError, match=r"^http://a/b: was sent on to an address that cannot be used \(Invalid IPv6 URL"
    ):
        fetch(RemoteFile("http://a/b"), tmp_path, **LIMITS)


def test_a_slow_connection_counts_whatever_it_brought(base, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_PROGRESS", 1)
    with pytest.raises(ValueError, match="broke off 2 times .fewer than 10,000 bytes a second"):
        fetch(RemoteFile(f"{base}/slow"), tmp_path, **LIMITS)
