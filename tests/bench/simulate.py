"""Simulate whether intervals hold: how often they contain the truth, and how wide they are.

    python tests/bench/simulate.py coverage [--runs 2000] [--scorer smooth]
    python tests/bench/simulate.py trend [--runs 1000]
    python tests/bench/simulate.py parler --data DIR [--runs 1000]

``coverage`` makes hosts of 200,000 posts. Scores are normal: those of violent posts lie so far
above the others that a threshold at a false-positive rate of 1% has the recall given, and become
probabilities by Bayes' rule, with odds wrong by a factor. A *blind* scorer instead finds violent
posts with that probability, and gives all others scores like any other post's, which is harder.

``trend`` makes eight weeks of 5,000 posts, of which 0.5% are violent in the first and 0.5% or 1% in
the last. ``parler`` draws 300 of the labeled posts of parler_violence, again and again; the best
that it is held against cuts strata and shares out reviews by the true labels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from hostrisk.host.prevalence import (
    Population,
    Reviewed,
    binomial_interval,
    powered_share,
    reviewed_share,
)
from hostrisk.host.sampling import allocate, cut_strata, expected_sizes
from hostrisk.host.scale import STEPS, step_of
from hostrisk.host.trend import fit_trend

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTS = 200_000
PREVALENCES = (0.0004, 0.001, 0.01, 0.05)
RECALLS = (0.5, 0.7, 0.9)
FACTORS = (0.5, 2.0)
REVIEWS = (100, 300, 1_000)
LEVEL = 0.95


class Posts(NamedTuple):
    """Labels and scores of all posts of a host, and what a drawer of samples knows of them."""

    label: np.ndarray
    score: np.ndarray

    @property
    def population(self) -> Population:
        return Population(len(self.score), 0, float(self.score.mean()), float(self.score.var()))


def make_posts(prevalence, recall, factor, *, blind, rng) -> Posts:
    label = np.zeros(POSTS, dtype=bool)
    label[rng.choice(POSTS, max(round(prevalence * POSTS), 1), replace=False)] = True
    apart = stats.norm.ppf(0.99) + (stats.norm.ppf(0.9) if blind else stats.norm.ppf(recall))
    seen = label & (rng.random(POSTS) < recall) if blind else label
    place = rng.normal(size=POSTS) + apart * seen
    share = recall if blind else 1.0
    likely = share * np.exp(apart * place - apart**2 / 2) + 1 - share
    odds = factor * prevalence / (1 - prevalence) * likely
    return Posts(label, odds / (1 + odds))


class Design(NamedTuple):
    """The strata that hostrisk.sample would draw from."""

    stratum: np.ndarray
    totals: np.ndarray
    given: np.ndarray


def design(posts: Posts, reviews: int, shares=None) -> Design:
    """:param shares: violent share of each step of the score, where the truth is to decide."""
    steps = step_of(posts.score)
    counts = np.bincount(steps, minlength=STEPS).astype(float)
    scores = np.bincount(steps, posts.score, minlength=STEPS)
    if shares is None:
        strata = cut_strata(counts, scores, reviews=reviews)
        sizes = np.bincount(strata, expected_sizes(counts, scores))
    else:
        strata, sizes = best_strata(counts, shares, reviews)
    totals = np.bincount(strata, counts)
    share_out = allocate if shares is None else best_numbers
    given = share_out(totals, sizes, reviews)
    return Design(strata[steps], totals, given)


def best_strata(counts, shares, reviews):
    """Cut the scores as Dalenius and Hodges would who knew the share of violent posts in each."""
    size = counts * np.sqrt(shares * (1 - shares))
    number = min(max(reviews // 25, 4), 10)
    done = np.cumsum(size) - size / 2
    raw = np.minimum((done * number / size.sum()).astype(int), number - 1)
    strata = np.unique(raw, return_inverse=True)[1]
    found = np.bincount(strata, counts * shares) / np.bincount(strata, counts)
    return strata, np.bincount(strata, counts) * np.sqrt(found * (1 - found))


def best_numbers(totals, sizes, reviews):
    """Neyman's allocation, at least two of each stratum."""
    given = np.maximum(np.floor(reviews * sizes / sizes.sum()), 2).astype(int)
    while given.sum() > reviews:
        given[np.argmax(given)] -= 1
    return np.minimum(given, totals.astype(int))


