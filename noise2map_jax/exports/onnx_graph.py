"""An ONNX graph while it is written: nodes, constants and names.

Operators are those of opset 18. Versions of file and operators are as old as the network allows,
because onnxruntime 1.17, which QGIS's Deepness uses, reads nothing newer.
"""

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9


@dataclasses.dataclass(frozen=True)
class Image:
    """A value of the graph: images [B, C, H, W] float32."""

    name: str
    channels: int
    height: int
    width: int


class Graph:
    """Collects the nodes and constants of a graph in the order in which they are computed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output.

        Args:
            operator: name of the operator.
            inputs: names of values and constants; "" = an optional input that is left out.
            output: name of the output; "" = that of the node.
            attributes: attributes of the operator.

        Returns:
            The name of the node's output.
        """
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output or name], name, **attributes))
        return output or name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant; equal constants are stored once."""
        array = np.ascontiguousarray(values, dtype)
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(array, name)
        return self._constants[key].name

    def model(self, source: Image, result: Image, **fields: Any) -> onnx.ModelProto:
        """Return the graph as a model with any batch size.

        Args:
            source: its input.
            result: its output.
            fields: fields of the model, such as `producer_name`.
        """

        def declared(image: Image) -> onnx.ValueInfoProto:
            shape: list[Any] = ["batch", image.channels, image.height, image.width]
            return helper.make_tensor_value_info(image.name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            self.nodes,
            "noise2map",
            [declared(source)],
            [declared(result)],
            initializer=list(self._constants.values()),
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            **fields,
        )
