"""Download one file, over several connections if necessary, and replace it atomically.

With the partial file (part.py) we store its total size and its validator: the ETag or date that identifies the version
on the server. The next connection requests only the rest of this version (`Range` with `If-Range`, RFC 9110, sections
13.1.5 and 14.2). If the server has another version or does not support ranges, it sends the whole file, and we start
again.

A server may also never finish. We therefore limit the size of a file, the time until a connection answers, and its
minimum speed over a minute. The number of failed connections in a row without progress is limited too.
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
_PROGRESS = 1 << 16  # a connection that receives fewer bytes counts as failed
_TRY_AGAIN = {408, 429, 500, 502, 503, 504}  # temporary errors of the server


class Unreachable(ValueError):
    """The server cannot be reached, so we do not try the other files."""


class _Broken(Exception):
    """The connection ended before the end of the file."""


class _Slow(_Broken):
    """The connection is too slow. Unlike other failures, it counts even if it made progress."""


def _validator(headers):
    """The validator of this version of the file -> str or None; a weak ETag does not guarantee equal bytes."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _number(text):
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _in_time(request, timeout):
    """`urlopen` with a total limit of three timeouts. urllib's own timeout restarts with each received byte."""
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
    """Request the missing part of the file -> response. Errors are _Broken, Unreachable or ValueError."""
    headers = {"User-Agent": "minimobilebert", "Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        response = _in_time(urllib.request.Request(file.address, headers=headers), timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the file on the server is shorter than the partial file
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
    """Adjust the part to the response: continue at its end (206), or start again (200)."""
    found = _validator(response.headers)
    if response.status != 206:
        total = _number(response.headers.get("Content-Length"))
        part.check_size(total or 0, most)
        part.start(found, total)
        return
    span = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    fits = span and int(span[1]) == part.size and part.total in (None, int(span[2]))
    if not fits or (found is not None and found != part.validator):
        part.remove()
        raise _Broken("the server sent another part than it was asked for")
    part.check_size(int(span[2]), most)
    part.total = int(span[2])


def _read(response, part, name, most, minute):
    """Append the response's body to the part."""
    size, shown = part.size, part.size // MEGABYTE
    minute_start, size_then = time.monotonic(), size
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
            if time.monotonic() - minute_start >= minute:
                if size - size_then < minute * _SLOWEST:
                    raise _Slow(f"fewer than {_SLOWEST:,} bytes a second")
                minute_start, size_then = time.monotonic(), size
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
    """Fetch a RemoteFile into `folder`, unless it exists -> its path

    timeout: seconds without a byte; tries: the limit of failed connections in a row, and of slow connections in total;
    pause: seconds before the second connection, doubled for each further one; most: bytes; minute: seconds over which
    we measure the speed. Unreachable if no connection succeeds; ValueError for all other errors. The partial file is
    kept, unless its sha256 is wrong.
    """
    path = pathlib.Path(folder) / file.name
    if path.exists():
        if file.sha256 and (found := sha256_of(path)) != file.sha256:
            raise ValueError(f"{path}: found sha256 {found}, expected {file.sha256}; move it away to fetch it again")
        return path
    with claimed(folder):  # two processes must not append to the same partial file
        return _fetch(file, path, timeout, tries, pause, most, minute)


def _fetch(file, path, timeout, tries, pause, most, minute):
    """Fetch the missing part of the file, over several connections -> its path"""
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
                             f" {part.total or 'unknown'}; the same command resumes from there")  # fmt: skip
        time.sleep(pause * 2 ** max(failures - 1, 0))
    if file.sha256 and (found := sha256_of(part.path)) != file.sha256:
        part.remove()
        raise ValueError(f"{file.address}: found sha256 {found}, expected {file.sha256}; nothing was kept")
    os.replace(part.path, path)
    part.remove()
    return path
