"""Fine-tune a pre-trained encoder on labels, hard or soft: what teacher and encoder share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

import hostrisk
from hostrisk.normalize import fold
from training.encoder import HEADS, Encoder, WordPieces, average, batches, collate, predict

__all__ = ["Examples", "encode_examples", "fine_tune", "head_labels"]

Floats = NDArray[np.float64]
_WINDOW, _STRIDE = 80, 40  # words


class Examples(NamedTuple):
    """What an encoder learns from: word pieces, probabilities to learn, weights, head labels.

    ``heads`` has shape (texts, heads): 1, 0, or NaN where nothing is known.
    """

    pieces: list[list[int]]
    targets: Floats
    weights: Floats
    heads: Floats

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Return some of the examples."""
        pieces = [self.pieces[row] for row in rows]
        return Examples(pieces, self.targets[rows], self.weights[rows], self.heads[rows])

    def join(self, other: Examples) -> Examples:
        """Return both."""
        return Examples(
            self.pieces + other.pieces,
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.heads, other.heads]),
        )


def head_labels(
    labels: NDArray[Any], kinds: Sequence[str | None], targets: Sequence[frozenset[str]]
) -> Floats:
    """Return what positive rows say of kind and targets, one column a head, NaN where nothing."""
    found = np.full((len(labels), len(HEADS)), np.nan)
    for row in np.flatnonzero(labels == 1):
        for column, name in enumerate(HEADS):
            is_kind = column < 4
            if is_kind and kinds[row] is not None:
                found[row, column] = name == kinds[row]
            elif not is_kind and targets[row]:
                found[row, column] = name in targets[row]
    return found


def encode_examples(texts: Sequence[str], pieces: WordPieces, longest: int) -> list[list[int]]:
    """Return the word pieces of texts; of a long one the stretch that the fast model ranks highest.

    Violence in a long post stands in one place, which its label does not tell.
    """
    fast = hostrisk.load()
    starts = []
    for text in texts:
        tokens = fold(text) if len(text) > 3 * longest else []
        last = max(len(tokens) - _WINDOW, 0)
        firsts = [*range(0, last, _STRIDE), last]
        if len(firsts) == 1:
            starts.append(0.0)
            continue
        windows = [tokens[first : first + _WINDOW] for first in firsts]
        scores = fast.score([text[window[0].start : window[-1].end] for window in windows])
        starts.append(firsts[int(np.argmax(scores))] / last)
    return pieces.encode(texts, longest, starts)


def fine_tune(
    folder: Path,
    train: Examples,
    held: Examples,
    settings: Mapping[str, Any],
    *,
    seed: int,
    judge: Callable[[Floats], float],
    start: Path | None = None,
) -> Encoder:
    """Fine-tune an encoder and return it as it was after its best epoch.

    AdamW, warm-up and linear decay, lower layers slower (Howard & Ruder 2018) or not at all.

    :param judge: says how good logits of the examples held out are; the highest wins.
    :param start: weights to begin with, those of the pre-trained encoder if None.
    """
    torch.manual_seed(0)  # all begin with the same heads, so that their weights can be averaged
    model = Encoder(folder) if start is None else average(folder, [start])
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(_parameter_groups(model, settings), weight_decay=0.01, fused=True)
    steps = settings["epochs"] * len(batches(train.pieces, settings["batch"]))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.06 * steps), (steps - step) / (0.94 * steps), 1)
    )
    best, kept = -1.0, copy.deepcopy(model.state_dict())
    with tqdm(total=steps, desc=f"seed {seed}", mininterval=10) as bar:
        for epoch in range(settings["epochs"]):
            model.train()
            for rows in batches(train.pieces, settings["batch"], rng):
                loss = _loss(model, train, rows, settings)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                bar.update()
            found = judge(predict(model, held.pieces).main)
            tqdm.write(f"seed {seed}, epoch {epoch + 1}: {found:.4f} on what is held out")
            if found > best:
                best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model


def _loss(
    model: Encoder, examples: Examples, rows: Sequence[int], settings: Mapping[str, Any]
) -> Tensor:
    """Return the mean loss of a batch: cross-entropy of the score, and a share of the heads'."""
    smoothing = settings["label_smoothing"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(*collate(examples.pieces, rows, model.padding))
    targets = torch.tensor(examples.targets[rows], dtype=torch.float32)
    targets = targets * (1 - 2 * smoothing) + smoothing
    weights = torch.tensor(examples.weights[rows], dtype=torch.float32)
    losses = functional.binary_cross_entropy_with_logits(
        found.main.float(), targets, reduction="none"
    )
    loss = (losses * weights).mean()
    heads = torch.tensor(examples.heads[rows], dtype=torch.float32)
    known = ~heads.isnan()
    if known.any():
        beside = functional.binary_cross_entropy_with_logits(
            found.heads.float()[known], heads[known], reduction="sum"
        )
        loss = loss + settings["heads_weight"] * beside / len(rows)
    return loss


def _parameter_groups(model: Encoder, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    rate, decay, layers = settings["learning_rate"], settings["layer_decay"], model.layers
    groups = []
    for at, layer in enumerate(layers):
        if at < settings["frozen_layers"]:
            layer.requires_grad_(requires_grad=False)
        else:
            groups.append(
                {"params": list(layer.parameters()), "lr": rate * decay ** (len(layers) - 1 - at)}
            )
    own = {id(parameter) for layer in layers for parameter in layer.parameters()}
    own |= {id(parameter) for parameter in model.head.parameters()}
    below = [parameter for parameter in model.parameters() if id(parameter) not in own]
    if settings["frozen_layers"]:
        for parameter in below:
            parameter.requires_grad = False
    else:
        groups.append({"params": below, "lr": rate * decay ** len(layers)})
    return [*groups, {"params": list(model.head.parameters()), "lr": settings["head_rate"]}]
