"""A small runtime: the operations of our graphs in NumPy, and the loop that runs a graph.

Each operation takes arrays and attributes, as the ONNX standard defines it (https://onnx.ai/onnx/operators/, opset 17),
and returns an array, or a list of arrays if it has several outputs. Only what our graphs use is here.

In a signature the arrays, which are a node's inputs, come before the "/", and the attributes after the "*". The
standard says which is which: in opset 17 the axes of ReduceMean are an attribute, but those of ReduceSum are an array.
"""

import numpy as np

from ...ops.gelu import erf


def _one_type(operation):
    """The operation, for arrays of one type: ONNX converts nothing without being asked."""

    def call(*inputs, **attributes):
        types = sorted({array.dtype.name for array in inputs})
        if len(types) > 1:
            raise ValueError(f"found inputs of the types {' and '.join(types)}, expected one type")
        return operation(*inputs, **attributes)

    return call


def _where(condition, a, b, /):
    return _one_type(lambda a, b: np.where(condition, a, b))(a, b)


def _gather(x, indices, /, *, axis=0):
    """x at integer indices along an axis; from -size to size - 1"""
    return np.take(x, indices, axis)  # an IndexError beyond the last one


def _reshape(x, shape, /):
    """0 in the shape: the size that the axis has"""
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())])


def _split(x, sizes, /, *, axis):
    return np.split(x, np.cumsum(sizes)[:-1], axis)


def _slice(x, starts, ends, axes, /):
    parts = [slice(None)] * x.ndim
    for start, end, axis in zip(starts.tolist(), ends.tolist(), axes.tolist(), strict=True):
        parts[axis] = slice(start, end)
    return x[tuple(parts)]


def _pad(x, pads, /):
    """Zeros before each axis and after it; pads: all numbers before, then all numbers after"""
    return np.pad(x, pads.reshape(2, -1).T)


def _softmax(x, /, *, axis):
    exponentials = np.exp(x - x.max(axis, keepdims=True))
    return exponentials / exponentials.sum(axis, keepdims=True)


def _sigmoid(x, /):
    with np.errstate(over="ignore"):  # where e^(-x) overflows to infinity, the sigmoid is 0
        return 1 / (1 + np.exp(-x))


def _divide(a, b, /):
    with np.errstate(divide="ignore", invalid="ignore"):  # x / 0 is an infinity or NaN, as IEEE 754 says
        return a / b


def _cast(x, /, *, to):
    with np.errstate(invalid="ignore"):  # NaN has no integer: any will do
        return x.astype(to)


def _matmul_integer(a, b, a_zero, b_zero, /):
    """The sums of integers that a and b stand for. Products of bytes in float64 are exact, and so are their sums."""
    return ((a.astype(np.float64) - a_zero) @ (b.astype(np.float64) - b_zero)).astype(np.int32)


OPERATIONS = {
    "Abs": np.abs,
    "Add": _one_type(np.add),
    "Cast": _cast,
    "Clip": _one_type(np.clip),
    "Concat": _one_type(lambda *parts, axis: np.concatenate(parts, axis)),
    "Div": _one_type(_divide),
    "Equal": _one_type(np.equal),
    "Erf": lambda x, /: erf(x).astype(x.dtype),
    "Gather": _gather,
    "GreaterOrEqual": _one_type(np.greater_equal),
    "Identity": lambda x, /: x,
    "MatMul": _one_type(np.matmul),
    "MatMulInteger": _matmul_integer,
    "Max": _one_type(np.maximum),
    "Mul": _one_type(np.multiply),
    "Pad": _pad,
    "Range": _one_type(lambda start, limit, step, /: np.arange(start, limit, step)),
    "ReduceMax": lambda x, /, *, axes, keepdims: x.max(tuple(axes), keepdims=bool(keepdims)),
    "ReduceMean": lambda x, /, *, axes, keepdims: x.mean(tuple(axes), keepdims=bool(keepdims)),
    "ReduceSum": lambda x, axes, /, *, keepdims: x.sum(tuple(axes.tolist()), keepdims=bool(keepdims)),
    "Relu": lambda x, /: np.maximum(x, 0),
    "Reshape": _reshape,
    "Round": np.rint,
    "Shape": lambda x, /: np.array(x.shape, np.int64),
    "Sigmoid": _sigmoid,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": np.sqrt,
    "Squeeze": lambda x, axes, /: np.squeeze(x, tuple(axes.tolist())),
    "Sub": _one_type(np.subtract),
    "Tanh": np.tanh,
    "Transpose": lambda x, /, *, perm: x.transpose(perm),
    "Unsqueeze": lambda x, axes, /: np.expand_dims(x, tuple(axes.tolist())),
    "Where": _where,
}


def last_reader(graph):
    """{name: index of the last node that reads it}, for every array that a node reads"""
    return {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}


def run(graph, given, operations=OPERATIONS):
    """Run a graph; given {name: array} -> {name: array}, its outputs

    1. values = the stored arrays and those that are given
    2. for each node, in order: outputs = operation(values of its inputs; its attributes)
    3. after a node: drop what no later node reads and nobody asked for

    Step 3 changes no result. Without it every array of every layer would stay until the end.
    """
    values, last = {**graph.arrays, **given}, last_reader(graph)
    for index, node in enumerate(graph.nodes):  # step 2
        results = operations[node.operation](*(values[name] for name in node.inputs), **node.attributes)
        values.update(zip(node.outputs, results if len(node.outputs) > 1 else [results], strict=True))
        for name in {*node.inputs, *node.outputs}:  # step 3
            if last.get(name, index) == index and name not in graph.outputs:
                del values[name]
    return {name: values[name] for name in graph.outputs}


def run_checked(graph, given):
    """`run`, where an error names the node whose operation raised it"""
    calls = []

    def counted(operation):
        def call(*inputs, **attributes):
            calls.append(operation)
            return operation(*inputs, **attributes)

        return call

    for node in graph.nodes:
        if node.operation not in OPERATIONS:
            raise ValueError(f"node {node.name}: found the operation {node.operation}, expected one of OPERATIONS")
    try:
        return run(graph, given, {name: counted(operation) for name, operation in OPERATIONS.items()})
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if not 0 < len(calls) <= len(graph.nodes):
            raise
        node = graph.nodes[len(calls) - 1]  # nodes run in the order of the graph
        raise ValueError(f"node {node.name}, {node.operation}: {error}") from error
