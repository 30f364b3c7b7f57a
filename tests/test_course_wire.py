"""Values on their way to a student's process and back: nothing is lost, nothing is believed."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.config import ModelConfig
from minimobilebert.course.sandbox import wire
from minimobilebert.ops.linear import LinearCache


def there_and_back(value, **options):
    structure, arrays = wire.flatten(value)
    data = wire.to_bytes(structure, arrays)
    position = 0

    def read(count):
        nonlocal position
        position += count
        return data[position - count : position]

    return wire.unflatten(*wire.read_message(read), **options)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.sets(st.integers()),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_plain_values_come_back_equal_and_of_the_same_type(value):
    again = there_and_back(value)
    assert again == value and repr(type(again)) == repr(type(value))


def views(x):
    return {
        "whole": x, "transposed": x.T, "axes moved": np.moveaxis(x, 0, 1), "every second": x[..., ::2],
        "reversed": x[::-1, :, ::-1], "a slice": x[1:, :2], "no axis": x[0, 0, 0], "empty": x[:0],
        "reversed and transposed": x[:, ::-1].T[::-1],
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, bool, np.complex128, "U3"])
@pytest.mark.parametrize("name", views(np.zeros((2, 2, 2))))
def test_arrays_keep_numbers_types_and_the_way_they_lie(name, dtype):
    x = views(np.arange(60).reshape(3, 4, 5).astype(dtype))[name]
    again = there_and_back(x)
    if isinstance(x, np.generic):
        assert type(again) is type(x)
    assert np.array_equal(again, x) and np.asarray(again).dtype == x.dtype and np.shape(again) == np.shape(x)
    if isinstance(x, np.ndarray) and x.size:
        assert again.flags.c_contiguous == x.flags.c_contiguous
        moving = [axis for axis in range(x.ndim) if x.shape[axis] > 1]
        assert [np.sign(again.strides[a]) for a in moving] == [np.sign(x.strides[a]) for a in moving]


def test_named_tuples_and_dataclasses_are_classes_there_and_records_here():
    cache = LinearCache(np.ones((2, 3)), np.ones((4, 3)), True)
    there = there_and_back([cache, ModelConfig()], with_classes=True)
    assert type(there[0]) is LinearCache and there[1] == ModelConfig()
    here = there_and_back(cache)
    assert type(here) is wire.Record and here.has_bias is True and list(here)[1].shape == (4, 3)
    assert type(there_and_back(here, with_classes=True)) is LinearCache  # and back to where it is a class again


def test_what_the_reader_has_already_is_not_sent():
    x = np.arange(6.0)
    structure, arrays = wire.flatten([x, x[:], x + 1], known=[x])
    assert len(arrays) == 1
    assert wire.unflatten(structure, arrays, known=[x])[1] is x


@pytest.mark.parametrize("value", [np.array([None]), object(), {"a": lambda: 0}, b"bytes"])
def test_what_cannot_be_sent(value):
    with pytest.raises(wire.WireError, match="expected"):
        wire.flatten(value)


def message(header, body=b""):
    data = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<QQ", len(data), len(body)) + data + body


DAMAGED = {
    "no JSON": message(b"{"),
    "not two parts": message([1]),
    "objects": message([{"array": 0}, [["|O", [1], None]]], bytes(8)),
    "larger than its message": message([{"array": 0}, [["<f8", [10**9], None]]], bytes(8)),
    "a negative size": message([{"array": 0}, [["<f8", [-1], None]]], bytes(8)),
    "a shape that overflows": message([{"array": 0}, [["<f8", [2**40, 2**40], None]]], bytes(8)),
    "a strange layout": message([{"array": 0}, [["<f8", [1], ["x", 1, 2]]]], bytes(8)),
    "four terabytes": message([{"array": 0}, [["<f4", [2**40], None]]], bytes(8)),
    "nothing, of an enormous shape": message([{"array": 0}, [["<f4", [0, 2**62, 2**62], None]]], bytes(8)),
    "texts of four terabytes": message([{"array": 0}, [["<U1099511627776", [1], None]]], bytes(8)),
    "an announced gigabyte": struct.pack("<QQ", 10, 2**30),
    "five megabytes of JSON": message(b"[" + b"0," * 2_500_000 + b"0]"),
    "nested too deeply": message(b"[" * 100_000),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_message_is_refused(name):
    data = DAMAGED[name]
    with pytest.raises(wire.WireError, match="found"):
        position = 0

        def read(count):
            nonlocal position
            position += count
            return data[position - count : position]

        wire.read_message(read)


@pytest.mark.parametrize("structure", [
    {"array": 3}, {"array": -9}, {"nonsense": 1}, {}, [1], {"list": 3}, {"dict": [[{"list": []}, 1]]}, {"function": 0},
    {"seed": 1}, {"record": "os:system", "fields": [["_kind", 1]]}, {"record": 1, "fields": []}, {"record": "a:b"},
])  # fmt: skip
def test_a_damaged_value_is_refused(structure):
    with pytest.raises(wire.WireError, match="found"):
        wire.unflatten(structure, [])


def test_a_record_never_imports_another_packages_class():
    with pytest.raises(wire.WireError, match="expected one of minimobilebert"):
        wire.unflatten({"record": "os:system", "fields": []}, [], with_classes=True)
    record = wire.unflatten({"record": "os:system", "fields": [["x", 1]]}, [])
    assert type(record) is wire.Record and record.x == 1
