"""Read damaged files, thousands of them: every reader ends with a value or with one line that names the file.

    python tests/fuzz_readers.py --count 100000                 all readers, evenly
    python tests/fuzz_readers.py --count 5000 --reader toml     one of them
    python tests/fuzz_readers.py --case "toml 17"               one case again, with its traceback

The readers are listed in fuzzed_readers.py: a name, a sound file, and the function that reads it. A case is sound
bytes changed once to three times, and `--seed` with its number says how. Whatever is no ValueError or OSError of one
line, needs more than SECONDS or more than MEMORY, or warns, is a finding; the file is kept.
"""

import argparse
import collections
import contextlib
import dataclasses
import pathlib
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable

SECONDS = 10.0  # for one file; the slowest takes a hundredth on a quiet machine
MEMORY = 1536 * 2**20  # more than before the first case, for all cases together

_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|-?\d[\d.eE+-]*|true|false|null|[\[\]{}:,=\t]')
_NUMBERS = [b"-1", b"0", b"1e400", b"-1e400", b"NaN", b"Infinity", b"nan", b"inf", b"9" * 5000, b"1e-400", b"1.5", b"-0.0",
            b"4294967296", b"9223372036854775808", b"1000000000000", b"0x10", b"1_000", b"\xd9\xa1", b"00"]  # fmt: skip
_VALUES = [b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[[]]", b'{"a": 1}', b"[" * 5000, b'{"a":' * 2000, b'"\\ud800"',
           b'"\\u0000"', b"'x'", b"1979-05-27", b"3", b"-7"]  # fmt: skip
_PIECES = [b"\0", b"\r", b"\r\n", b"\n", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\x85", b'"', b"'", b"#",
           b",", b"\xc3\xa9", b"\xff", b"\xed\xa0\x80", b"\\", b"../", b" " * 5000, b"x" * 200_000]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reader:
    """One reader and what it reads."""

    name: str
    file: str  # the name under which damaged bytes are written, "config.json"
    sample: Callable  # folder -> sound bytes of that file; may write what belongs beside it into the folder
    read: Callable  # path of the file -> anything
    check: Callable = lambda value: None  # raises AssertionError where a value must not come out of a reader
    names_folder: bool = False  # a message may name the folder in place of the file


def _replace_token(content, rng, choices):
    tokens = list(_TOKEN.finditer(content[:100_000]))
    if not tokens:
        return content + rng.choice(choices)
    token = rng.choice(tokens)
    return content[: token.start()] + rng.choice(choices) + content[token.end() :]


def _replace_number(content, rng):
    numbers = list(re.finditer(rb"-?\d[\d.eE+-]*", content[:100_000]))
    if not numbers:
        return content
    number = rng.choice(numbers)
    return content[: number.start()] + rng.choice(_NUMBERS) + content[number.end() :]


def _flip(content, rng):
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 8))):
        # half of the time near the beginning, where headers are
        changed[rng.randrange(min(len(changed), rng.choice((256, len(changed)))))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _span(content, rng):
    first, last = sorted((rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)))
    return first, min(last, first + rng.choice((1, 16, 4096)))


def _cut(content, rng):
    return content[: rng.randrange(len(content) + 1)]


def _drop(content, rng):
    first, last = _span(content, rng)
    return content[:first] + content[last:]


def _repeat(content, rng):
    first, last = _span(content, rng)
    return content[:last] + content[first:last] * rng.choice((1, 2, 50)) + content[last:]


def _insert(content, rng):
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice((rng.choice(_PIECES), rng.randbytes(rng.choice((1, 8, 300))))) + content[at:]


def _swap(content, rng):
    (a, b), (c, d) = sorted((_span(content, rng), _span(content, rng)))
    return content if c < b else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _swap_lines(content, rng):
    lines = content.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = rng.choice(((lines[b], lines[a]), (lines[a], lines[a]), (b"", lines[b])))
    return b"\n".join(lines)


def _splice(content, rng):
    other = content[rng.randrange(len(content) + 1) :]
    return content[: rng.randrange(len(content) + 1)] + other


