"""Train a model from labels to a checked folder: ``python -m training.retrain --out DIR``.

1. read      labeled rows: the catalogue, a file or a dataset, and the project's own cases
2. group     near-duplicates, and split them into train and test by group
3. fit       on folds of the train part, for scores that no model has seen the labels of
4. calibrate on those of the natural source, and choose thresholds
5. fit       on the whole train part, and the heads
6. evaluate  on the test part, the case suite and attacks
7. export    the artifact with its card

The same data and configuration give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from tqdm import tqdm

import hostrisk
from hostrisk._reference import probability
from hostrisk.artifact import Artifact
from hostrisk.calibration import choose_thresholds, fit_platt
from hostrisk.classifier import Classifier
from hostrisk.metrics import average_precision
from training import sources
from training.augment import naming_camps, trick
from training.evaluate import (
    evaluate_fairness,
    evaluate_reliability,
    evaluate_robustness,
    evaluate_sources,
    evaluate_suite,
)
from training.export import export
from training.fit_linear import (
    feature_matrix,
    fit,
    folds_of,
    out_of_fold,
    repeatable,
    unit_rows,
)  # fmt: skip
from training.heads import fit_heads
from training.split import assign_splits, group_near_duplicates
from training.vocabulary import fit_vocabulary

__all__ = ["Prepared", "main", "prepare", "retrain"]

HERE = Path(__file__).resolve().parent
Floats = NDArray[np.float64]
_LEAST_POSITIVES = 20  # for calibration to rest on the natural source


class Prepared(NamedTuple):
    """Rows with their near-duplicate groups and splits, their features, and the case suite."""

    rows: pd.DataFrame
    features: csr_matrix
    groups: NDArray[np.int64]
    splits: NDArray[np.str_]
    suite: pd.DataFrame
    files: dict[str, str]


def load_config(path: Path) -> dict[str, Any]:
    """Read the configuration."""
    with path.open("rb") as file:
        return tomllib.load(file)


def prepare(data: str | None, config: dict[str, Any], cache: Path) -> Prepared:
    """Read, fold, group and split (steps 1 and 2); what does not change is kept in ``cache``."""
    with _step("read"):
        rows, files = _read(data, config)
        suite = sources.read_written("test")
    with _step("group"):
        memory = joblib.Memory(cache, verbose=0)
        texts = [*rows["text"], *suite["text"]]
        templates = [*rows["template"], *suite["template"]]
        features = feature_matrix(texts)
        key = joblib.hash((texts, templates))
        groups = memory.cache(_group, ignore=["features", "texts", "templates"])(
            key, texts=texts, features=features, templates=templates
        )
    count = len(rows)
    splits = assign_splits(rows["text"].tolist(), groups[:count], config["split"])
    # What the project wrote for training trains, and nothing near a case of the suite does.
    splits[rows["source"].isin(("written", "generated")).to_numpy()] = "train"
    splits[np.isin(groups[:count], groups[count:])] = "near suite"
    return Prepared(rows, features[:count], groups[:count], splits, suite, files)


def _read(data: str | None, config: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, str]]:
    tables = [sources.read_written("train"), sources.make_noise()]
    paths = [sources.CASES / "train.csv"]
    found = sources.find_data(data)
    if isinstance(found, str):
        tables.insert(0, sources.read_dataset(found))
    elif found is not None and found.is_dir():
        permitted = sources.permitted()
        tables.insert(0, sources.read_catalogue(found, permitted, config["languages"]))
        tables[0] = sources.apply_readings(tables[0])
        paths += [sources.READINGS, *(found / f"{name}.parquet" for name in permitted)]
    elif found is not None:
        tables.insert(0, sources.read_file(found))
        paths.append(found)
    rows = pd.concat(tables, ignore_index=True)
    return rows.drop_duplicates("text").reset_index(drop=True), sources.data_hashes(paths)


def _group(
    key: str, *, texts: list[str], features: csr_matrix, templates: list[Any]
) -> NDArray[np.int64]:
    del key  # what the cache goes by
    return group_near_duplicates(texts, features, templates)


def row_weights(rows: pd.DataFrame, groups: NDArray[np.int64], config: dict[str, Any]) -> Floats:
    """Return the weight of each row by source, label and size of its group."""
    settings = config["weights"]
    weights = rows["source"].map(settings["sources"]).fillna(1.0).to_numpy(dtype=np.float64)
    weights = np.where(rows["label"] == 1, weights * settings["positives"], weights)
    sizes = np.bincount(groups)[groups]
    return weights / sizes ** settings["group_power"]


def _training_part(prepared: Prepared, config: dict[str, Any]) -> tuple[_Part, NDArray[np.int64]]:
    """Return what trains, and which rows it is: labels, softened by the teacher's where it told."""
    settings = config["teacher"]
    labels = prepared.rows["label"].to_numpy().astype(np.int64)
    told = sources.read_soft_labels(prepared.rows).to_numpy(dtype=np.float64)
    targets = sources.soften(labels, told, settings["share"])
    weights = row_weights(prepared.rows, prepared.groups, config)
    weights = np.where(labels < 0, weights * settings["unlabeled_weight"], weights)
    rows = np.flatnonzero((prepared.splits == "train") & ~np.isnan(targets) & (weights > 0))
    copied, weight, spelled = _copy(prepared, rows, config)
    variants = sources.read_variants(prepared.rows[prepared.splits == "train"])
    varied = variants["row"].to_numpy(dtype=np.int64)
    every = np.concatenate([rows, copied, varied])
    shares = np.concatenate(
        [np.ones(len(rows)), weight, np.full(len(varied), settings["variant_weight"])]
    )
    return (
        _Part(
            vstack(
                [prepared.features[rows], spelled, feature_matrix(variants["text"].tolist())]
            ).tocsr(),
            np.where(np.arange(len(every)) < len(rows), labels[every], -1),  # else none of its own
            np.concatenate([targets[rows], targets[copied], variants["soft"]]),
            shares * weights[every],
            prepared.groups[every],
        ),
        every,
    )


