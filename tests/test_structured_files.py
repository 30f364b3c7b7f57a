"""The reader of JSON, JSON lines and TOML: the value of the declared shape, or one line with file, place, reason."""

import json
import os
import re
import socket
import time

import pytest

from minimobilebert.support.regular_files import read_bytes, read_text
from minimobilebert.support.shapes import ANY, Integer, Number, OneOf, ShapeError, Text, check
from minimobilebert.support.structured_files import parse_json, read_json, read_json_lines, read_toml


def one_line(function, *arguments):
    """The message of the ValueError that `function` ends with."""
    with pytest.raises(ValueError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message and "found" in message and "expected" in message and len(message) < 600
    return message


LESSON = {"number": Text(), "minutes": Integer(1, 600), "needs?": [str], "share?": Number(0, 1)}


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({"number": "01", "minutes": 3}, LESSON),
        ({"number": "01", "minutes": 3, "needs": [], "share": 1}, LESSON),
        ({"a": 1, "b": 2.5, "c": 10**30}, {str: float}),
        ([None, True, "x", {"y": []}], ANY),
        ([1, None, 2], [(int, None)]),
        ("cola", OneOf("cola", "mrpc")),
        ({"known": True, "other": [[]]}, {"known": bool, str: ANY}),
        (10**99, ANY),
    ],
)
def test_a_value_of_the_shape_comes_back_as_it_is(value, shape, tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert read_json(file, shape) == check(value, shape, "x") == value


@pytest.mark.parametrize(
    ("value", "shape", "message"),
    [
        ([], LESSON, "found a list, expected an object"),
        (None, [str], "found null, expected a list"),
        ({"number": "01"}, LESSON, "found no 'minutes', expected 'minutes' with a whole number between 1 and 600"),
        ({"number": " ", "minutes": 3}, LESSON, "field number: found ' ', expected a text that is not empty"),
        ({"number": "1", "minutes": 3, "weeks": 1}, LESSON,
         "found an unknown key 'weeks', expected only number, minutes, needs, share"),
        ({"number": "1", "minutes": True}, LESSON, "field minutes: found true, expected a whole number between 1 and"),
        ({"number": "1", "minutes": 3.0}, LESSON, "field minutes: found 3.0, expected a whole number between"),
        ({"number": "1", "minutes": 0}, LESSON, "field minutes: found 0, expected a whole number between 1 and 600"),
        ({"number": "1", "minutes": 3, "needs": "00"}, LESSON, "field needs: found '00', expected a list"),
        ({"number": "1", "minutes": 3, "needs": ["a", 1]}, LESSON, "field needs[1]: found 1, expected a text"),
        ({"number": "1", "minutes": 3, "share": 1.5}, LESSON, "field share: found 1.5, expected a number between 0"),
        ({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [(int, {"c": int})]}},
         "field a.b[1].c: found 'x', expected a whole number"),
        (["x"], [(int, None)], "field [0]: found 'x', expected a whole number or null"),
        ("x" * 500, int, f"found '{'x' * 56}..., expected a whole number"),
        (2**63, int, f"found {2**63}, expected a whole number"),
        (10**200, float, "found a whole number of more than 100 digits, expected a number"),
        (10**200, ANY, "found a whole number of more than 100 digits, expected at most 100 digits"),
        ("glue", OneOf("cola", "mrpc"), "found 'glue', expected one of 'cola', 'mrpc'"),
        (1, OneOf(True, 2), "found 1, expected one of True, 2"),
        ([float("nan")], [float], "field [0]: found nan, expected a number"),
        ({"a": float("inf")}, ANY, "field a: found inf, expected a finite number"),
        ({"a\ud800": 1}, {str: int}, "found half a character at 1, expected text in Unicode"),
        (["\udc00b"], [str], "field [0]: found half a character at 0, expected text in Unicode"),
        ({"a\nb": 1}, {"a": int, str: str}, "found no 'a', expected 'a' with a whole number"),
        ({"a\nb": 1}, {str: str}, "field 'a\\nb': found 1, expected a text"),
    ],
)  # fmt: skip
def test_another_shape_is_one_line_with_the_field(value, shape, message):
    assert one_line(check, value, shape, "config.json").startswith(f"config.json: {message}")
    with pytest.raises(ShapeError):
        check(value, shape, "config.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found an empty file, expected JSON"),
        (b" \n\t", "found an empty file, expected JSON"),
        (b"\xef\xbb\xbf", "found an empty file, expected JSON"),
        (b'{"a":\n 1,}', "line 2: found '}': "),
        (b'{"a": 1} x', "line 1: found 'x': Extra data, expected JSON"),
        (b'{"a": 1', "line 1: found the end: Expecting ',' delimiter, expected JSON"),
        (b'{"a": "\n"}', "line 1: found '\\n\"}': Invalid control character, expected JSON"),
        (b'{"a":\n1, "a": 2}', "found the key 'a' twice in one object, expected it once"),
        (b'{"b": "NaN",\n"a": NaN}', "line 2: found NaN, expected a finite number"),
        (b'["Infinity\\"",\n\n-Infinity]', "line 3: found -Infinity, expected a finite number"),
        (b'{"a": 1e400}', "field a: found inf, expected a finite number"),
        (b'[1,\n' + b"9" * 5000 + b"]", "line 2: found a whole number of more than 100 digits"),
        (b"[" + b"9" * 4000 + b"]", "field [0]: found a whole number of more than 100 digits"),
        (b'{"a": "\\ud83d"}', "field a: found half a character at 0, expected text in Unicode"),
        (b'{"\\ud83d": 1}', "found half a character at 0, expected text in Unicode"),
        (b"[\n\xff]", "found byte 0xff at byte 2, expected text in UTF-8 (line 2)"),
        (b"\xef\xbb\xbf[\xe9]", "found byte 0xe9 at byte 4, expected text in UTF-8 (line 1)"),
        ('{"a": 1}'.encode("utf-16"), "found byte 0xff at byte 0, expected text in UTF-8"),
        (b"\0" * 10, "line 1: found '\\x00\\x00"),
        (b"[" * 100_000, "found brackets nested too deeply, expected JSON"),
        (b'{"a":' * 100_000, "found brackets nested too deeply, expected JSON"),
        (b"[" * 70 + b"]" * 70, "found more than 64 levels of brackets, expected at most 64"),
        (b'["\\"' + b'\\"' * 500_000, "line 1: found '\"\\\\\""),
    ],
)  # fmt: skip
def test_damaged_json_is_one_line(tmp_path, content, words):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    start = time.perf_counter()
    message = one_line(read_json, file)
    assert message.startswith(f"{file}: ") and words in message
    assert one_line(parse_json, content, "the answer").startswith("the answer: ")
    assert time.perf_counter() - start < 2.0


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    """The others would be waited for, or read, without end."""
    (tmp_path / "folder.json").mkdir()
    os.symlink(tmp_path / "nothing", tmp_path / "dangling")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    places = {tmp_path / "folder.json": "found a folder, expected a file"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        places |= {tmp_path / "pipe": "found a pipe, expected a file", "/dev/zero": "found a device, expected a file"}
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(tmp_path)  # a socket's path is short
            try:
                server.bind("socket")
            finally:
                os.chdir(here)
        places[tmp_path / "socket"] = "found a socket, expected a file"
    for read in (read_json, read_json_lines, read_toml, read_text):
        for place, words in places.items():
            assert one_line(read, place) == f"{place}: {words}"
        for name in ("dangling", "loop", "missing"):
            with pytest.raises(OSError, match=name):
                read(tmp_path / name)
        assert "found a NUL byte" in one_line(read, "a\0b")
    (tmp_path / "large").write_bytes(b"x" * 11)
    assert one_line(read_bytes, tmp_path / "large", 10) == f"{tmp_path / 'large'}: found 11 bytes, expected at most 10"
    assert read_bytes(tmp_path / "large", 11) == b"x" * 11


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"step": 1}\n\n', "line 2: found an empty line, expected JSON"),
        (b'{"step": 1}\n[]\n', "line 2: found a list, expected an object"),
        (b'{"step": 1}\n{"step": -1}\n', "line 2: field step: found -1, expected a whole number of at least 0"),
        (b'{"step": 1}\n{"step": 2', "line 2: found the end: Expecting ',' delimiter, expected JSON"),
        (b'{"step": 1}\n{"step": NaN}\n', "line 2: found NaN, expected a finite number"),
        (b'{"step": 1}\n\xff\n', "line 2: found byte 0xff, expected text in UTF-8"),
        (b'{"step": 1}\n"' + b"x" * 2**20, "line 2: found more than 1,048,576 bytes, expected a shorter line"),
    ],
)
def test_damaged_json_lines_name_the_line(tmp_path, content, words):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(content)
    assert one_line(read_json_lines, file, {"step": Integer(0)}).startswith(f"{file}: {words}")