def _recode(content, rng):
    if rng.random() < 0.3:
        return rng.choice((b"", b"\n", b"null", b"[]", b"{}", b"0", b'"x"', b"\0" * 64, b"\xef\xbb\xbf"))
    text = content.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig")), "replace")


MUTATIONS = (_flip, _cut, _drop, _repeat, _insert, _swap, _swap_lines, _splice, _recode, _replace_number,
             lambda content, rng: _replace_token(content, rng, _VALUES),
             lambda content, rng: _replace_token(content, rng, _NUMBERS))  # fmt: skip


def damaged(content, name, number, seed):
    """The bytes of one case."""
    rng = random.Random(f"{seed} {name} {number}")
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice(MUTATIONS)(content, rng)
    return content


class TooSlow(BaseException):
    """No Exception, so that no reader catches it."""


@contextlib.contextmanager
def time_limit(seconds):
    """TooSlow after so many seconds, where the system has such a clock"""

    def stop(*_):
        raise TooSlow(f"needed more than {seconds} seconds")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(reader, path):
    """Read one file -> "value", "refused" or what is wrong with the way it ended"""
    try:
        with time_limit(SECONDS):
            reader.check(reader.read(path))
        return "value"
    except (ValueError, OSError) as error:
        message = str(error)
        if str(path.parent if reader.names_folder else path) not in message:
            return f"a message without the file's name: {message[:200]!r}"
        if "\n" in message or "\r" in message or len(message) > 1000:
            return f"a message that is not one line: {message[:200]!r}"
        return "refused"
    except (Exception, TooSlow) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({pathlib.Path(place.filename).name}:{place.lineno})"


def peak_memory():
    """Bytes, 0 where the system does not say"""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_address_space(more=8 * 2**30):
    """Allocating more than that is a MemoryError, and so a finding, instead of a machine without memory."""
    if sys.platform == "linux":
        import resource

        now = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fuzz(reader, folder, cases, seed):
    """Read the damaged files -> {outcome: [numbers of the cases]}"""
    folder.mkdir(parents=True, exist_ok=True)
    sound, path = reader.sample(folder), folder / reader.file
    path.write_bytes(sound)
    assert outcome(reader, path) == "value", f"{reader.name}: the sound file: {outcome(reader, path)}"
    found = collections.defaultdict(list)
    for number in cases:
        path.write_bytes(damaged(sound, reader.name, number, seed))
        found[outcome(reader, path)].append(number)
    return found


def main():
    from fuzzed_readers import READERS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="damaged files in all")
    parser.add_argument("--reader", choices=sorted(READERS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", help="one case again: a reader's name and a number")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    limit_address_space()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if arguments.case:
            name, number = arguments.case.rsplit(" ", 1)
            content = damaged(READERS[name].sample(folder), name, int(number), arguments.seed)
            (folder / READERS[name].file).write_bytes(content)
            print(content[:2000], len(content))
            print(READERS[name].read(folder / READERS[name].file))
            return 0
        names = arguments.reader or list(READERS)
        bad, before = 0, None
        for name in names:
            start = time.perf_counter()
            cases = range(arguments.count // len(names))
            found = fuzz(READERS[name], folder / name.replace(" ", "-"), cases, arguments.seed)
            before = before or peak_memory()
            counts = {key: len(found.pop(key, ())) for key in ("value", "refused")}
            print(f"{name:<28} {counts['refused']:>7} refused {counts['value']:>7} read {sum(map(len, found.values())):>5} "
                  f"wrong {time.perf_counter() - start:>7.1f} s", flush=True)  # fmt: skip
            for text, numbers in sorted(found.items(), key=lambda pair: -len(pair[1])):
                print(f"    {len(numbers)} x {text}; --case {f'{name} {numbers[0]}'!r}")
                bad += len(numbers)
        more = peak_memory() - before
        print(f"{bad} wrong; memory grew by {more / 2**20:.0f} MiB")
        return 1 if bad or more > MEMORY else 0


if __name__ == "__main__":
    sys.exit(main())
