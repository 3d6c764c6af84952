"""Compare models on the same rows: ``python -m training.compare --data DIR``.

Trains the usual baselines on the rows and labels that the bundled models were trained on, or runs
what others have trained, and measures all of them on the test part, source by source, with 95%
bootstrap intervals (the same resamples for all) and the posts a second that each scores on one
core. A baseline whose package is not installed is left out with a note
(``pip install "hostrisk[compare]"``).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from threadpoolctl import threadpool_limits

import hostrisk
from hostrisk.metrics import average_precision
from training import retrain as retraining
from training.evaluate import evaluation_sets

__all__ = ["BASELINES", "Train", "compare", "fit_tfidf", "main", "render"]

Floats = NDArray[np.float64]
Score = Callable[[Sequence[str]], Floats]
SHOWN = (
    "parler_violence", "pool_violence", "active_violence", "reread_violence: all",
    "reread_violence: edos", "reread_violence: gab_hate_corpus",
    "reread_violence: jigsaw_wiki_subset", "hatecheck", "hatemoji_build", "case suite",
)  # fmt: skip
TIERS = ("fast", "cascade", "accurate")
_TIMED = 2_000  # texts that throughput is measured on
_LINE = str.maketrans({"\n": " ", "\r": " "})


class Train(NamedTuple):
    """What a baseline learns from."""

    texts: list[str]
    labels: NDArray[Any]
    weights: Floats
    cache: Path


def fit_tfidf(train: Train) -> Score:
    """Fit tf-idf of words 1-2 and characters 2-5 with logistic regression."""
    common = {"sublinear_tf": True, "dtype": np.float32}
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, **common),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=5, **common),
    )
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=200, tol=1e-5))
    model.fit(train.texts, train.labels, logisticregression__sample_weight=train.weights)
    return lambda texts: model.predict_proba(list(texts))[:, 1]


def fit_fasttext(train: Train) -> Score:
    """Fit fastText (Joulin et al. 2017) on words 1-2 and characters 3-5."""
    import fasttext

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for text, label in zip(train.texts, train.labels, strict=True):
            file.write(f"__label__{label} {text.translate(_LINE)}\n")
        file.flush()
        model = fasttext.train_supervised(
            file.name, epoch=10, lr=0.3, dim=50, wordNgrams=2, minn=3, maxn=5, bucket=500_000,
            thread=1, verbose=0,
        )  # fmt: skip

    def score(texts: Sequence[str]) -> Floats:
        # Of the two probabilities only the first is right with NumPy 2; they add up to 1.
        names, values = model.predict([text.translate(_LINE) for text in texts])
        return np.array(
            [
                value[0] if name[0] == "__label__1" else 1 - value[0]
                for name, value in zip(names, values, strict=True)
            ]
        )

    return score


def load_profanity_check(_: Train) -> Score:
    """Load alt-profanity-check: a linear model of offensive language, as its authors trained it."""
    from profanity_check import predict_prob

    return lambda texts: np.asarray(predict_prob(list(texts)), dtype=np.float64)


def load_hatesonar(_: Train) -> Score:
    """Load HateSonar: hate speech by Davidson et al. 2017, as its authors trained it."""
    from hatesonar import Sonar

    sonar = Sonar()

    def score(texts: Sequence[str]) -> Floats:
        found = (sonar.ping(text=text or " ")["classes"] for text in texts)
        return np.array(
            [
                next(c["confidence"] for c in classes if c["class_name"] == "hate_speech")
                for classes in found
            ]
        )

    return score


def fit_frozen(train: Train) -> Score:
    """Fit logistic regression on the sentence embeddings of MiniLM as it was pre-trained.

    On all positives and a fifth of the negatives, as embedding all of them takes long.
    """
    import torch

    from training.encoder import WordPieces, embed, open_body, open_pretrained

    torch.set_num_threads(1)
    folder = open_pretrained("minilm", train.cache)
    body, pieces = open_body(folder), WordPieces(folder)
    drawn = np.random.default_rng(0).random(len(train.labels))
    rows = np.flatnonzero((train.labels == 1) | (drawn < 0.2))
    model = LogisticRegression(C=10, max_iter=1000, class_weight="balanced")
    model.fit(
        embed(body, pieces.encode([train.texts[row] for row in rows], 128)), train.labels[rows]
    )

    def score(texts: Sequence[str]) -> Floats:
        found: Floats = model.predict_proba(embed(body, pieces.encode(texts, 128)))[:, 1]
        return found

    return score


BASELINES: dict[str, Callable[[Train], Score]] = {
    "tf-idf + logistic regression": fit_tfidf,
    "fastText": fit_fasttext,
    "alt-profanity-check": load_profanity_check,
    "HateSonar": load_hatesonar,
    "frozen MiniLM + logistic regression": fit_frozen,
}


def _load_tier(model: str) -> Score:
    classifier = hostrisk.load(model)
    return lambda texts: np.array(classifier.score(list(texts)), dtype=np.float64)


def measure_scores(
    scores: dict[str, Floats], labels: NDArray[Any], resamples: int
) -> dict[str, list[float]]:
    """Return average precision with its 95% interval of each model, by the same resamples."""
    rng = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(resamples):
        rows = rng.integers(0, len(labels), len(labels))
        if labels[rows].any():
            for name, values in scores.items():
                drawn[name].append(average_precision(labels[rows], values[rows]))
    return {
        name: [
            round(float(value), 4)
            for value in (
                average_precision(labels, values),
                *np.quantile(drawn[name] or [np.nan], (0.025, 0.975)),
            )
        ]
        for name, values in scores.items()
    }


def compare(
    data: str | None, config: dict[str, Any], cache: Path, resamples: int, names: Sequence[str]
) -> dict[str, Any]:
    """Train or load each model, score the test part with all, and return the figures."""
    prepared = retraining.prepare(data, config, cache)
    labeled = prepared.rows[prepared.rows["label"] >= 0]
    rows = labeled[prepared.splits[labeled.index] == "train"]
    weights = retraining.row_weights(prepared.rows, prepared.groups, config)[rows.index]
    train = Train(rows["text"].tolist(), rows["label"].to_numpy(), weights, cache)
    test = retraining.labeled_test(prepared).reset_index(drop=True)
    texts = [*test["text"], *prepared.suite["text"]]
    scores: dict[str, Floats] = {}
    speeds: dict[str, float] = {}
    for name in names:
        with threadpool_limits(1):
            _run(name, train, texts, scores, speeds)
    sets = {
        **evaluation_sets(test), "case suite": np.arange(len(test), len(texts)),
    }  # fmt: skip
    labels = np.concatenate([test["label"], prepared.suite["label"]])
    return {"posts_per_second": speeds, "average_precision": _measure_sets(
        sets, labels, scores, resamples
    )}  # fmt: skip


def _run(
    name: str, train: Train, texts: list[str], scores: dict[str, Floats], speeds: dict[str, float]
) -> None:
    start = time.perf_counter()
    try:
        score = _load_tier(name) if name in TIERS else BASELINES[name](train)
    except ImportError as error:
        print(f"{name} is left out: {error}", flush=True)
        return
    ready = time.perf_counter()
    scores[name] = score(texts)
    sample = np.random.default_rng(1).choice(len(texts), min(_TIMED, len(texts)), replace=False)
    timed = [texts[at] for at in sample]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        score(timed)
        seconds.append(time.perf_counter() - begin)
    speeds[name] = round(len(timed) / min(seconds), 1)
    print(
        f"{name}: ready in {ready - start:.0f} s, all scored in {time.perf_counter() - ready:.0f} "
        f"s, {speeds[name]:,.0f} posts/s",
        flush=True,
    )


def _measure_sets(
    sets: dict[str, NDArray[np.int64]],
    labels: NDArray[Any],
    scores: dict[str, Floats],
    resamples: int,
) -> dict[str, Any]:
    found = {}
    for key in SHOWN:
        if key in sets and labels[sets[key]].any():
            at = sets[key]
            found[key] = {
                "rows": len(at),
                "positives": int(labels[at].sum()),
                **measure_scores({n: s[at] for n, s in scores.items()}, labels[at], resamples),
            }
    return found


def render(found: dict[str, Any]) -> str:
    """Return the figures as Markdown tables, a row for each model."""
    sets, speeds = found["average_precision"], found["posts_per_second"]
    lines = ["| set | rows | positive |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {values['rows']:,} | {values['positives']:,} |"
        for name, values in sets.items()
    ]
    lines += [
        "",
        "Average precision with 95% bootstrap intervals:",
        "",
        f"| model | posts a second | {' | '.join(sets)} |",
        "| --- " * (len(sets) + 2) + "|",
    ]
    for name, speed in speeds.items():
        cells = ["{:.3f} ({:.3f} to {:.3f})".format(*values[name]) for values in sets.values()]
        lines.append(f"| {name} | {speed:,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    every = [*BASELINES, *TIERS]
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue")
    parser.add_argument("--models", nargs="+", choices=every, default=every, metavar="NAME",
                        help=f"of {', '.join(every)} (default: all)")  # fmt: skip
    parser.add_argument("--config", type=Path, default=retraining.HERE / "config.toml")
    parser.add_argument("--cache", type=Path, default=retraining.HERE.parent / ".cache")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    config = retraining.load_config(given.config)
    found = compare(given.data, config, given.cache, given.resamples, given.models)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(render(found))


if __name__ == "__main__":
    main()
