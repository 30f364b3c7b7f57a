"""A few thousand damaged files for every reader; fuzz_readers.py reads as many as are asked for."""

import pathlib
import random
import subprocess
import sys

from fuzz_readers import Reader, damaged, fuzz

HERE = pathlib.Path(__file__).resolve().parent


def test_every_reader_ends_with_a_value_or_one_line():
    command = [sys.executable, str(HERE / "fuzz_readers.py"), "--count", "6000"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_fuzzer_finds_what_it_is_for(tmp_path):
    """A reader that lets a KeyError through, another whose message names no file, one that never ends its line."""

    def careless(path):
        content = path.read_bytes()
        if len(content) > 60:
            return {}[content[:1]]
        if not content.startswith(b"a"):
            raise ValueError("found something else")
        if b"c" not in content:
            raise ValueError(f"{path}:\n no c")
        return content

    reader = Reader("careless", "a.txt", lambda folder: b"abc = 1\n", careless)
    found = fuzz(reader, tmp_path / "folder", range(300), seed=1)
    kinds = {text.split(":")[0] for text in found}
    assert kinds == {"value", "KeyError", "a message without the file's name", "a message that is not one line"}


def test_a_case_is_made_again_from_its_number():
    content = random.Random(1).randbytes(500)
    cases = [damaged(content, "x", number, 1) for number in range(200)]
    assert cases == [damaged(content, "x", number, 1) for number in range(200)]
    assert len(set(cases)) > 180 and damaged(content, "x", 0, 2) != cases[0]
