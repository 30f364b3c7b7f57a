"""One file from an address, over as many connections as it takes; the file is there whole, or not at all.

What has come stands in `NAME.part`, and in `NAME.part.json` which file that was: its size and its validator, the ETag
or the date with which the server marks a version. The next connection asks for the rest of that version only (`Range`
with `If-Range`, RFC 9110, sections 13.1.5 and 14.2). A server that has another version by now, or does not know
ranges, answers with the whole file, and the part is begun anew.
"""

import contextlib
import hashlib
import http.client
import os
import pathlib
import re
import time
import urllib.error
import urllib.request

from ..files import read_json, write_json
from ..terminal import progress_bar

MEGABYTE = 1 << 20
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}  # the server's trouble, which may pass


class Unreachable(ValueError):
    """No connection at all: there is no use in trying the other files."""


class _Broken(Exception):
    """This connection gave less than everything."""


class _Part:
    """What has come of a file so far."""

    def __init__(self, path, address):
        self.address = address
        self.path = path.with_name(path.name + ".part")
        self.notes = path.with_name(path.name + ".part.json")
        self.validator = self.total = None
        with contextlib.suppress(OSError, ValueError):  # without readable notes the part is worth nothing
            notes = read_json(self.notes)
            if isinstance(notes, dict) and notes.get("address") == address:
                self.validator, self.total = notes.get("validator"), notes.get("total")

    @property
    def size(self):
        """How many bytes may be kept: none of a version that the server could not tell from another."""
        return self.path.stat().st_size if self.validator and self.path.exists() else 0

    @property
    def complete(self):
        return self.total is not None and self.size == self.total

    def begin(self, validator, total):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.validator, self.total = validator, total
        write_json(self.notes, {"address": self.address, "validator": validator, "total": total})

    def remove(self):
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.validator = self.total = None


def _validator(headers):
    """What tells this version of the file from another -> str or None; a weak ETag does not say "the same bytes"."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _number(text):
    return int(text) if text and text.isdecimal() else None


def _open(file, part, timeout):
    """The server's answer to a request for what is missing; errors as _Broken, Unreachable or ValueError."""
    headers = {"User-Agent": "minimobilebert", "Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        response = urllib.request.urlopen(urllib.request.Request(file.address, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the file has become shorter than our part
            part.remove()
        elif error.code not in _TRY_AGAIN:
            advice = f"; {file.advice}" if file.advice else ""
            raise ValueError(f"{file.address}: the server says {error.code} {error.reason}{advice}") from None
        raise _Broken(f"{error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise Unreachable(f"{file.address}: cannot be reached ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from None
    if file.address.startswith("https:") and not response.url.startswith("https:"):
        response.close()
        raise ValueError(f"{file.address}: was sent on to {response.url}, expected an address with https")
    return response


def _accept(response, part):
    """Make the part fit the answer: it goes on where it ends (206), or begins anew (200)."""
    found = _validator(response.headers)
    if response.status != 206:
        part.begin(found, _number(response.headers.get("Content-Length")))
        return
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    fits = span and int(span[1]) == part.size and part.total in (None, int(span[2]))
    if not fits or (found is not None and found != part.validator):
        part.remove()
        raise _Broken("the server sent another part than it was asked for")
    part.total = int(span[2])


def _read(response, part, name):
    """Append everything the answer holds to the part."""
    size, shown = part.size, part.size // MEGABYTE
    steps = -(-part.total // MEGABYTE) if part.total else 0
    bar_or_none = progress_bar(name, steps, shown, "MB") if steps else contextlib.nullcontext()
    with bar_or_none as bar, open(part.path, "ab") as out:
        while True:
            try:
                data = response.read1(MEGABYTE)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(str(error) or type(error).__name__) from None
            if not data:
                break
            out.write(data)
            size += len(data)
            while bar and shown < (steps if size == part.total else size // MEGABYTE):
                shown += 1
                bar.update()
        out.flush()
        os.fsync(out.fileno())
    if part.total is not None and size != part.total:
        raise _Broken("the connection ended early")


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(file, folder, *, timeout=20.0, tries=5, pause=1.0):
    """Fetch a RemoteFile into `folder`, unless it is there already -> its path.

    timeout: seconds without a byte; tries: connections in a row that may bring nothing; pause: seconds before the
    second one, doubled for each further one. Unreachable where there is no connection from the start; ValueError for
    everything else that goes wrong. What has come is kept, except where its sha256 is wrong.
    """
    path = pathlib.Path(folder) / file.name
    if path.exists():
        if file.sha256 and (found := sha256_of(path)) != file.sha256:
            raise ValueError(f"{path}: found sha256 {found}, expected {file.sha256}; move it away to fetch it anew")
        return path
    part = _Part(path, file.address)
    most, failures, connected = part.size, 0, False
    while not part.complete:
        try:
            with _open(file, part, timeout) as response:
                connected = True
                _accept(response, part)
                _read(response, part, file.name)
                break
        except Unreachable as error:
            if not connected:
                raise
            reason = error
        except _Broken as error:
            reason = error
        failures = 0 if part.size > most else failures + 1
        most = max(most, part.size)
        if failures >= tries:
            raise ValueError(f"{file.address}: broke off {failures} times ({reason}) at {part.size:,} bytes of"
                             f" {part.total or 'unknown'}; the same command goes on from there")  # fmt: skip
        time.sleep(pause * 2 ** max(failures - 1, 0))
    if file.sha256 and (found := sha256_of(part.path)) != file.sha256:
        part.remove()
        raise ValueError(f"{file.address}: found sha256 {found}, expected {file.sha256}; nothing was kept")
    os.replace(part.path, path)
    part.remove()
    return path
