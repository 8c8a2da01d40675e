"""A small builder of ONNX graphs: values are names, constants are made where they are used."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from descend.errors import InputError

OPSET = 20
"""The first with Gelu; ONNX Runtime reads it from 1.17 on."""
ML_OPSET = 4
IR_VERSION = 9


@final
class Graph:
    """Nodes in the order they are added, each with one output.

    Raises:
        InputError: the onnx package is not installed.
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError:
            raise InputError(
                "Writing ONNX needs the onnx package. Type: pip install onnx onnxruntime"
            ) from None
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, Any] = {}

    def input(self, name: str, kind: str) -> str:
        """An input `[N, 1]` of `double`, `int64` or `string`."""
        element = getattr(self._onnx.TensorProto, kind.upper())
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, element, ["N", 1]))
        return name

    def output(self, value: str, name: str, kind: str, shape: list[Any]) -> None:
        """Give a value to the outside, under another name where a column has that one."""
        while any(one.name == name for one in self._inputs):
            name += "_"
        element = getattr(self._onnx.TensorProto, kind.upper())
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, element, shape))

    def constant(self, values: Any, dtype: Any) -> str:
        """A constant, stored once."""
        array = np.asarray(values, dtype)
        if array.dtype.kind in "OU":
            array = array.astype(object)
        name = f"descend/constant/{len(self._constants)}"
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def add(
        self, operator: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any
    ) -> str:
        """The first of an operator's outputs."""
        name = f"descend/value/{len(self._nodes)}"
        others = [f"{name}/{place}" for place in range(1, outputs)]
        self._nodes.append(
            self._onnx.helper.make_node(
                operator, list(inputs), [name, *others], domain=domain, **attributes
            )
        )
        return name

    def cast(self, value: str, kind: str) -> str:
        """The value as `float`, `double` or `int64`."""
        return self.add("Cast", value, to=getattr(self._onnx.TensorProto, kind.upper()))

    def codes(self, value: str, known: dict[Any, int], kind: str) -> str:
        """The code of each string or double; 0 for one that is not known."""
        keys = list(known)
        key_type: Any = object if kind == "string" else np.float64
        tensor = self._onnx.numpy_helper.from_array
        return self.add(
            "LabelEncoder",
            value,
            domain="ai.onnx.ml",
            keys_tensor=tensor(np.asarray(keys, key_type), "keys"),
            values_tensor=tensor(np.asarray([known[key] for key in keys], np.int64), "values"),
            default_tensor=tensor(np.asarray([0], np.int64), "default"),
        )

    def bytes(self, name: str, description: str) -> bytes:
        """The checked model file."""
        helper, onnx = self._onnx.helper, self._onnx
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            producer_name="descend",
            doc_string=description,
            ir_version=IR_VERSION,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", ML_OPSET),
            ],
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def add_activation(graph: Graph, activation: str, values: str) -> str:
    """The values through an activation function."""
    if activation == "gelu":
        return graph.add("Gelu", values, approximate="tanh")
    return graph.add({"relu": "Relu", "tanh": "Tanh"}[activation], values)
