"""Compare models on the same rows: ``python -m training.compare --data DIR``.

Trains scikit-learn's tf-idf (words 1-2, characters 2-5) with logistic regression on the rows and
labels that the bundled model was trained on, and measures both on the test part, source by source.
Differences have paired bootstrap intervals (the same resamples for both).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

import hostrisk
from hostrisk.metrics import average_precision
from training import retrain as retraining
from training.evaluate import evaluation_sets

__all__ = ["compare", "fit_tfidf", "main"]

SHOWN = (
    "parler_violence", "pool_violence", "active_violence", "reread_violence: all",
    "reread_violence: edos", "reread_violence: gab_hate_corpus",
    "reread_violence: jigsaw_wiki_subset", "hatecheck", "hatemoji_build",
)  # fmt: skip


def fit_tfidf(texts: list[str], labels: NDArray[Any], weights: NDArray[np.float64]) -> Any:
    """Fit the usual strong baseline of text classification."""
    common = {"sublinear_tf": True, "dtype": np.float32}
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, **common),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=5, **common),
    )
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=200, tol=1e-5))
    return model.fit(texts, labels, logisticregression__sample_weight=weights)


def _interval(
    labels: NDArray[Any], ours: NDArray[Any], theirs: NDArray[Any], resamples: int
) -> dict[str, Any]:
    """Return both average precisions and their difference, with 95% intervals."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(resamples):
        rows = rng.integers(0, len(labels), len(labels))
        if labels[rows].any():
            drawn.append(
                [average_precision(labels[rows], scores[rows]) for scores in (ours, theirs)]
            )
    found = np.array(drawn)
    differences = found[:, 0] - found[:, 1]
    values = {"ours": (ours, found[:, 0]), "tfidf": (theirs, found[:, 1])}
    table = {
        name: [average_precision(labels, scores), *np.quantile(many, (0.025, 0.975))]
        for name, (scores, many) in values.items()
    }
    table["difference"] = [
        table["ours"][0] - table["tfidf"][0], *np.quantile(differences, (0.025, 0.975)),
    ]  # fmt: skip
    return {name: [round(float(value), 4) for value in triple] for name, triple in table.items()}


def compare(
    data: str | None, model: str, config: dict[str, Any], cache: Path, resamples: int
) -> dict[str, Any]:
    """Train the baseline, score the test part with both, and return the figures."""
    prepared = retraining.prepare(data, config, cache)
    rows = prepared.rows[prepared.rows["label"] >= 0]
    splits = prepared.splits[rows.index]
    train, test = rows[splits == "train"], rows[splits == "test"].reset_index(drop=True)
    weights = retraining.row_weights(prepared.rows, prepared.groups, config)[train.index]
    labels = test["label"].to_numpy()
    suite = prepared.suite
    texts = [*test["text"], *suite["text"]]
    found: dict[str, Any] = {}
    ours = np.array(hostrisk.load(model).score(texts))
    start = time.perf_counter()
    for name, shares in (("plain", np.ones(len(train))), ("weighted", weights)):
        baseline = fit_tfidf(train["text"].tolist(), train["label"].to_numpy(), shares)
        theirs = baseline.predict_proba(texts)[:, 1]
        sets = evaluation_sets(test)
        found[name] = {
            key: {
                "rows": len(sets[key]),
                "positives": int(labels[sets[key]].sum()),
                **_interval(labels[sets[key]], ours[sets[key]], theirs[sets[key]], resamples),
            }
            for key in SHOWN
            if key in sets and labels[sets[key]].any()
        }
        found[name]["case suite"] = {
            "rows": len(suite),
            "positives": int((suite["label"] == 1).sum()),
            **_interval(
                suite["label"].to_numpy(), ours[len(test) :], theirs[len(test) :], resamples
            ),
        }
        print(f"tf-idf, {name} rows: {time.perf_counter() - start:.0f} s")
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue")
    parser.add_argument("--model", default="default")
    parser.add_argument("--config", type=Path, default=retraining.HERE / "config.toml")
    parser.add_argument("--cache", type=Path, default=retraining.HERE.parent / ".cache")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    found = compare(
        given.data, given.model, retraining.load_config(given.config), given.cache, given.resamples
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for name, table in found.items():
        print(f"\naverage precision, tf-idf trained on {name} rows")
        print(f"{'source':<36} {'positive':>14}  {'hostrisk':<24} {'tf-idf':<24} difference")
        for key, values in table.items():
            cells = [
                f"{middle:+.3f} ({low:+.3f}, {high:+.3f})" if column == "difference"
                else f"{middle:.3f} ({low:.3f}, {high:.3f})"
                for column in ("ours", "tfidf", "difference")
                for middle, low, high in [values[column]]
            ]  # fmt: skip
            support = f"{values['positives']:,} of {values['rows']:,}"
            print(f"{key:<36} {support:>14}  {cells[0]:<24} {cells[1]:<24} {cells[2]}")


if __name__ == "__main__":
    main()
