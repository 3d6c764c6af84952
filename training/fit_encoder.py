"""Train the accurate tier: ``python -m training.fit_encoder --data DIR --out DIR``.

1. prepare   rows, groups and splits, as training.retrain does
2. fine-tune one small encoder a seed, each without one fold of the train part, on labels and the
             teacher's soft labels
3. average   their weights (Wortsman et al. 2022, "Model soups")
4. write     the graph with int8 weights and the word pieces that occur, checked against torch
5. mix       with the fast model and calibrate, on what each encoder has not seen
6. choose    thresholds, and the band of fast scores that the cascade sends to the encoder
7. evaluate  on the test part, the case suite and attacks; export with the card
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from hostrisk.artifact import ACCURATE, Artifact, bundled_path, load_artifact
from hostrisk.calibration import LEAST_POSITIVES, choose_thresholds
from hostrisk.encoder import Graph
from hostrisk.metrics import average_precision
from hostrisk.policy import KINDS
from training import retrain as retraining
from training import sources
from training.augment import naming_camps, trick
from training.calibrate import choose_band, fit_mix
from training.encoder import HEADS, Encoder, Output, WordPieces, average, open_pretrained, predict
from training.evaluate import evaluation_sets
from training.export import export_encoder
from training.fine_tune import Examples, encode_examples, fine_tune, head_labels
from training.fit_linear import folds_of, repeatable
from training.fit_teacher import choose_rows, mine, report_held_out, tell_some
from training.heads import measure_head
from training.onnx_graph import trim_pieces, write_graph

__all__ = ["Held", "build", "main"]

Floats = NDArray[np.float64]
_ATTENTION_HEADS = 12
_OF_FAST = ("main", "calibration", "heads", "thresholds", "language")  # parts of its manifest
_CHECKED = 1000
_SHORTEST = 128  # word pieces of texts that are one window
_STRIDE = 96
_LEAST_SHOWN = 5  # positives of a set, for its average precision to be told


class Held(NamedTuple):
    """Rows that their encoder has not seen, and what it and the fast model say of them.

    ``judged`` marks those of natural sources; the others are positives for the heads.
    """

    rows: NDArray[np.int64]
    judged: NDArray[np.bool_]
    output: Output
    fast: Floats

    def take(self, mask: NDArray[np.bool_]) -> Held:
        """Return some of the rows."""
        output = Output(self.output.main[mask], self.output.heads[mask])
        return Held(self.rows[mask], self.judged[mask], output, self.fast[mask])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.fit_encoder", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue, labeled file, or dataset name")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--fast", type=Path, default=Path(bundled_path()), help="fast model")
    parser.add_argument("--config", type=Path, default=retraining.HERE / "config.toml")
    parser.add_argument("--cache", type=Path, default=retraining.HERE.parent / ".cache")
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    parser.add_argument(
        "--more", action="store_true", help="go on from the weights kept, one more epoch"
    )
    parser.add_argument("--steps", choices=("all", "tune", "tell", "export"), default="all",
                        help="tune: only fine-tune, and keep the weights in the cache; tell: only "
                             "say what they say of rows the teacher did not tell of, for the fast "
                             "model to learn; export: only the rest")  # fmt: skip
    given = parser.parse_args()
    config = retraining.load_config(given.config)
    start = time.perf_counter()
    prepared = retraining.prepare(given.data, config, given.cache)
    kept = given.cache / "encoders"
    if given.steps in ("all", "tune"):
        _tune(prepared, config, given.cache, kept, given.jobs, more=given.more)
    if given.steps == "tell":
        _tell_rest(prepared, config, given.cache, kept, given.jobs)
    if given.steps in ("all", "export"):
        artifact = build(prepared, config, given, kept)
        print(f"{artifact.model_id} in {artifact.path}, {time.perf_counter() - start:.0f} s")


# --- fine-tuning ---------------------------------------------------------------------------------


def _tune(
    prepared: retraining.Prepared,
    config: Mapping[str, Any],
    cache: Path,
    kept: Path,
    jobs: int,
    *,
    more: bool,
) -> None:
    """Fine-tune one encoder a seed, in as many processes as ``jobs``, and keep their weights."""
    kept.mkdir(parents=True, exist_ok=True)
    joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(_tune_one)(prepared, config, cache, kept, seed, more=more)
        for seed in range(config["encoder"]["seeds"])
    )


def _tune_one(
    prepared: retraining.Prepared,
    config: Mapping[str, Any],
    cache: Path,
    kept: Path,
    seed: int,
    *,
    more: bool,
) -> None:
    torch.set_num_threads(1)
    settings, rows = config["encoder"], prepared.rows
    if more:
        settings = {**settings, "epochs": 1, "learning_rate": settings["learning_rate"] / 2}
    labels = rows["label"].to_numpy()
    soft = sources.read_soft_labels(rows, small=False).to_numpy(dtype=np.float64)
    fold = _fold(prepared, config, kept, seed, more=more)
    train = np.flatnonzero((prepared.splits == "train") & ~fold)
    labeled = train[labels[train] >= 0]
    with repeatable():
        chosen = choose_rows(
            prepared, labeled, mine(prepared, labeled, config), settings, config["seed"] + seed
        )
    chosen = np.union1d(chosen, train[~np.isnan(soft[train])])
    pieces = WordPieces(open_pretrained(settings["body"], cache))
    examples = encode_rows(prepared, config, pieces)
    held = held_rows(prepared, fold)
    own = examples(chosen)
    variants = encode_variants(prepared, train, config, pieces)
    copies = encode_copies(rows.iloc[chosen], own, config, pieces)
    print(
        f"seed {seed}: {len(chosen):,} rows, {len(variants.pieces):,} variants and "
        f"{len(copies.pieces):,} copies in other forms",
        flush=True,
    )
    path = kept / f"{seed}.pt"
    model = fine_tune(
        open_pretrained(settings["body"], cache), own.join(variants).join(copies),
        examples(held), settings, seed=config["seed"] + seed + 10 * more,
        judge=lambda found: average_precision(labels[held], found),
        start=path if more else None,
    )  # fmt: skip
    torch.save(model.state_dict(), path)
    unseen = rows["id"][(prepared.splits == "train") & fold]
    _held_file(path).write_text("\n".join(unseen) + "\n", "utf-8")


def _held_file(path: Path) -> Path:
    return path.with_suffix(".held.txt")


def _fold(
    prepared: retraining.Prepared, config: Mapping[str, Any], kept: Path, seed: int, *, more: bool
) -> NDArray[np.bool_]:
    """Return which rows an encoder does not see; folds change with the rows, so they are kept."""
    if more:
        return _unseen(prepared, kept / f"{seed}.pt")
    folds = folds_of(prepared.groups, config["encoder"]["folds"], config["seed"])
    return folds == seed


def _unseen(prepared: retraining.Prepared, path: Path) -> NDArray[np.bool_]:
    """Return which rows an encoder has not seen, by the ids kept beside its weights."""
    names = _held_file(path).read_text("utf-8").splitlines()
    found: NDArray[np.bool_] = prepared.rows["id"].isin(names).to_numpy()
    return found


def held_rows(prepared: retraining.Prepared, fold: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the labeled rows of one fold of the train part that quality is judged by."""
    judged = prepared.rows["source"].str.endswith("_violence").to_numpy()
    if not judged.any():  # no catalogue: what the user gave must do
        judged = np.ones(len(judged), dtype=bool)
    labeled = (prepared.rows["label"] >= 0).to_numpy()
    return np.flatnonzero((prepared.splits == "train") & labeled & judged & fold)


