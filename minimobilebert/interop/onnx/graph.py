"""A graph in the ONNX format: nodes that read named arrays and write named arrays, and arrays that are stored with it.

    graph = Graph()
    w = graph.array("w", weight.T)                      stored
    y = graph.node("MatMul", ["x", w], "y")             y = x w
    graph.output("y", y, np.float32, ["batch", 3])
    model = graph.model({"x": (np.float32, ["batch", 4])}, "example")

Every name stands for one array, so a node has the name of its output. The nodes are in the order of the calls, and each
reads only names that exist: that makes the order a valid one to run them in.
"""

import numpy as np

from ...support.extras import require

# Opset 17 is what every runtime of the last years reads. The version of the file format is older than 17 needs, because
# a newer one is refused by older runtimes.
OPSET, IR_VERSION = 17, 8


class Graph:
    def __init__(self):
        self.onnx = require("onnx", "interop")
        self.nodes, self.arrays, self.outputs = [], {}, []
        self.shared = {}  # what a caller wants to build once: key -> names
        self._names = set()

    def _new(self, name):
        if name in self._names:
            raise ValueError(f"graph: found the name {name} a second time, expected each once")
        self._names.add(name)
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

    def node(self, operation, inputs, name, **attributes):
        """An operation of ONNX on named arrays -> the name of its output"""
        self.nodes.append(self.onnx.helper.make_node(operation, inputs, [self._new(name)], name, **attributes))
        return name

    def split(self, x, sizes, axis, name):
        """x cut into parts along an axis -> a name for each size"""
        parts = [self._new(f"{name}.{i}") for i in range(len(sizes))]
        lengths = self.number(sizes, np.int64)
        self.nodes.append(self.onnx.helper.make_node("Split", [x, lengths], parts, name, axis=axis))
        return parts

    def cast(self, x, dtype, name):
        """x as another type -> name"""
        return self.node("Cast", [x], name, to=self._type(dtype))

    def _type(self, dtype):
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def _info(self, name, dtype, shape):
        return self.onnx.helper.make_tensor_value_info(name, self._type(dtype), shape)

    def output(self, name, value, dtype, shape):
        """Return the array `value` under the name `name`; shape: numbers, and names of lengths that vary"""
        self.node("Identity", [value], name)
        self.outputs.append(self._info(name, dtype, shape))

    def model(self, inputs, name):
        """The whole graph, checked; inputs {name: (dtype, shape)} -> ModelProto"""
        helper, arrays = self.onnx.helper, self.arrays.items()
        graph = helper.make_graph(
            self.nodes, name, [self._info(key, *value) for key, value in inputs.items()], self.outputs,
            [self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), key) for key, values in arrays],
        )  # fmt: skip
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="minimobilebert")
        self.onnx.checker.check_model(model, full_check=True)
        return model
