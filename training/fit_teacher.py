"""Teach the small models by a large one: ``python -m training.fit_teacher --data DIR``.

An n-gram model sees words and a small encoder little more than it was shown. This fine-tunes a
larger encoder on the labels and lets it say how probable violent incitement is in the texts that
may train, labeled or not. What it says is written to ``data/labels/teacher.parquet`` (ids and
logits, no text); ``training.retrain`` and ``training.fit_encoder`` learn from it beside the labels
(Hinton et al. 2015, "Distilling the Knowledge in a Neural Network").

The test part is left out of all of it: no text of it trains the teacher, and none gets a soft
label. One fold of the train part is held out to see how well the teacher does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from hostrisk.metrics import average_precision
from training import retrain as retraining
from training import sources
from training.encoder import WordPieces, open_pretrained, predict
from training.fine_tune import Examples, encode_examples, fine_tune, head_labels
from training.fit_linear import fit, folds_of, repeatable, unit_rows

__all__ = ["choose_rows", "main", "report_held_out", "teach"]

_TEMPLATES = ("hatecheck", "hatemoji_build", "hatemoji_check")


def mine(
    prepared: retraining.Prepared, rows: NDArray[np.int64], config: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Return what a linear model says of rows that it was not fitted on."""
    labels = prepared.rows["label"].to_numpy()
    weights = retraining.row_weights(prepared.rows, prepared.groups, config)
    folds = folds_of(prepared.groups, 2, config["seed"])
    logits = np.zeros(len(labels))
    units = unit_rows(prepared.features)
    for number in (0, 1):
        inside = rows[folds[rows] != number]
        model = fit(
            prepared.features[inside], labels[inside], weights[inside],
            {**config["linear"], "iterations": 60},
        )  # fmt: skip
        outside = np.flatnonzero(folds == number)
        logits[outside] = model.logits(units[outside])
    return logits


def choose_rows(
    prepared: retraining.Prepared,
    rows: NDArray[np.int64],
    logits: NDArray[np.float64],
    settings: Mapping[str, Any],
    seed: int,
) -> NDArray[np.int64]:
    """Return the rows that teach an encoder: the few that matter of the many.

    All positives, all that was read by the policy, all that was written; of other negatives those
    that a linear model finds hardest and a few at random; of templates a part.
    """
    table = prepared.rows.iloc[rows]
    drawn = np.random.default_rng(seed).random(len(rows))
    read = (
        table["source"].str.endswith("_violence")
        | (table["source"] == "written")
        | table["id"].isin(sources.read_readings()["id"])
    ).to_numpy()
    template = table["source"].isin(_TEMPLATES).to_numpy()
    positive = (table["label"] == 1).to_numpy()
    other = ~positive & ~read & ~template
    hard = other & (logits[rows] > np.quantile(logits[rows][other], 1 - settings["hard_share"]))
    chosen = (
        read
        | hard
        | (positive & ~template)
        | (other & (drawn < settings["random_share"]))
        | (template & (drawn < settings["template_share"]))
    )
    return rows[chosen]


def report_held_out(
    rows: pd.DataFrame, labels: NDArray[Any], logits: NDArray[np.float64], held: NDArray[np.int64]
) -> dict[str, Any]:
    """Print and return the average precision of each source on the rows held out."""
    found = {}
    for name in sorted(set(rows["source"])):
        at = held[(rows["source"].to_numpy()[held] == name)]
        positives = int((labels[at] == 1).sum())
        if positives >= 10:
            value = average_precision(labels[at].astype(int), logits[at])
            found[name] = round(value, 4)
            print(f"  held out {name:<20} AP {value:.3f}, {positives} of {len(at)}", flush=True)
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.fit_teacher", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue")
    parser.add_argument("--out", type=Path, default=sources.TEACHER)
    parser.add_argument("--config", type=Path, default=retraining.HERE / "config.toml")
    parser.add_argument("--cache", type=Path, default=retraining.HERE.parent / ".cache")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", type=Path, help="also save the encoder's weights to this file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = retraining.load_config(given.config)
    prepared = retraining.prepare(given.data, config, given.cache)
    teach(prepared, config, given.out, given.cache, given.save)


def teach(
    prepared: retraining.Prepared,
    config: Mapping[str, Any],
    out: Path,
    cache: Path,
    save: Path | None = None,
) -> None:
    """Fit the encoder, say how well it does on the fold held out, and write its soft labels."""
    start = time.perf_counter()
    settings, rows = config["teacher"], prepared.rows
    labels = rows["label"].to_numpy()
    train = np.flatnonzero((prepared.splits == "train") & (labels >= 0))
    folds = folds_of(prepared.groups, settings["folds"], config["seed"])
    inside = train[folds[train] != 0]
    with repeatable():
        logits = mine(prepared, inside, config)
    chosen = choose_rows(prepared, inside, logits, settings, config["seed"])
    read = rows["source"].str.endswith("_violence").to_numpy()
    held = train[(folds[train] == 0) & read[train]]
    print(f"{len(chosen):,} rows teach, {int(labels[chosen].sum()):,} positive", flush=True)
    folder = open_pretrained(settings["body"], cache)
    pieces = WordPieces(folder)
    weights = rows["source"].map(settings["weights"]).fillna(1.0).to_numpy(np.float64)
    heads = head_labels(labels, rows["kind"].tolist(), rows["targets"].tolist())

    def take(at: NDArray[np.int64]) -> Examples:
        encoded = encode_examples(rows["text"].iloc[at].tolist(), pieces, settings["longest"])
        return Examples(encoded, labels[at].astype(np.float64), weights[at], heads[at])

    model = fine_tune(
        folder, take(chosen), take(held), settings, seed=config["seed"],
        judge=lambda found: average_precision(labels[held], found),
    )  # fmt: skip
    if save is not None:
        torch.save(model.state_dict(), save)
    told = _told(prepared, labels, logits, settings, config["seed"])
    encoded = encode_examples(rows["text"].iloc[told].tolist(), pieces, settings["longest"])
    soft = np.full(len(rows), np.nan)
    soft[told] = predict(
        model, encoded, watch=lambda them: tqdm(them, desc="soft labels", mininterval=10)
    ).main
    seen = told[(folds[told] == 0) & (labels[told] >= 0)]
    report_held_out(rows, labels, soft, seen)
    table = pd.DataFrame(
        {"id": rows["id"].iloc[told], "logit": np.clip(np.rint(soft[told] * 10), -127, 127)}
    )
    table.astype({"logit": "int8"}).to_parquet(out, index=False, compression="zstd")
    print(f"{len(told):,} soft labels in {out}, {time.perf_counter() - start:.0f} s")


def _told(
    prepared: retraining.Prepared,
    labels: NDArray[Any],
    logits: NDArray[np.float64],
    settings: Mapping[str, Any],
    seed: int,
) -> NDArray[np.int64]:
    """Return the texts that get soft labels: all read, the most violent-looking, some others."""
    rows = np.flatnonzero(prepared.splits == "train")
    table = prepared.rows.iloc[rows]
    drawn = np.random.default_rng(seed + 1).random(len(rows))
    read = (table["source"].str.endswith("_violence") | (table["source"] == "written")).to_numpy()
    looks = logits[rows] > np.quantile(logits[rows], 1 - settings["told_share"])
    return rows[read | (labels[rows] == 1) | looks | (drawn < settings["told_random_share"])]


if __name__ == "__main__":
    main()