def test_json_lines_without_and_with_their_end(tmp_path):
    file = tmp_path / "metrics.jsonl"
    for content, rows in [(b"", []), (b'\xef\xbb\xbf{"a": 1}\r\n2\n', [{"a": 1}, 2]), (b"1\n2", [1, 2])]:
        file.write_bytes(content)
        assert read_json_lines(file) == rows
        assert read_json_lines(file, cut_end=True) == rows[: content.count(b"\n")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a = 1\nb", "line 2: "),
        (b"a = 1\nb = \n", "line 2: "),
        (b"a = 1\na = 2\n", "line 2: "),
        (b"\n[x]\n[x]\n", "line 3: "),
        (b"a = '\xff'\n", "found byte 0xff at byte 5, expected text in UTF-8 (line 1)"),
        (b"a = 1\0", "line 1: "),
        (b"a = nan", "field a: found nan, expected a finite number"),
        (b"a = [1, 1e400]", "field a[1]: found inf, expected a finite number"),
        (b"a = " + b"9" * 5000, "found a whole number of more than 100 digits"),
        (b"a = 2027-03-01", "field a: found 2027-03-01, expected a text, a number"),
        (b"a = 2027-02-31", "expected TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = 1\n" + b"a." * 100_000 + b"b = 1", "line 2: found a key of more than 64 parts, expected a shorter one"),
        (b"[" + b"'a'." * 100_000 + b"b]", "line 1: found a key of more than 64 parts"),
        (b"a = '" + b"x" * 2**20, "found 1,048,581 bytes, expected at most 1,048,576"),
    ],
)  # fmt: skip
def test_damaged_toml_is_one_line(tmp_path, content, words):
    file = tmp_path / "course.toml"
    file.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_toml(file)
    message = str(error.value)
    assert message.startswith(f"{file}: ") and "expected" in message and "\n" not in message
    assert time.perf_counter() - start < 2.0


def test_toml_of_a_shape(tmp_path):
    file = tmp_path / "course.toml"
    file.write_bytes(b'\xef\xbb\xbf[[lesson]]\nnumber = "01"\nminutes = 5\n')
    assert read_toml(file, {"lesson": [LESSON]}) == {"lesson": [{"number": "01", "minutes": 5}]}
    file.write_text("lesson = 3\n")
    assert one_line(read_toml, file, {"lesson": [LESSON]}) == f"{file}: field lesson: found 3, expected a list"