def encode_rows(
    prepared: retraining.Prepared, config: Mapping[str, Any], pieces: WordPieces
) -> Any:
    """Return a function from row numbers to examples: labels softened by the teacher's word."""
    settings, rows = config["encoder"], prepared.rows
    labels = rows["label"].to_numpy().astype(np.float64)
    soft = sources.read_soft_labels(rows, small=False).to_numpy(dtype=np.float64)
    share = rows["source"].map(settings["shares"]).fillna(settings["share"]).to_numpy(np.float64)
    targets = sources.soften(labels, soft, share)
    weights = rows["source"].map(settings["weights"]).fillna(1.0).to_numpy(np.float64)
    heads = head_labels(labels, rows["kind"].tolist(), rows["targets"].tolist())

    def take(at: NDArray[np.int64]) -> Examples:
        encoded = encode_examples(rows["text"].iloc[at].tolist(), pieces, settings["longest"])
        return Examples(encoded, targets[at], weights[at], heads[at])

    return take


def encode_copies(
    rows: pd.DataFrame, examples: Examples, config: Mapping[str, Any], pieces: WordPieces
) -> Examples:
    """Return copies that mean the same: under a trick drawn at random, with camps swapped.

    Of positives, and of shares of the negatives.
    """
    spelling, camps = config["encoder"]["spelling"], config["camps"]
    labels, texts = rows["label"].to_numpy(), rows["text"]
    every, seed = np.arange(len(rows)), config["seed"]
    at = retraining.with_some_negatives(labels, every, spelling["negatives"], seed)
    names = np.random.default_rng(seed).choice(spelling["attacks"], len(at))
    calm = sources.padding_texts(rows)
    made = [trick(text, name, calm) for text, name in zip(texts.iloc[at], names, strict=True)]
    chosen = retraining.with_some_negatives(labels, every, camps["negatives"], seed)
    named, swapped = naming_camps(texts.iloc[chosen].tolist())
    encoded = encode_examples([*made, *swapped], pieces, config["encoder"]["longest"])
    return examples.take(np.concatenate([at, chosen[named]]))._replace(pieces=encoded)