def _copy(
    prepared: Prepared, rows: NDArray[np.int64], config: dict[str, Any]
) -> tuple[NDArray[np.int64], Floats, csr_matrix]:
    """Return rows that train in other forms too, the weights of these, and their features.

    All positives and a share of the negatives: what an attack leaves of a word must be learned
    from both, or the attack itself would look violent.
    """
    spelling, camps = config["spelling"], config["camps"]
    texts, labels = prepared.rows["text"], prepared.rows["label"].to_numpy()
    chosen = with_some_negatives(labels, rows, spelling["negatives"], config["seed"])
    calm = sources.padding_texts(prepared.rows.iloc[rows])
    copied = np.tile(chosen, len(spelling["attacks"]))
    made = [trick(text, name, calm) for name in spelling["attacks"] for text in texts.iloc[chosen]]
    chosen = with_some_negatives(labels, rows, camps["negatives"], config["seed"])
    named, swapped = naming_camps(texts.iloc[chosen].tolist())
    weights = np.repeat([spelling["weight"], camps["weight"]], [len(copied), len(named)])
    return (
        np.concatenate([copied, chosen[named]]), weights, feature_matrix([*made, *swapped])
    )  # fmt: skip


def with_some_negatives(
    labels: NDArray[np.int64], rows: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.int64]:
    """Return those of the rows that are positive, and a share of those that are negative."""
    drawn = np.random.default_rng(seed).random(len(labels))[rows]
    return rows[(labels[rows] == 1) | ((labels[rows] == 0) & (drawn < share))]


def _unseen_logits(
    part: _Part, config: dict[str, Any], folds: int, jobs: int, *, shown: bool
) -> Floats:
    """Return logits of all rows by models that were fitted without the row's group."""
    logits = np.zeros(len(part.labels))
    units = unit_rows(part.features)
    fold = folds_of(part.groups, folds, config["seed"])
    fitted = out_of_fold(
        part.features, part.targets, part.weights, fold, config["linear"], jobs=jobs
    )
    for at, model in tqdm(fitted, total=folds, desc="folds", disable=not shown, leave=False):
        logits[at] = model.logits(units[at])
    return logits


