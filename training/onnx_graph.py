"""Write a fine-tuned MiniLM as an ONNX graph with int8 weights, node by node.

Matrices have seven bits and one scale a column, which no processor's 8-bit multiply-add can
overflow; activations are quantized as they come (dynamic quantization). The table of word pieces
has int8 rows with a scale each, and only the pieces that are kept. Attention, GELU and layer
normalization are the fused operators of ONNX Runtime. Jacob et al. 2018, "Quantization and Training
of Neural Networks for Efficient Integer-Arithmetic-Only Inference".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["trim_pieces", "write_graph"]

Floats = NDArray[np.float32]
_MOST = 63  # of a weight: seven bits
_EPSILON = 1e-12
_LEAST_SEEN = 3  # times that a word piece occurs, to be kept
_FUSED = "com.microsoft"


class _Graph:
    """Nodes and constants of a graph being written."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, domain: str = "", **more: Any) -> str:
        node = helper.make_node(kind, inputs, [output], name=output, domain=domain, **more)
        self.nodes.append(node)
        return output

    def dense(self, given: str, weight: Floats, bias: Floats, name: str) -> str:
        """Add ``given @ weight + bias``, the weight of shape (inputs, outputs) in int8."""
        scale = np.maximum(np.abs(weight).max(0), 1e-12) / _MOST
        rounded = np.rint(weight / scale).astype(np.int8)
        inputs = [
            given,
            self.constant(f"{name}.weight", rounded),
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            "",
            self.constant(f"{name}.bias", bias.astype(np.float32)),
        ]
        return self.add("DynamicQuantizeMatMul", inputs, name, _FUSED)

    def norm(self, given: str, gain: Floats, shift: Floats, name: str) -> str:
        """Add layer normalization."""
        inputs = [
            given, self.constant(f"{name}.gain", gain), self.constant(f"{name}.shift", shift)
        ]  # fmt: skip
        return self.add("LayerNormalization", inputs, name, axis=-1, epsilon=_EPSILON)


def write_graph(
    weights: Mapping[str, Floats], kept: NDArray[np.int64], *, longest: int, heads: int
) -> bytes:
    """Return an ONNX model: ``ids`` of shape (1, length) to ``logits`` of shape (1, columns).

    One text at a time: activations are quantized by the range of all that is in a batch, so a
    text's score would change with its neighbors; on a processor a batch gains next to nothing.

    :param weights: of ``training.encoder.Encoder`` with a BERT body, by their names.
    :param kept: the word pieces to keep, in the order of their new numbers.
    :param longest: most word pieces a text may have.
    :param heads: attention heads of a layer.
    """
    graph = _Graph()
    states = _embed(graph, weights, kept, longest)
    layer = 0
    while f"body.encoder.layer.{layer}.output.dense.weight" in weights:
        states = _layer(graph, weights, states, layer, heads)
        layer += 1
    _pool(graph, weights, states)
    columns = len(weights["head.bias"])
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "encoder",
            [helper.make_tensor_value_info("ids", TensorProto.INT32, [1, "length"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, columns])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(_FUSED, 1)],
        ir_version=8,
        producer_name="hostrisk",
    )
    onnx.checker.check_model(model)
    encoded: bytes = model.SerializeToString(deterministic=True)
    return encoded


