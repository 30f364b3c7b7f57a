"""A graph: nodes that read named arrays and write named arrays, and arrays that are stored with it. Plain data.

    graph = Graph()
    w = graph.array("w", weight.T)                      stored
    y = graph.node("MatMul", ["x", w], "y_of_x")        y = x w
    graph.output("y", y, np.float32, ["batch", 3])
    graph.input("x", np.float32, ["batch", 4])

The words are those of the ONNX format: a node is an operation, its inputs, its outputs and its attributes. Every name
stands for one array, so a node has the name of its output. The nodes are in the order of the calls, and each reads only
names that exist: that makes the order a valid one to run them in. interpreter.py runs a graph,
file_format.py writes it.
"""

from typing import NamedTuple

import numpy as np


class Node(NamedTuple):
    operation: str  # "MatMul"
    inputs: list  # of names; the order matters
    outputs: list  # of names; all operations here but Split have one
    attributes: dict  # numbers and lists of them that are part of the operation, such as an axis

    @property
    def name(self):
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs[0].rpartition(".")[0]


class Array(NamedTuple):
    """What a graph is given or returns."""

    dtype: np.dtype
    shape: list  # numbers, and names of sizes that are known only when the graph runs


class Graph:
    def __init__(self):
        self.inputs = {}  # name -> Array
        self.outputs = {}  # name -> Array
        self.arrays = {}  # name -> ndarray
        self.nodes = []  # of Node
        self.shared = {}  # what a caller wants to build once: key -> names
        self._names = set()

    def _new(self, name):
        if name in self._names:
            raise ValueError(f"graph: found the name {name} a second time, expected each once")
        self._names.add(name)
        return name

    def input(self, name, dtype, shape):
        """An array that is given when the graph runs -> name"""
        self.inputs[self._new(name)] = Array(np.dtype(dtype), shape)
        return name

    def array(self, name, values):
        """Store an array under this name, once -> name"""
        if name not in self.arrays:
            self.arrays[self._new(name)] = values
        elif self.arrays[name].shape != values.shape or self.arrays[name].dtype != values.dtype:
            raise ValueError(f"graph: found other values for {name}, expected those that it has")
        return name

    def number(self, value, dtype=np.float32):
        """Store one number, or a short list of numbers -> name"""
        dtype, shown = np.dtype(dtype), ",".join(map(str, np.ravel(value)))
        brackets = "[{}]" if np.ndim(value) else "{}"
        return self.array(f"{dtype.name} {brackets.format(shown)}", np.array(value, dtype))

    def add(self, operation, inputs, outputs, attributes):
        """A node with any number of outputs -> their names"""
        unknown = [name for name in inputs if name not in self._names]
        if unknown:
            raise ValueError(f"graph: {outputs[0]}: found the input {unknown[0]!r}, expected a name that exists")
        outputs = [self._new(name) for name in outputs]
        self.nodes.append(Node(operation, list(inputs), outputs, attributes))
        return outputs

    def node(self, operation, inputs, name, **attributes):
        """An operation of ONNX on named arrays -> the name of its output"""
        return self.add(operation, inputs, [name], attributes)[0]

    def split(self, x, sizes, axis, name):
        """x cut into parts along an axis -> a name for each size"""
        parts = [f"{name}.{i}" for i in range(len(sizes))]
        return self.add("Split", [x, self.number(sizes, np.int64)], parts, {"axis": axis})

    def cast(self, x, dtype, name):
        """x as another type -> name"""
        return self.node("Cast", [x], name, to=np.dtype(dtype))

    def output(self, name, value, dtype, shape):
        """Return the array `value` under the name `name`"""
        self.node("Identity", [value], name)
        self.outputs[name] = Array(np.dtype(dtype), shape)
