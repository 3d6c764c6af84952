"""The int8 graph computes BERT: against a plain NumPy transformer with the same weights."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

onnx_graph = pytest.importorskip("training.onnx_graph", reason="needs onnx: hostrisk[teach]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: hostrisk[accurate]")

WIDTH, INNER, HEADS, LAYERS, PIECES, COLUMNS, LONGEST = 48, 96, 4, 2, 60, 5, 16


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def some(*shape: int, scale: float = 0.3) -> Any:
        return rng.normal(0, scale, shape).astype(np.float32)

    found = {
        "body.embeddings.word_embeddings.weight": some(PIECES, WIDTH, scale=1),
        "body.embeddings.position_embeddings.weight": some(32, WIDTH),
        "body.embeddings.token_type_embeddings.weight": some(2, WIDTH),
        "head.weight": some(COLUMNS, WIDTH),
        "head.bias": some(COLUMNS),
    }

    def norm(name: str) -> None:
        found[f"{name}.weight"] = 1 + some(WIDTH, scale=0.1)
        found[f"{name}.bias"] = some(WIDTH, scale=0.1)

    norm("body.embeddings.LayerNorm")
    for layer in range(LAYERS):
        prefix = f"body.encoder.layer.{layer}"
        shapes = {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }
        for name, shape in shapes.items():
            found[f"{prefix}.{name}.weight"] = some(*shape, scale=0.2)
            found[f"{prefix}.{name}.bias"] = some(shape[0])
        norm(f"{prefix}.attention.output.LayerNorm")
        norm(f"{prefix}.output.LayerNorm")
    return found


def bert(weights: dict[str, Any], ids: list[int]) -> Any:
    """Compute the logits of one text in float, from the paper."""

    def norm(x: Any, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    e = "body.embeddings"
    x = (
        weights[f"{e}.word_embeddings.weight"][ids]
        + weights[f"{e}.token_type_embeddings.weight"][0]
    )
    x = norm(x + weights[f"{e}.position_embeddings.weight"][: len(ids)], f"{e}.LayerNorm")
    for layer in range(LAYERS):
        p = f"body.encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{p}.attention.self.{part}").reshape(len(ids), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        shares = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(WIDTH // HEADS))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).swapaxes(0, 1).reshape(len(ids), WIDTH)
        x = norm(x + dense(mixed, f"{p}.attention.output.dense"), f"{p}.attention.output.LayerNorm")
        inner = dense(x, f"{p}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + dense(inner, f"{p}.output.dense"), f"{p}.output.LayerNorm")
    return dense(x.mean(0), "head")


def run(graph: bytes, ids: list[int]) -> Any:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": np.array([ids], dtype=np.int32)})[0][0]


def test_graph_is_bert_but_for_rounding(weights: dict[str, Any]) -> None:
    graph = onnx_graph.write_graph(weights, np.arange(PIECES), longest=LONGEST, heads=HEADS)
    rng = np.random.default_rng(1)
    exact, rounded = [], []
    for length in (1, 2, 7, LONGEST):
        ids = rng.integers(0, PIECES, length).tolist()
        exact.append(bert(weights, ids))
        rounded.append(run(graph, ids))
    assert np.abs(np.array(exact) - rounded).max() < 0.25
    assert np.corrcoef(np.ravel(exact), np.ravel(rounded))[0, 1] > 0.995


def test_kept_pieces_have_new_numbers(weights: dict[str, Any]) -> None:
    kept = np.array([3, 5, 8, 40])
    whole = onnx_graph.write_graph(weights, np.arange(PIECES), longest=LONGEST, heads=HEADS)
    trimmed = onnx_graph.write_graph(weights, kept, longest=LONGEST, heads=HEADS)
    assert len(trimmed) < len(whole)
    assert run(trimmed, [3, 1, 0]) == pytest.approx(run(whole, [40, 5, 3]), abs=1e-6)


def test_only_pieces_that_occur_are_kept() -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "kill", "##ing", "rare"]
    tokenizer = {
        "model": {"vocab": {word: number for number, word in enumerate(vocabulary)}},
        "added_tokens": [{"id": number, "content": vocabulary[number]} for number in range(4)],
        "post_processor": {"special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [3]}}},
        "padding": {"length": 128},
        "truncation": {"max_length": 128},
    }
    encoded = [[2, 6, 7, 3]] * 3 + [[2, 8, 3]] * 2
    trimmed, kept = onnx_graph.trim_pieces(json.dumps(tokenizer).encode(), encoded)
    found = json.loads(trimmed)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert list(found["model"]["vocab"]) == vocabulary[:-1]
    assert found["post_processor"]["special_tokens"]["[SEP]"]["ids"] == [3]
    assert found["padding"] is found["truncation"] is None


def test_same_weights_same_bytes(weights: dict[str, Any]) -> None:
    first, second = (
        onnx_graph.write_graph(weights, np.arange(PIECES), longest=LONGEST, heads=HEADS)
        for _ in range(2)
    )
    assert first == second
