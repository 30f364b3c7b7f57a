"""A Graph as a ModelProto, the content of a file in the ONNX format."""

import numpy as np

from ...support.extras import require

# Opset 17 is what every runtime of the last years reads. The version of the file format is older than 17 needs, because
# a newer one is refused by older runtimes.
OPSET, IR_VERSION = 17, 8


def as_model(graph, name):
    """Graph -> ModelProto, checked. ValueError if the extra is not installed."""
    onnx = require("onnx", "interop")
    helper = onnx.helper

    def number_of(dtype):
        return helper.np_dtype_to_tensor_dtype(dtype)

    def described(arrays):
        return [
            helper.make_tensor_value_info(key, number_of(array.dtype), array.shape) for key, array in arrays.items()
        ]

    def written(node):
        attributes = {key: number_of(value) if isinstance(value, np.dtype) else value
                      for key, value in node.attributes.items()}  # fmt: skip
        return helper.make_node(node.operation, node.inputs, node.outputs, node.name, **attributes)

    stored = [onnx.numpy_helper.from_array(np.asarray(array, order="C"), key) for key, array in graph.arrays.items()]
    nodes = [written(node) for node in graph.nodes]
    proto = helper.make_graph(nodes, name, described(graph.inputs), described(graph.outputs), stored)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, opset_imports=opset, ir_version=IR_VERSION, producer_name="minimobilebert")
    onnx.checker.check_model(model, full_check=True)
    return model