def trim_pieces(data: bytes, encoded: Sequence[Sequence[int]]) -> tuple[bytes, NDArray[np.int64]]:
    """Return the tokenizer with only the word pieces that occur, and their former numbers.

    Single characters and the special pieces stay, so that every word can still be spelled.
    """
    tokenizer = json.loads(data)
    vocabulary = tokenizer["model"]["vocab"]
    seen = Counter(piece for ids in encoded for piece in ids)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    kept = sorted(
        number
        for word, number in vocabulary.items()
        if seen[number] >= _LEAST_SEEN or len(word.removeprefix("##")) == 1 or word in special
    )
    numbers = {former: number for number, former in enumerate(kept)}
    tokenizer["model"]["vocab"] = {
        word: numbers[former]
        for word, former in sorted(vocabulary.items(), key=lambda pair: pair[1])
        if former in numbers
    }
    for token in tokenizer["added_tokens"]:
        token["id"] = numbers[token["id"]]
    for token in tokenizer["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [numbers[former] for former in token["ids"]]
    tokenizer["padding"] = tokenizer["truncation"] = None
    return json.dumps(tokenizer, ensure_ascii=False).encode(), np.array(kept)


def _embed(
    graph: _Graph, weights: Mapping[str, Floats], kept: NDArray[np.int64], longest: int
) -> str:
    prefix = "body.embeddings"
    table = weights[f"{prefix}.word_embeddings.weight"][kept]
    scale = np.maximum(np.abs(table).max(1, keepdims=True), 1e-12) / 127
    graph.constant("pieces", np.rint(table / scale).astype(np.int8))
    graph.constant("pieces.scale", scale.astype(np.float32))
    places = weights[f"{prefix}.position_embeddings.weight"][:longest]
    kind = weights[f"{prefix}.token_type_embeddings.weight"][0]
    graph.constant("places", places + kind)
    graph.add("Gather", ["pieces", "ids"], "found", axis=0)
    graph.add("Cast", ["found"], "found.float", to=TensorProto.FLOAT)
    graph.add("Gather", ["pieces.scale", "ids"], "found.scale", axis=0)
    graph.add("Mul", ["found.float", "found.scale"], "words")
    graph.add("Shape", ["ids"], "length", start=1, end=2)
    graph.constant("zero", np.array([0], dtype=np.int64))
    graph.add("Slice", ["places", "zero", "length", "zero"], "here")
    graph.add("Add", ["words", "here"], "placed")
    gain, shift = weights[f"{prefix}.LayerNorm.weight"], weights[f"{prefix}.LayerNorm.bias"]
    return graph.norm("placed", gain, shift, "embedded")


def _layer(
    graph: _Graph, weights: Mapping[str, Floats], states: str, layer: int, heads: int
) -> str:
    prefix, name = f"body.encoder.layer.{layer}", f"layer{layer}"

    def dense(given: str, parts: list[str], output: str) -> str:
        weight = np.concatenate([weights[f"{prefix}.{part}.weight"] for part in parts]).T
        bias = np.concatenate([weights[f"{prefix}.{part}.bias"] for part in parts])
        return graph.dense(given, weight, bias, f"{name}.{output}")

    def norm(given: str, part: str, skip: str, output: str) -> str:
        # Not the fused operator of both, which takes eight times as long.
        both = graph.add("Add", [given, skip], f"{name}.{output}.sum")
        gain, shift = weights[f"{prefix}.{part}.weight"], weights[f"{prefix}.{part}.bias"]
        return graph.norm(both, gain, shift, f"{name}.{output}")

    parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
    packed = dense(states, parts, "packed")
    split = [f"{name}.{part}" for part in ("query", "key", "value")]
    graph.nodes.append(helper.make_node("Split", [packed], split, name=f"{name}.split", axis=2))
    mixed = graph.add("MultiHeadAttention", split, f"{name}.mixed", _FUSED, num_heads=heads)
    out = dense(mixed, ["attention.output.dense"], "out")
    states = norm(out, "attention.output.LayerNorm", states, "attended")
    inner = dense(states, ["intermediate.dense"], "inner")
    inner = graph.add("Gelu", [inner], f"{name}.gelu", _FUSED)
    outer = dense(inner, ["output.dense"], "outer")
    return norm(outer, "output.LayerNorm", states, "states")


def _pool(graph: _Graph, weights: Mapping[str, Floats], states: str) -> None:
    """Add the mean over word pieces and the heads."""
    graph.add("ReduceMean", [states], "pooled", axes=[1], keepdims=0)
    graph.constant("head.weight", weights["head.weight"].T.astype(np.float32))
    graph.constant("head.bias", weights["head.bias"].astype(np.float32))
    graph.add("MatMul", ["pooled", "head.weight"], "raw")
    graph.add("Add", ["raw", "head.bias"], "logits")
