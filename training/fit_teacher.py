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

import joblib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from hostrisk.metrics import average_precision
from training import retrain as retraining
from training import sources
from training.augment import augment
from training.encoder import WordPieces, average, open_pretrained, predict
from training.fine_tune import Examples, encode_examples, fine_tune, head_labels
from training.fit_linear import fit, folds_of, repeatable, unit_rows

__all__ = ["choose_rows", "main", "report_held_out", "tell", "tell_some", "tune"]

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
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    parser.add_argument("--steps", choices=("all", "tune", "tell"), default="all",
                        help="tune: only fine-tune, and keep the weights in the cache; "
                             "tell: only the rest, from weights kept there")  # fmt: skip
    given = parser.parse_args()
    config = retraining.load_config(given.config)
    prepared = retraining.prepare(given.data, config, given.cache)
    kept = given.cache / "teacher.pt"
    if given.steps != "tell":
        torch.set_num_threads(given.jobs)
        tune(prepared, config, given.cache, kept)
    if given.steps != "tune":
        ids, logits = tell(prepared, config, given.cache, kept, given.jobs)
        sources.write_told(ids, logits, given.out, small=False)


def tune(prepared: retraining.Prepared, config: Mapping[str, Any], cache: Path, kept: Path) -> None:
    """Fine-tune the teacher, say how well it does on the fold held out, and keep its weights."""
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
    torch.save(model.state_dict(), kept)
    found = np.full(len(rows), np.nan)
    found[held] = predict(model, take(held).pieces).main
    report_held_out(rows, labels, found, held)


def tell(
    prepared: retraining.Prepared, config: Mapping[str, Any], cache: Path, kept: Path, jobs: int
) -> tuple[list[str], NDArray[np.float64]]:
    """Return ids and logits of the texts chosen and of their variants."""
    start = time.perf_counter()
    texts = _told(prepared, config)
    parts = [texts.iloc[number::jobs] for number in range(jobs)]
    done = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(tell_some)(part["text"].tolist(), config["teacher"], cache, [kept])
        for part in parts
    )
    print(f"{len(texts):,} soft labels, {time.perf_counter() - start:.0f} s")
    return pd.concat(parts)["id"].tolist(), np.concatenate(done)


def tell_some(
    texts: list[str], settings: Mapping[str, Any], cache: Path, kept: list[Path]
) -> NDArray[np.float64]:
    """Return what an encoder, or the average of several, says of texts, on one core."""
    torch.set_num_threads(1)
    folder = open_pretrained(settings["body"], cache)
    encoded = encode_examples(texts, WordPieces(folder), settings["longest"])
    logits: NDArray[np.float64] = predict(
        average(folder, kept),
        encoded,
        watch=lambda them: tqdm(them, desc="soft labels", mininterval=30),
    ).main
    return logits


def _told(prepared: retraining.Prepared, config: Mapping[str, Any]) -> pd.DataFrame:
    """Return the texts that get soft labels.

    All that was read or written, the most violent-looking, some others; and variants of what is
    violent or looks most so.
    """
    settings = config["teacher"]
    labels = prepared.rows["label"].to_numpy()
    with repeatable():
        logits = mine(
            prepared, np.flatnonzero((prepared.splits == "train") & (labels >= 0)), config
        )
    rows = np.flatnonzero(prepared.splits == "train")
    drawn = np.random.default_rng(config["seed"] + 1).random(len(rows))
    source = prepared.rows["source"].iloc[rows]
    read = (source.str.endswith("_violence") | (source == "written")).to_numpy()
    rank = pd.Series(logits[rows]).rank(pct=True, ascending=False).to_numpy()
    chosen = (
        read
        | (labels[rows] == 1)
        | (rank < settings["told_share"])
        | (drawn < settings["told_random_share"])
    )
    template = source.isin(_TEMPLATES).to_numpy()
    varied = ~template & ((labels[rows] == 1) | (rank < settings["varied_share"]))
    own = prepared.rows.iloc[rows[chosen]][["id", "text"]]
    calm = sources.calm_texts(prepared.rows.iloc[rows])
    return pd.concat([own, augment(prepared.rows.iloc[rows[varied]], calm)], ignore_index=True)


if __name__ == "__main__":
    main()