class _Part(NamedTuple):
    """The rows that train: ``labels`` 1, 0 or -1, ``targets`` the probabilities to learn."""

    features: csr_matrix
    labels: NDArray[np.int64]
    targets: Floats
    weights: Floats
    groups: NDArray[np.int64]


def search(
    part: _Part, natural: NDArray[np.bool_], config: dict[str, Any], jobs: int
) -> dict[str, Any]:
    """Return the linear configuration with the best average precision on the natural source."""
    grid = config["search"]
    tried = []
    for values in tqdm(list(product(*grid.values())), desc="search"):
        chosen = {**config["linear"], **dict(zip(grid, values, strict=True))}
        logits = _unseen_logits(part, {**config, "linear": chosen}, 3, jobs, shown=False)
        found = average_precision(part.labels[natural], logits[natural])
        tried.append((found, chosen))
        tqdm.write(f"  {found:.4f}  {dict(zip(grid, values, strict=True))}")
    return max(tried, key=lambda pair: pair[0])[1]


def retrain(
    data: str | None, out: Path, config: dict[str, Any], *, jobs: int, cache: Path, searching: bool
) -> Artifact:
    """Run all steps and return the artifact written to ``out``."""
    prepared = prepare(data, config, cache)
    with repeatable():
        return _train(prepared, out, config, jobs=jobs, searching=searching)


def _train(
    prepared: Prepared, out: Path, config: dict[str, Any], *, jobs: int, searching: bool
) -> Artifact:
    rows = prepared.rows
    part, train = _training_part(prepared, config)
    natural = (rows["source"].to_numpy()[train] == config["calibration"]["source"]) & (
        part.labels >= 0
    )
    is_natural = bool(part.labels[natural].sum() >= _LEAST_POSITIVES)
    if not is_natural:
        natural = part.labels >= 0  # without the natural source, the training mix must do
    if searching:
        with _step("search"):
            config = {**config, "linear": search(part, natural, config, jobs)}
    with _step("fit folds"):
        unseen = _unseen_logits(part, config, config["linear"]["folds"], jobs, shown=True)
    with _step("fit"):
        model = fit(part.features, part.targets, part.weights, config["linear"])
        positive = np.flatnonzero(part.labels == 1)
        taught = rows.iloc[train[positive]]
        heads = fit_heads(
            part.features[positive],
            taught["kind"].tolist(),
            taught["targets"].tolist(),
            part.weights[positive],
            part.groups[positive],
            config["heads"],
            config["seed"],
        )
    with _step("vocabulary"):
        own = len(np.unique(train))  # copies and variants come behind
        words, limit = fit_vocabulary(
            rows["text"].iloc[train[:own]].tolist(), part.groups[:own],
            natural[:own] & is_natural, config["seed"],
        )  # fmt: skip
    slope, intercept = fit_platt(unseen[natural], part.labels[natural])
    scores = np.array([probability(x) for x in (slope * unseen[natural] + intercept).tolist()])
    manifest: dict[str, Any] = {
        "name": config["name"],
        "made_by": f"hostrisk {hostrisk.__version__}",
        "training": config,
        "data": _describe_data(rows.iloc[train], prepared.files),
        "calibration": {
            "method": "platt",
            "slope": slope,
            "intercept": intercept,
            "rows": int(natural.sum()),
            "positives": int(part.labels[natural].sum()),
        },
        "thresholds": choose_thresholds(scores, part.labels[natural], natural=is_natural),
        "language": {"names": config["languages"], "limit": limit},
        "metrics": {"heads": heads.metrics},
    }
    with _step("evaluate"):
        artifact = export(out, model, heads, words, manifest)
        manifest["metrics"] |= evaluate(artifact, prepared)
    with _step("export"):
        return export(out, model, heads, words, manifest)


