"""The dense layer in 8 bits, with the integers of ops/quantized_linear.py: sums are exact, whatever computes them.

    1. s = max |x| / 127                                    of each row, or given with the layer for all rows
    2. q(x) = round(x / s)                                  Round goes to the even neighbour, as NumPy's rint does
    3. y[t, o] = (sum over i of q(x)[t, i] q(W)[o, i]) s_W[o] s_x[t]

The sum is the operation MatMulInteger. It takes signed and unsigned bytes. We give it unsigned ones on both sides, with
128 added, and 128 as both zero points, which it subtracts again:

    sum over i of (a[t, i] - 128) (b[i, o] - 128),      a = q(x) + 128,  b = q(W)^T + 128

Other mixtures are wrong or slow. An x86 processor without VNNI multiplies unsigned by signed bytes with an instruction
that adds two products in 16 bits and saturates: 255 * 127 * 2 is too large. ONNX Runtime computes unsigned by unsigned
in wider steps, which are exact, and has no fast kernel there for signed by signed.
"""

import numpy as np

from ...ops.quantized_linear import LARGEST, SMALLEST

_ZERO = 128  # the byte that means 0


def _bytes(integers):
    """int8 from -127 to 127 -> uint8 from 1 to 255"""
    return (integers.astype(np.int16) + _ZERO).astype(np.uint8)


def quantized_rows(graph, x, given=None):
    """Steps 1 and 2. x [..., N] -> bytes [..., N] uint8, scales [..., 1]; made once for all layers that read x

    given: max |x| for all rows, a number; None: that of each row
    A row with a NaN or an infinity gets the scale NaN: its sum minus its sum is NaN, and 0 for any other row.
    """
    if (x, given) not in graph.shared:
        name = f"{x}.quantized" if given is None else f"{x}.quantized.{given}"
        total = graph.node("ReduceSum", [x, graph.number([-1], np.int64)], f"{name}.total", keepdims=1)
        broken = graph.node("Sub", [total, total], f"{name}.broken")
        x_or_clipped, inverse, scale = _own_scales(graph, x, name) if given is None else _given(graph, x, given, name)
        rounded = graph.node(
            "Round", [graph.node("Mul", [x_or_clipped, inverse], f"{name}.divided")], f"{name}.rounded"
        )
        shifted = graph.node("Add", [rounded, graph.number(float(_ZERO))], f"{name}.shifted")
        scale = graph.node("Add", [scale, broken], f"{name}.scale_or_nan")
        graph.shared[x, given] = graph.cast(shifted, np.uint8, f"{name}.bytes"), scale
    return graph.shared[x, given]


def _own_scales(graph, x, name):
    """x [..., N] -> x, 127 / max |x| (0 for zeros), max |x| / 127; both [..., 1]"""
    last = {"axes": [-1], "keepdims": 1}
    largest = graph.node("ReduceMax", [graph.node("Abs", [x], f"{name}.abs")], f"{name}.largest", **last)
    inverse = graph.node("Div", [graph.number(LARGEST), largest], f"{name}.quotient")
    enough = graph.node("GreaterOrEqual", [largest, graph.number(SMALLEST)], f"{name}.enough")
    inverse = graph.node("Where", [enough, inverse, graph.number(0.0)], f"{name}.inverse")
    return x, inverse, graph.node("Div", [largest, graph.number(LARGEST)], f"{name}.scale")


def _given(graph, x, given, name):
    """x [..., N] -> x between -given and given, 127 / given (0 for a tiny one), given / 127; both are numbers"""
    given = np.float32(given)
    bounds = [graph.number(-given), graph.number(given)]
    inverse = np.float32(LARGEST) / given if given >= SMALLEST else np.float32(0.0)
    clipped = graph.node("Clip", [x, *bounds], f"{name}.clipped")
    return clipped, graph.number(inverse), graph.number(given / np.float32(LARGEST))


def _product(graph, bytes_in_out, scales, given, x, name):
    """Step 3. bytes_in_out [in, out] uint8, scales [out], given: the range of x or None, x [..., in] -> y [..., out]"""
    rows, row_scales = quantized_rows(graph, x, given)
    zero = graph.number(_ZERO, np.uint8)
    sums = graph.node("MatMulInteger", [rows, bytes_in_out, zero, zero], f"{name}.integers")
    y = graph.node("Mul", [graph.cast(sums, np.float32, f"{name}.sums"), scales], f"{name}.by_output")
    return graph.node("Mul", [y, row_scales], f"{name}.product")


def quantized_product(graph, weight_name, weight, x, name):
    """y = x W^T; weight: QuantizedWeight [out, in], stored as [in, out]; x [..., in] -> y [..., out]"""
    stored = graph.array(f"{weight_name}.T", _bytes(weight.integers.T))
    return _product(graph, stored, graph.array(f"{weight_name}.scales", weight.scales), weight.input_range, x, name)


def _stored_table(graph, name, table):
    return graph.array(name, _bytes(table.integers)), graph.array(f"{name}.scales", table.scales)


def quantized_table_product(graph, table_name, table, x, name):
    """y = x table^T for a table that is also looked up in, stored once as [V, E]; x [..., E] -> y [..., V]"""
    stored, scales = _stored_table(graph, table_name, table)
    columns = graph.node("Transpose", [stored], f"{table_name}.transposed", perm=[1, 0])
    return _product(graph, columns, scales, table.input_range, x, name)


def quantized_rows_of_table(graph, table_name, table, ids):
    """y = s[ids] q[ids]; table: QuantizedWeight [V, E], ids [...] -> y [..., E]"""
    stored, scales = _stored_table(graph, table_name, table)
    rows = graph.cast(graph.node("Gather", [stored, ids], f"{table_name}.bytes"), np.float32, f"{table_name}.shifted")
    rows = graph.node("Sub", [rows, graph.number(float(_ZERO))], f"{table_name}.integers")
    scale = graph.node("Gather", [scales, ids], f"{table_name}.scale")
    scale = graph.node("Unsqueeze", [scale, graph.number([-1], np.int64)], f"{table_name}.scale_of_row")
    return graph.node("Mul", [rows, scale], f"{table_name}.rows")