def encode_variants(
    prepared: retraining.Prepared,
    rows: NDArray[np.int64],
    config: Mapping[str, Any],
    pieces: WordPieces,
) -> Examples:
    """Return the variants of the rows given, with what the teacher says of them."""
    every = sources.read_variants(prepared.rows[prepared.splits == "train"])
    variants = every[every["row"].isin(rows)]
    encoded = encode_examples(variants["text"].tolist(), pieces, config["encoder"]["longest"])
    count = len(variants)
    return Examples(
        encoded,
        variants["soft"].to_numpy(np.float64),
        np.full(count, config["encoder"]["variant_weight"]),
        np.full((count, len(HEADS)), np.nan),
    )


def _tell_rest(
    prepared: retraining.Prepared, config: Mapping[str, Any], cache: Path, kept: Path, jobs: int
) -> None:
    """Add soft labels of the train rows that the teacher did not tell of."""
    settings = config["encoder"]
    soft = sources.read_soft_labels(prepared.rows, small=False)
    rows = prepared.rows[(prepared.splits == "train") & soft.isna().to_numpy()]
    paths = [kept / f"{seed}.pt" for seed in range(settings["seeds"])]
    parts = [rows.iloc[number::jobs] for number in range(jobs)]
    done = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(tell_some)(part["text"].tolist(), settings, cache, paths) for part in parts
    )
    ids = pd.concat(parts)["id"]
    sources.write_told(ids, np.concatenate(done), sources.TEACHER, small=True)
    print(f"{len(ids):,} more soft labels")


# --- graph ---------------------------------------------------------------------------------------


def _write(
    prepared: retraining.Prepared, config: Mapping[str, Any], cache: Path, model: Encoder
) -> tuple[bytes, bytes]:
    """Return the graph and the tokenizer, after saying how far they are from torch."""
    settings = config["encoder"]
    folder = open_pretrained(settings["body"], cache)
    texts = prepared.rows["text"][prepared.splits == "train"].tolist()
    encoded = WordPieces(folder).encode(texts, 1 << 20)
    pieces, kept = trim_pieces((folder / "tokenizer.json").read_bytes(), encoded)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    graph = write_graph(weights, kept, longest=settings["longest"], heads=_ATTENTION_HEADS)
    print(f"{len(kept):,} word pieces, graph of {len(graph) / 1e6:.1f} MB")
    return graph, pieces