def draw(posts: Posts, made: Design, rng) -> Iterator[Reviewed]:
    """Draw samples without end."""
    members = [np.flatnonzero(made.stratum == at) for at in range(len(made.totals))]
    ones = np.ones(int(made.given.sum()))
    stratum = np.repeat(np.arange(len(members)), made.given)
    weight = np.repeat(made.totals / np.maximum(made.given, 1), made.given)
    while True:
        chosen = np.concatenate(
            [
                rng.choice(own, number, replace=False, shuffle=False)
                for own, number in zip(members, made.given, strict=True)
            ]
        )
        label, score = posts.label[chosen], posts.score[chosen]
        yield Reviewed(label, score, weight, stratum, ones, uniform=False)


def draw_plain(posts: Posts, reviews: int, rng) -> Iterator[Reviewed]:
    ones, zeros = np.ones(reviews), np.zeros(reviews, dtype=np.int64)
    weight = ones * len(posts.score) / reviews
    while True:
        chosen = rng.integers(0, len(posts.score), reviews)
        yield Reviewed(posts.label[chosen], posts.score[chosen], weight, zeros, ones, uniform=True)


def intervals(samples, posts: Posts, runs: int, method: str):
    """Return estimates and interval ends of the first ``runs`` samples, each of shape (runs,)."""
    population = posts.population
    found = []
    for sample, _ in zip(samples, range(runs), strict=False):
        if method == "reviewed":
            found.append(reviewed_share(sample, total=population.posts, mean=population.mean))
        elif method == "powered":
            found.append(powered_share(sample, population))
        else:
            found.append((float(sample.label.mean()), float(len(sample.label))))
    share, size = np.array(found).T
    return (share, *binomial_interval(np.clip(share, 0, 1), size, LEVEL))


def holds(ends, truth: float) -> float:
    return float(np.mean((ends[1] <= truth) & (truth <= ends[2])))


def naive(posts: Posts) -> float:
    """Count what a threshold at a false-positive rate of 1% flags, as if all of it were violent."""
    threshold = np.quantile(posts.score[~posts.label], 0.99)
    return float(np.mean(posts.score >= threshold))


def run_coverage(runs: int, scorers, seed: int) -> None:
    print(
        "| scorer | prevalence | recall | odds off by | reviewed | reviewed sample | width | "
        "prediction-powered | width | plain sample's width | naive count |"
    )
    print("| --- |" + " ---: |" * 10)
    for scorer in scorers:
        rng = np.random.default_rng(seed)
        for prevalence in PREVALENCES:
            for recall in RECALLS:
                for factor in FACTORS:
                    posts = make_posts(prevalence, recall, factor, blind=scorer == "blind", rng=rng)
                    for reviews in REVIEWS:
                        print_cell(scorer, prevalence, recall, factor, reviews, posts, runs, rng)


def print_cell(scorer, prevalence, recall, factor, reviews, posts, runs, rng) -> None:
    truth = float(posts.label.mean())
    parts = []
    for method in ("reviewed", "powered", "plain"):
        source = (
            draw(posts, design(posts, reviews), rng)
            if method == "reviewed"
            else draw_plain(posts, reviews, rng)
        )
        ends = intervals(source, posts, runs, method)
        if method != "plain":
            parts.append(f"{holds(ends, truth):.1%}")
        parts.append(f"{np.mean(ends[2] - ends[1]) / truth:.2f}")
    counted = naive(posts) / truth
    print(
        f"| {scorer} | {prevalence:.2%} | {recall} | {factor:g} | {reviews:,} | "
        + " | ".join(parts)
        + f" | {counted:.1f} |",
        flush=True,
    )


