"""One file from an address, over as many connections as it takes; the file is there whole, or not at all.

Beside what has come (part.py) its size and its validator are kept, the ETag or the date with which the server marks a
version. The next connection asks for the rest of that version only (`Range` with `If-Range`, RFC 9110, sections 13.1.5
and 14.2). A server that has another version by now, or does not know ranges, answers with the whole file, and the part
is begun anew.

A server may also never come to an end. So there is a most that a file may hold, whatever was announced; a connection
has to answer in time and to bring a least number of bytes a minute; and one that broke off has to have brought
something, or it counts among the few that may bring nothing.
"""

import contextlib
import http.client
import os
import pathlib
import re
import threading
import time
import urllib.error
import urllib.request

from ..support.files import sha256_of
from ..support.locks import claimed
from ..support.terminal import progress_bar, say
from .part import Part

MEGABYTE = 1 << 20
MOST = 2 << 30  # bytes of a file; the largest, MNLI, has some hundred megabytes
_SLOWEST = 10_000  # bytes a second, over a minute
_MINUTE = 60.0  # seconds
_PROGRESS = 1 << 16  # bytes that a connection has to bring to be worth another one
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}  # the server's trouble, which may pass


class Unreachable(ValueError):
    """No connection at all: there is no use in trying the other files."""


class _Broken(Exception):
    """This connection gave less than everything."""


class _Slow(_Broken):
    """This connection brings too little to ever come to an end: what it brought does not speak for another one."""


def _validator(headers):
    """What tells this version of the file from another -> str or None; a weak ETag does not say "the same bytes"."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _number(text):
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _in_time(request, timeout):
    """`urlopen`, given up after three times the timeout: that is for each byte, and a server may send them singly."""
    answers = []

    def ask():
        try:
            answers.append(urllib.request.urlopen(request, timeout=timeout))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(3 * timeout)
    if not answers:
        raise TimeoutError("timed out")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _open(file, part, timeout):
    """The server's answer to a request for what is missing; errors as _Broken, Unreachable or ValueError."""
    headers = {"User-Agent": "minimobilebert", "Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        response = _in_time(urllib.request.Request(file.address, headers=headers), timeout)
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
    except ValueError as error:
        raise ValueError(f"{file.address}: was sent on to an address that cannot be used ({error})") from None
    if file.address.startswith("https:") and not response.url.startswith("https:"):
        response.close()
        raise ValueError(f"{file.address}: was sent on to {response.url}, expected an address with https")
    return response


def _accept(response, part, most):
    """Make the part fit the answer: it goes on where it ends (206), or begins anew (200)."""
    found = _validator(response.headers)
    if response.status != 206:
        total = _number(response.headers.get("Content-Length"))
        part.check_size(total or 0, most)
        part.begin(found, total)
        return
    span = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    fits = span and int(span[1]) == part.size and part.total in (None, int(span[2]))
    if not fits or (found is not None and found != part.validator):
        part.remove()
        raise _Broken("the server sent another part than it was asked for")
    part.check_size(int(span[2]), most)
    part.total = int(span[2])


def _read(response, part, name, most, minute):
    """Append everything the answer holds to the part."""
    size, shown = part.size, part.size // MEGABYTE
    minute_began, size_then = time.monotonic(), size
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
            _write(out, data, part.path)
            size += len(data)
            part.check_size(size, most)
            if time.monotonic() - minute_began >= minute:
                if size - size_then < minute * _SLOWEST:
                    raise _Slow(f"fewer than {_SLOWEST:,} bytes a second")
                minute_began, size_then = time.monotonic(), size
            while bar and shown < (steps if size == part.total else size // MEGABYTE):
                shown += 1
                bar.update()
        out.flush()
        os.fsync(out.fileno())
    if part.total is not None and size > part.total:
        part.remove()
        raise _Broken("the server sent more than it announced")
    if part.total is not None and size < part.total:
        raise _Broken("the connection ended early")


def _write(out, data, path):
    try:
        out.write(data)
    except OSError as error:
        raise OSError(error.errno, f"cannot write ({error.strerror})", str(path)) from None


def fetch(file, folder, *, timeout=20.0, tries=5, pause=1.0, most=MOST, minute=_MINUTE):
    """Fetch a RemoteFile into `folder`, unless it is there already -> its path.

    timeout: seconds without a byte; tries: connections in a row that may bring nothing, and slow ones in all; pause:
    seconds before the second one, doubled for each further one; most: bytes; minute: seconds over which the speed is
    measured. Unreachable where there is no connection from the start; ValueError for
    everything else that goes wrong. What has come is kept, except where its sha256 is wrong.
    """
    path = pathlib.Path(folder) / file.name
    if path.exists():
        if file.sha256 and (found := sha256_of(path)) != file.sha256:
            raise ValueError(f"{path}: found sha256 {found}, expected {file.sha256}; move it away to fetch it anew")
        return path
    with claimed(folder):  # two processes that append to one part would spoil it
        return _fetch(file, path, timeout, tries, pause, most, minute)


def _fetch(file, path, timeout, tries, pause, most, minute):
    """What of the file is missing, over several connections -> its path"""
    part = Part(path, file.address)
    furthest, failures, slow, connected = part.size, 0, 0, False
    while not part.complete:
        try:
            with _open(file, part, timeout) as response:
                connected = True
                _accept(response, part, most)
                _read(response, part, file.name, most, minute)
                if part.total is None and file.sha256 is None and not getattr(response, "chunked", False):
                    came = f"{part.size_on_disk:,} came"
                    say(f"note: {file.name}: the server did not say how many bytes to expect; {came}")
                break
        except Unreachable as error:
            if not connected:
                raise
            reason = error
        except _Broken as error:
            reason = error
        failures = 0 if part.size >= furthest + _PROGRESS else failures + 1
        furthest, slow = max(furthest, part.size), slow + isinstance(reason, _Slow)
        if max(failures, slow) >= tries:
            times = max(failures, slow)
            raise ValueError(f"{file.address}: broke off {times} times ({reason}) at {part.size:,} bytes of"
                             f" {part.total or 'unknown'}; the same command goes on from there")  # fmt: skip
        time.sleep(pause * 2 ** max(failures - 1, 0))
    if file.sha256 and (found := sha256_of(part.path)) != file.sha256:
        part.remove()
        raise ValueError(f"{file.address}: found sha256 {found}, expected {file.sha256}; nothing was kept")
    os.replace(part.path, path)
    part.remove()
    return path