def check_graph(
    graph: Graph, model: Encoder, rows: pd.DataFrame, pieces: WordPieces
) -> dict[str, float]:
    """Return how far the int8 graph is from the float model on rows."""
    texts, labels = rows["text"].tolist(), rows["label"].to_numpy()
    exact = predict(model, pieces.encode(texts, _SHORTEST)).main
    rounded = np.array([graph.logits(text)[0] for text in texts])
    short = np.array([len(ids) <= _SHORTEST for ids in pieces.encode(texts, 1 << 20)])
    found = {
        "texts": int(short.sum()),
        "average_precision_float": average_precision(labels[short], exact[short]),
        "average_precision_int8": average_precision(labels[short], rounded[short]),
        "correlation": float(np.corrcoef(exact[short], rounded[short])[0, 1]),
    }
    print(f"  int8 against float: {found}", flush=True)
    return {name: round(value, 5) for name, value in found.items()}


# --- held out, and all that rests on it -----------------------------------------------------------


def _fit_heads(held: Held, rows: pd.DataFrame) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the heads with thresholds of the best F1 on rows held out, and their figures."""
    table = rows.iloc[held.rows]
    truth = head_labels(
        table["label"].to_numpy(), table["kind"].tolist(), table["targets"].tolist()
    )
    listed, figures = [], {}
    for column, name in enumerate(HEADS):
        known = ~np.isnan(truth[:, column])
        labels, logits = truth[known, column] == 1, held.output.heads[known, column]
        threshold, figures[name] = measure_head(labels, logits)
        listed.append({"name": name, "scale": 1.0, "bias": 0.0, "threshold": threshold})
    return listed, figures


def build(
    prepared: retraining.Prepared, config: Mapping[str, Any], given: Any, kept: Path
) -> Artifact:
    """Do all that follows fine-tuning and return the artifact."""
    settings, rows = config["encoder"], prepared.rows
    paths = [kept / f"{seed}.pt" for seed in range(settings["seeds"])]
    folder = open_pretrained(settings["body"], given.cache)
    model = average(folder, paths)
    fast = load_artifact(given.fast)
    held = _held_out(prepared, config, given, folder, paths, fast)
    heads, figures = _fit_heads(held, rows)
    judged = held.take(held.judged)
    found, by_source = _calibrate(judged, rows, config["calibration"]["source"])
    encoder = _write(prepared, config, given.cache, model)
    sample = rows.iloc[judged.rows].sample(min(_CHECKED, len(judged.rows)), random_state=0)
    graph = Graph(*encoder, window=settings["longest"], stride=_STRIDE, columns=1 + len(HEADS))
    checked = check_graph(graph, model, sample, WordPieces(folder))
    manifest = {
        **{key: fast.manifest[key] for key in _OF_FAST if key in fast.manifest},
        "name": ACCURATE,
        "made_by": fast.manifest["made_by"],
        "fast": fast.model_id,
        "training": dict(config),
        "data": fast.manifest["data"],
        "encoder": {
            "from": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
            "window": settings["longest"],
            "stride": _STRIDE,
            "kinds": heads[: len(KINDS)],
            "targets": heads[len(KINDS) :],
            **found,
        },
        "metrics": {"heads": figures, "held_out": by_source, "int8": checked},
    }
    weights = (Path(fast.path) / "weights.safetensors").read_bytes()
    return export_encoder(
        given.out, manifest, weights, encoder,
        lambda artifact: evaluate_tiers(artifact, prepared, found["band"], given.jobs),
    )  # fmt: skip


def _calibrate(
    held: Held, rows: pd.DataFrame, source: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return mix, band and thresholds, and the average precision of the encoder by source."""
    labels = rows["label"].to_numpy()
    truth = labels[held.rows]
    logits = np.full(len(rows), np.nan)
    logits[held.rows] = held.output.main
    by_source = report_held_out(rows, labels, logits, held.rows)
    natural = rows["source"].to_numpy()[held.rows] == source
    is_natural = bool(truth[natural].sum() >= LEAST_POSITIVES)
    if not is_natural:
        natural = np.ones(len(truth), dtype=bool)
    mix, mixed = fit_mix(held.output.main, held.fast, truth, natural)
    for name, values in (("encoder", held.output.main), ("fast", held.fast), ("mixed", mixed)):
        quality = average_precision(truth[natural], values[natural])
        print(f"  held out, natural: {name:<8} AP {quality:.3f}", flush=True)
    truth, accurate, fast = truth[natural], _sigmoid(mixed[natural]), _sigmoid(held.fast[natural])
    found = {
        "mix": mix,
        "band": choose_band(fast, accurate, truth),
        "thresholds": choose_thresholds(accurate, truth, natural=is_natural),
    }
    print(f"  mix {mix}\n  band {found['band']}", flush=True)
    return found, by_source