def run_trend(runs: int, seed: int) -> None:
    print("| scores | weekly spread | rise found | false alarms | interval holds | change point |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for recall in (None, 0.9, 0.7, 0.5):
        for spread in (1.0, 2.0):
            row = [trend_row(ratio, recall, spread, runs, seed) for ratio in (2.0, 1.0)]
            name = "labels themselves" if recall is None else f"recall {recall} at 1% false alarms"
            print(
                f"| {name} | {spread:g} | {row[0][0]:.1%} | {row[1][0]:.1%} | {row[0][1]:.1%} | "
                f"{row[0][2]:.1%}, {row[1][2]:.1%} |",
                flush=True,
            )


def trend_row(ratio, recall, spread, runs, seed):
    """Return how often a trend is found, its interval holds the ratio, a change point is found."""
    rng, weeks, posts, base = np.random.default_rng(seed), 8, 5_000, 0.005
    shares = base * ratio ** (np.arange(weeks) / (weeks - 1))
    found = inside = changed = 0
    for _ in range(runs):
        # A gamma factor on each week makes counts vary `spread` times as much as Poisson ones.
        extra = (spread - 1) / (posts * shares)
        factor = rng.gamma(1 / extra, extra) if spread > 1 else np.ones(weeks)
        violent = rng.binomial(posts, np.minimum(shares * factor, 1))
        counts, noise = (violent, None) if recall is None else scored(violent, recall, rng)
        trend = fit_trend(counts, [posts] * weeks, noise=noise)
        found += trend.p_value < 0.05 and (ratio == 1 or trend.ratio > 1)
        inside += trend.low <= ratio <= trend.high
        changed += trend.change_point.p_value < 0.05
    return found / runs, inside / runs, changed / runs


def scored(violent, recall, rng):
    """Return counts by scores and their standard errors, as hostrisk.host.measuring makes them."""
    posts, base = 5_000, 0.005
    apart = stats.norm.ppf(0.99) + stats.norm.ppf(recall)

    def probability(place):
        odds = base / (1 - base) * np.exp(apart * place - apart**2 / 2)
        return odds / (1 + odds)

    grid = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    other = probability(grid).mean()
    gap = probability(grid + apart).mean() - other
    signals = []
    for number in violent:
        scores = probability(rng.normal(size=posts) + apart * (np.arange(posts) < number))
        signals.append((scores.mean(), scores.std()))
    mean, spread = np.array(signals).T
    return posts * (mean - other) / gap, spread * posts**0.5 / gap


def run_parler(runs: int, data: str, seed: int) -> None:
    """All labeled posts, most of which trained the models, and those held out from training."""
    import hostrisk
    from training import retrain

    prepared = retrain.prepare(
        data, retrain.load_config(Path("training/config.toml")), Path(".cache")
    )
    rows = prepared.rows
    of_parler = ((rows["source"] == "parler_violence") & (rows["label"] >= 0)).to_numpy()
    sets = {"all": of_parler, "held out": of_parler & (prepared.splits == "test")}
    print("| posts | violent | model | holds | width | over the best | over a plain one | bias |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, chosen in sets.items():
        texts, label = rows["text"][chosen].tolist(), rows["label"][chosen].to_numpy() == 1
        for model in ("fast", "accurate"):
            posts = Posts(label, np.array(hostrisk.load(model).score(texts)))
            figures = parler_row(posts, runs, seed)
            print(f"| {name}: {len(label):,} | {label.sum()} | {model} | {figures}", flush=True)


def parler_row(posts: Posts, runs: int, seed: int) -> str:
    rng, truth, reviews = np.random.default_rng(seed), float(posts.label.mean()), 300
    shares = smooth(step_of(posts.score), posts.label)
    sources = (
        draw(posts, design(posts, reviews), rng),
        draw(posts, design(posts, reviews, shares), rng),
        draw_plain(posts, reviews, rng),
    )
    ends = [
        intervals(source, posts, runs, method)
        for source, method in zip(sources, ("reviewed", "reviewed", "plain"), strict=True)
    ]
    width, best, plain = (float(np.mean(high - low)) for _, low, high in ends)
    bias = float(np.mean(ends[0][0])) / truth - 1
    return (
        f"{holds(ends[0], truth):.1%} | {width:.4f} | {width / best:.2f} | {width / plain:.2f} | "
        f"{bias:+.1%} |"
    )


def smooth(steps, label):
    """Return the true share of violent posts at each step, rising with the score."""
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression(out_of_bounds="clip").fit(steps, label)
    return np.clip(fit.predict(np.arange(STEPS)), 1e-6, 1 - 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["coverage", "trend", "parler"])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--scorer", choices=["smooth", "blind"])
    parser.add_argument("--data")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.perf_counter()
    if options.what == "coverage":
        scorers = [options.scorer] if options.scorer else ["smooth", "blind"]
        run_coverage(options.runs or 2_000, scorers, options.seed)
    elif options.what == "trend":
        run_trend(options.runs or 1_000, options.seed)
    else:
        run_parler(options.runs or 1_000, options.data, options.seed)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
