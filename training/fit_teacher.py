"""Teach the fast model by a slow one: ``python -m training.fit_teacher --data DIR``.

An n-gram model sees words, an encoder meaning. This fine-tunes a small encoder on the labels and
lets it say how probable violent incitement is in every text that may train, labeled or not. What
it says is written to ``data/labels/teacher.parquet`` (ids and logits, no text), and
``training.retrain`` learns from it beside the labels (Hinton et al. 2015, "Distilling the Knowledge
in a Neural Network").

The test part is left out of all of it: no text of it trains the teacher, and none gets a soft
label. One fold of the train part is held out to see how well the teacher does.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from hostrisk.metrics import average_precision
from training import retrain as retraining
from training import sources
from training.encoder import Encoder, batches, collate, encode, predict
from training.fit_linear import fit, folds_of, repeatable, unit_rows

__all__ = ["choose_rows", "fit_encoder", "main"]

_TEMPLATES = ("hatecheck", "hatemoji_build")


def mine(prepared: retraining.Prepared, rows: NDArray[np.int64], config: dict[str, Any]) -> Any:
    """Return what a linear model says of rows that it was not fitted on."""
    labels = prepared.rows["label"].to_numpy()
    weights = retraining.row_weights(prepared.rows, prepared.groups, config)
    folds = folds_of(prepared.groups, 2, config["seed"])
    logits = np.zeros(len(labels))
    units = unit_rows(prepared.features)
    for fold in (0, 1):
        inside = rows[folds[rows] != fold]
        model = fit(
            prepared.features[inside], labels[inside], weights[inside],
            {**config["linear"], "iterations": 60},
        )  # fmt: skip
        outside = np.flatnonzero(folds == fold)
        logits[outside] = model.logits(units[outside])
    return logits


def choose_rows(
    prepared: retraining.Prepared, rows: NDArray[np.int64], config: dict[str, Any]
) -> NDArray[np.int64]:
    """Return the rows that teach the encoder: the few that matter of the many.

    All positives, all that was read by the policy, all that was written; of other negatives those
    that a linear model finds hardest and a few at random; of templates a part.
    """
    settings = config["teacher"]
    table = prepared.rows.iloc[rows]
    rng = np.random.default_rng(config["seed"])
    drawn = rng.random(len(rows))
    read = (table["source"].str.endswith("_violence") | (table["source"] == "written")).to_numpy()
    template = table["source"].isin(_TEMPLATES).to_numpy()
    positive = (table["label"] == 1).to_numpy()
    other = ~positive & ~read & ~template
    logits = mine(prepared, rows, config)[rows]
    hard = other & (logits > np.quantile(logits[other], 1 - settings["hard_share"]))
    chosen = (
        read
        | hard
        | (positive & ~template)
        | (other & (drawn < settings["random_share"]))
        | (template & (drawn < settings["template_share"]))
    )
    return rows[chosen]


def fit_encoder(
    texts: list[str], labels: NDArray[Any], weights: NDArray[np.float64], config: dict[str, Any]
) -> Encoder:
    """Fine-tune the encoder: AdamW, warm-up and linear decay, lower layers slower."""
    settings = config["teacher"]
    torch.manual_seed(config["seed"])
    rng = np.random.default_rng(config["seed"])
    encoded = encode(texts, settings["longest"])
    smoothing = settings["label_smoothing"]
    targets = torch.tensor(labels * (1 - 2 * smoothing) + smoothing, dtype=torch.float32)
    shares = torch.tensor(weights / weights.mean(), dtype=torch.float32)
    model = Encoder()
    optimizer = torch.optim.AdamW(_parameter_groups(model, settings), weight_decay=0.01)
    steps = settings["epochs"] * len(batches(encoded, settings["batch"]))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.06 * steps), (steps - step) / (0.94 * steps), 1)
    )
    with tqdm(total=steps, desc="encoder") as bar:
        for _ in range(settings["epochs"]):
            model.train()
            for rows in batches(encoded, settings["batch"], rng):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    logits = model(*collate(encoded, rows))
                losses = functional.binary_cross_entropy_with_logits(
                    logits.float(), targets[rows], reduction="none"
                )
                loss = (losses * shares[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                bar.update()
    return model


def _parameter_groups(model: Encoder, settings: dict[str, Any]) -> list[dict[str, Any]]:
    rate, decay = settings["learning_rate"], settings["layer_decay"]
    top = len(model.layers) - 1
    groups = [
        {"params": layer.parameters(), "lr": rate * decay ** (top - at)}
        for at, layer in enumerate(model.layers)
    ]
    embeddings = (model.words, model.places, model.kinds, model.norm)
    below = [parameter for module in embeddings for parameter in module.parameters()]
    return [
        *groups,
        {"params": below, "lr": rate * decay ** (top + 1)},
        {"params": model.head.parameters(), "lr": settings["head_rate"]},
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.fit_teacher", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue")
    parser.add_argument("--out", type=Path, default=sources.TEACHER)
    parser.add_argument("--config", type=Path, default=retraining.HERE / "config.toml")
    parser.add_argument("--cache", type=Path, default=retraining.HERE.parent / ".cache")
    parser.add_argument("--save", type=Path, help="also save the encoder's weights to this file")
    given = parser.parse_args()
    config = retraining.load_config(given.config)
    prepared = retraining.prepare(given.data, config, given.cache)
    teach(prepared, config, given.out, given.save)


def teach(
    prepared: retraining.Prepared, config: dict[str, Any], out: Path, save: Path | None = None
) -> None:
    """Fit the encoder, say how well it does on the fold held out, and write its soft labels."""
    start = time.perf_counter()
    rows = prepared.rows
    labels = rows["label"].to_numpy().astype(np.float64)
    train = np.flatnonzero((prepared.splits == "train") & (labels >= 0))
    folds = folds_of(prepared.groups, config["teacher"]["folds"], config["seed"])
    with repeatable():
        chosen = choose_rows(prepared, train[folds[train] != 0], config)
    print(f"{len(chosen):,} rows teach the encoder, {int(labels[chosen].sum()):,} positive")
    weights = rows["source"].map(config["teacher"]["weights"]).fillna(1.0).to_numpy(np.float64)
    model = fit_encoder(rows["text"].iloc[chosen].tolist(), labels[chosen], weights[chosen], config)
    if save is not None:
        torch.save(model.state_dict(), save)
    told = np.flatnonzero(prepared.splits == "train")
    encoded = encode(rows["text"].iloc[told].tolist(), config["teacher"]["longest"])
    logits = np.full(len(rows), np.nan)
    logits[told] = predict(model, encoded, watch=lambda them: tqdm(them, desc="soft labels"))
    held_out = (folds == 0) & (labels >= 0) & ~np.isnan(logits)
    for name in sorted(set(rows["source"])):
        held = np.flatnonzero(held_out & (rows["source"] == name).to_numpy())
        if labels[held].sum() >= 10:
            found = average_precision(labels[held].astype(int), logits[held])
            print(f"  held out {name:<20} AP {found:.3f}, {int(labels[held].sum())} of {len(held)}")
    table = pd.DataFrame(
        {"id": rows["id"].iloc[told], "logit": np.clip(np.rint(logits[told] * 10), -127, 127)}
    )
    table.astype({"logit": "int8"}).to_parquet(out, index=False, compression="zstd")
    print(f"{len(told):,} soft labels in {out}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