def evaluate_tiers(
    artifact: Artifact, prepared: retraining.Prepared, band: Mapping[str, float], threads: int
) -> dict[str, Any]:
    """Return the figures of the accurate tier, and what the cascade keeps of its precision."""
    rows = retraining.labeled_test(prepared)
    texts, labels = rows["text"].tolist(), rows["label"].to_numpy()
    scorer: Any = artifact.scorer
    quick = np.array(scorer.fast.score_list(texts), dtype=np.float64)
    scores = np.array(scorer.score_list(texts, threads=threads), dtype=np.float64)
    inside = (quick >= band["low"]) & (quick <= band["high"])
    mixed = np.where(inside, scores, quick)
    cascade = {}
    for name, at in evaluation_sets(rows).items():
        if labels[at].sum() >= _LEAST_SHOWN:
            values = {"fast": quick, "cascade": mixed, "accurate": scores}
            cascade[name] = {"rows": len(at), "share": round(float(inside[at].mean()), 4)} | {
                key: round(average_precision(labels[at], value[at]), 4)
                for key, value in values.items()
            }
    found = retraining.evaluate(artifact, prepared, scores=scores)
    return {**found, "cascade": cascade}


def _held_out(
    prepared: retraining.Prepared,
    config: Mapping[str, Any],
    given: Any,
    folder: Path,
    paths: list[Path],
    fast: Artifact,
) -> Held:
    """Return what each encoder says of the fold it did not see, and the fast model out of fold."""
    examples = encode_rows(prepared, config, WordPieces(folder))
    positive = (prepared.rows["label"] == 1).to_numpy() & (prepared.splits == "train")
    places, judged, outputs = [], [], []
    for path in paths:
        fold = _unseen(prepared, path)
        own = held_rows(prepared, fold)
        at = np.union1d(own, np.flatnonzero(positive & fold))
        judged.append(np.isin(at, own))
        model = average(folder, [path])
        outputs.append(predict(model, examples(at).pieces, watch=_watch))
        places.append(at)
    rows = np.concatenate(places)
    output = Output(*(np.concatenate(parts) for parts in zip(*outputs, strict=True)))
    quick = _fast_out_of_fold(prepared, config, given.jobs, fast)
    return Held(rows, np.concatenate(judged), output, quick[rows])


def _fast_out_of_fold(
    prepared: retraining.Prepared, config: Mapping[str, Any], jobs: int, fast: Artifact
) -> Floats:
    with repeatable():
        logits = retraining.out_of_fold_logits(prepared, config, jobs)
    calibration = fast.manifest["calibration"]
    found: Floats = calibration["slope"] * logits + calibration["intercept"]
    return found


def _watch(batches: list[Any]) -> Iterator[Any]:
    return iter(tqdm(batches, desc="held out", mininterval=10))


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-logits))


if __name__ == "__main__":
    main()