def out_of_fold_logits(prepared: Prepared, config: Mapping[str, Any], jobs: int) -> Floats:
    """Return the logits of the rows that train, by models fitted without each; NaN elsewhere."""
    part, train = _training_part(prepared, dict(config))
    found = np.full(len(prepared.rows), np.nan)
    # Copies in other spellings stand behind the rows themselves, which are each there once.
    own = part.labels >= 0
    logits = _unseen_logits(part, dict(config), config["linear"]["folds"], jobs, shown=True)
    found[train[own]] = logits[own]
    return found


def labeled_test(prepared: Prepared) -> pd.DataFrame:
    """Return the labeled rows of the test part."""
    labeled = (prepared.rows["label"] >= 0).to_numpy()
    return prepared.rows[(prepared.splits == "test") & labeled]


def evaluate(
    artifact: Artifact, prepared: Prepared, *, scores: Floats | None = None
) -> dict[str, Any]:
    """Measure an artifact on the test part, the case suite and under attack (step 6).

    :param scores: of the test part, where they are known already.
    """
    classifier = Classifier(artifact)
    rows = labeled_test(prepared)
    if scores is None:
        scores = np.array(classifier.score(rows["text"].tolist()), dtype=np.float64)
    every = prepared.rows[prepared.splits == "test"]
    tweets = every[(every["source"] == "davidson") & (every["label"] < 1)]["text"].tolist()
    found: dict[str, Any] = {
        "suite": evaluate_suite(classifier, prepared.suite),
        "fairness": evaluate_fairness(classifier, rows, scores, tweets),
    }
    if rows["label"].nunique() < 2:
        return found
    found["sources"] = evaluate_sources(scores, rows, classifier.threshold, resamples=1000)
    natural = rows["source"].str.endswith("_violence")
    violent = rows[natural & (rows["label"] == 1)]["text"].tolist()
    if violent:
        found["robustness"] = evaluate_robustness(classifier, violent)
    source = artifact.manifest["training"]["calibration"]["source"]
    judged = (rows["source"] == source).to_numpy()
    if judged.any():
        labels = rows["label"].to_numpy()
        found["reliability"] = evaluate_reliability(scores[judged], labels[judged])
    return found


def _describe_data(rows: pd.DataFrame, files: dict[str, str]) -> list[dict[str, Any]]:
    licences = sources.licences()
    described = []
    for name, group in rows.groupby("source", sort=True):
        described.append(
            {
                "source": name,
                "rows": len(group),
                "positives": int((group["label"] == 1).sum()),
                "unlabeled": int((group["label"] < 0).sum()),
                "licence": licences.get(str(name), "as its owner says"),
                "sha256": files.get(f"{name}.parquet", files.get("train.csv", "")),
            }
        )
    return described


@contextmanager
def _step(name: str) -> Iterator[None]:
    start = time.perf_counter()
    print(f"{name:<12}", end="", flush=True, file=sys.stderr)
    yield
    print(f"{time.perf_counter() - start:7.1f} s", file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.retrain", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue, labeled file, or dataset name")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--config", type=Path, default=HERE / "config.toml")
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".cache")
    parser.add_argument("--search", action="store_true", help="search the grid of the config first")
    given = parser.parse_args(arguments)
    start = time.perf_counter()
    artifact = retrain(
        given.data,
        given.out,
        load_config(given.config),
        jobs=given.jobs,
        cache=given.cache,
        searching=given.search,
    )
    _report(artifact, time.perf_counter() - start)


def _report(artifact: Artifact, seconds: float) -> None:
    metrics = artifact.manifest["metrics"]
    print(f"{artifact.model_id} in {artifact.path}, {seconds:.0f} s")
    for name, values in metrics.get("sources", {}).items():
        if "average_precision" in values:
            low, high = values["average_precision"][1:]
            print(
                f"  {name:<34} AP {values['average_precision'][0]:.3f} ({low:.3f} to {high:.3f}), "
                f"{values['positives']} of {values['rows']} positive"
            )
    suite = metrics["suite"]
    print(f"  {'case suite, test part':<34} {suite['right']:.1%} of {suite['cases']} right")


if __name__ == "__main__":
    main()
