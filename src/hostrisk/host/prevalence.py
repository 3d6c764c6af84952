"""How common violent incitement is: estimates with intervals that hold where it is rare.

Counting flagged posts is wrong where few are violent: most of what is flagged is then a false
alarm. Three estimators, chosen by what is known, and named in every result:

* ``reviewed sample``: people labeled posts that were drawn with known inclusion probabilities, the
  high scores more often. Horvitz & Thompson 1952 (JASA 47): each labeled post stands for
  1 / probability posts.
* ``prediction-powered``: people labeled a plain random sample; what the scores say of all posts
  is put right by what the labels say of the scores. Angelopoulos et al. 2023, Science 382 (arXiv
  2301.09633), with the weight of the scores chosen by the data (PPI++, arXiv 2311.01453).
* ``model-based``: nobody labeled anything; the share flagged is put right by the recall and the
  false-positive rate measured for the model. Rogan & Gladen 1978 (Am. J. Epidemiol. 107), interval
  of Lang & Reiczigel 2014 (Prev. Vet. Med. 113), which carries the uncertainty of both rates.

Intervals of the first two take the effective sample size, the plain random sample that would have
the same variance, into the binomial interval (Korn & Graubard 1998, Survey Methodology 24). A
stratum in which no violent post was found does not have variance zero: the rate there is taken from
its labels and its scores together. docs/statistics.md has the formulas and simulations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "MODEL_BASED", "POWERED", "REVIEWED", "Population", "Prevalence", "Rates", "Reviewed",
    "adjusted_share", "binomial_interval", "estimate", "powered_mean", "powered_share",
    "reviewed_share", "special",
]  # fmt: skip

REVIEWED = "reviewed sample"
POWERED = "prediction-powered"
MODEL_BASED = "model-based"

# A stratum's rate is known before any label as if its scores were worth this many violent posts.
_PRIOR_POSITIVES = 0.5
# And as if this share of the violent posts had scores like any other post.
_SCORED_AT_RANDOM = 0.01
# The weight of the scores is known before any label as if from so many violent posts, and half of
# what the scores save is trusted when there are so many.
_PRIOR_WEIGHT = 5
_LEARNED = 10


class Prevalence(NamedTuple):
    """A share of posts with its interval; None where nothing can be said.

    ``posts`` is the number of posts that the share is of, ``reviewed`` that of posts people
    labeled among them, ``positives`` that of those they found violent.
    """

    posts: int
    prevalence: float | None
    low: float | None
    high: float | None
    method: str
    reviewed: int = 0
    positives: int = 0


class Population(NamedTuple):
    """What is known of all posts: their number, how many are flagged, their scores' moments."""

    posts: int
    flagged: int
    mean: float
    variance: float


class Reviewed(NamedTuple):
    """Posts that people labeled, all arrays of shape (reviewed,).

    ``weight`` is 1 / inclusion probability, ``stratum`` a code from 0, ``value`` what a post counts
    as: 1, or its views. ``uniform``: every post had the same chance.
    """

    label: NDArray[np.bool_]
    score: NDArray[np.float64]
    weight: NDArray[np.float64]
    stratum: NDArray[np.int64]
    value: NDArray[np.float64]
    uniform: bool

    def where(self, chosen: NDArray[np.bool_]) -> Reviewed:
        """Return the posts that are chosen by a boolean array."""
        return Reviewed(
            self.label[chosen], self.score[chosen], self.weight[chosen], self.stratum[chosen],
            self.value[chosen], self.uniform,
        )  # fmt: skip

    def relabeled(self, label: NDArray[np.bool_]) -> Reviewed:
        """Return the same posts with other labels, such as those of one kind."""
        return self._replace(label=label)


class Rates(NamedTuple):
    """What was measured of a model at a threshold, and on how many posts."""

    recall: float
    false_positive_rate: float
    positives: float
    negatives: float


def special() -> tuple[Any, Any]:
    """Return ``scipy.special`` and ``scipy.stats``.

    :raises MissingExtraError: scipy is not installed.
    """
    try:
        import scipy.special
        import scipy.stats
    except ImportError as error:
        raise MissingExtraError("Assessing a host", package="scipy", extra="host") from error
    return scipy.special, scipy.stats


# --- intervals -----------------------------------------------------------------------------------


def binomial_interval(
    share: NDArray[np.float64] | float, size: NDArray[np.float64] | float, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mid-p interval of a share found in a plain random sample of ``size`` posts.

    ``share`` and ``size`` are numbers or arrays of one shape; ``share * size`` need not be whole
    (the binomial tails are then those of the beta distribution). Where not even a sample without
    a violent post could speak against a share, all of the error is left to the lower end. The
    interval lies within 0 to 1 and is never empty.

    Source: mid-p after Lancaster 1961 (JASA 56); unequal tails after Blaker 2000 (Can. J. Stat.
    28).
    """
    share, size = np.broadcast_arrays(np.asarray(share, float), np.asarray(size, float))
    error = 1 - level

    def stays_below(at: NDArray[np.float64]) -> NDArray[np.bool_]:
        return _lower_tail(at, share, size) > error / 2

    def is_rejected(at: NDArray[np.float64]) -> NDArray[np.bool_]:
        none_found = 0.5 * (1 - at) ** size
        allowed = np.where(none_found > error / 2, error, error / 2)
        return 1 - _lower_tail(at, share, size) <= allowed

    high = _bisect(stays_below, share, np.ones_like(share))
    low = _bisect(is_rejected, np.zeros_like(share), share)
    return np.where(share * size > 0, low, 0.0), np.where(share >= 1, 1.0, high)


def _lower_tail(
    at: NDArray[np.float64], share: NDArray[np.float64], size: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mid-p chance of at most ``share * size`` where the true share is ``at``."""
    functions = special()[0]
    count = share * size
    at_most = functions.betaincc(count + 1, np.maximum(size - count, 1e-9), at)
    fewer = functions.betaincc(np.maximum(count, 1e-9), size - count + 1, at)
    tail: NDArray[np.float64] = (at_most + np.where(count > 0, fewer, 0.0)) / 2
    return tail


def _bisect(
    goes_up: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    for _ in range(45):
        middle = (low + high) / 2
        up = goes_up(middle)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return (low + high) / 2


# --- a sample drawn with known probabilities -----------------------------------------------------


def reviewed_share(sample: Reviewed, *, total: float, mean: float) -> tuple[float, float]:
    """Return the Horvitz-Thompson share and its effective sample size.

    :param total: what the share is of: the number of posts, or their views.
    :param mean: of the scores of all posts.
    """
    share = float(np.sum(sample.weight * sample.value * sample.label) / total)
    score = (1 - _SCORED_AT_RANDOM) * sample.score + _SCORED_AT_RANDOM * mean
    sample = sample._replace(score=score)
    strata = [sample.where(sample.stratum == code) for code in np.unique(sample.stratum)]
    worth = (sample.label.sum() + 0.5) / (score.sum() + 0.5)
    variance = expected = 0.0
    for stratum in strata:
        rate = _smoothed_rate(stratum, worth)
        drawn, stands_for = len(stratum.label), float(stratum.weight.sum())
        # A stratum that was reviewed whole has no variance.
        unseen = max(1 - drawn / stands_for, 0.0)
        spread = float(np.sum((stratum.weight * stratum.value) ** 2)) / total**2
        variance += unseen * spread * rate * (1 - rate)
        expected += rate * float(np.sum(stratum.weight * stratum.value)) / total
    if expected == 0.0:  # no post of the sample counts for anything, so it tells nothing
        return share, 0.0
    return share, effective_size(expected, variance, len(sample.label))


def _smoothed_rate(stratum: Reviewed, worth: float) -> float:
    """Return the share of violent posts of a stratum by its labels, and by its scores where few.

    :param worth: violent posts for each point of score, in the whole sample.
    """
    by_score = min(worth * float(stratum.score.mean()), 0.5)
    before = _PRIOR_POSITIVES / max(by_score, 1e-9)
    found = float(stratum.label.sum()) + _PRIOR_POSITIVES
    return found / (len(stratum.label) + before)


def effective_size(share: float, variance: float, least: int) -> float:
    if variance <= 0:
        return float(10**12)  # everything was reviewed
    return max(share * (1 - share) / variance, min(least, 1))


# --- a plain random sample and scores of all -----------------------------------------------------


def powered_mean(
    labels: NDArray[np.float64],
    scores: NDArray[np.float64],
    *,
    mean: float,
    variance: float,
    posts: int,
    weight: float | None = None,
) -> tuple[float, float, float]:
    """Return the prediction-powered mean, its standard error, and the weight of the scores.

    :param labels: of a plain random sample, shape (reviewed,).
    :param scores: of the same posts.
    :param mean: of the scores of all ``posts`` posts; ``variance`` likewise.
    :param weight: of the scores: 1 for the method as first published, None for the best (PPI++).

    Source: Angelopoulos et al. 2023, arXiv 2301.09633; Angelopoulos, Duchi & Zrnic 2023, arXiv
    2311.01453. Agrees with ppi-python.
    """
    size = len(labels)
    if weight is None:
        covariance = float(np.mean((labels - labels.mean()) * (scores - scores.mean())))
        pooled = (scores.sum() + mean * posts) / (size + posts)
        squares = float(np.sum((scores - pooled) ** 2)) + posts * (variance + (mean - pooled) ** 2)
        spread = squares / (size + posts - 1)
        weight = min(max(covariance / ((1 + size / posts) * spread), 0.0), 1.0) if spread else 0.0
    residual = labels - weight * scores
    estimate = weight * mean + float(residual.mean())
    error = (float(residual.var()) / size + weight**2 * variance / posts) ** 0.5
    return estimate, error, weight


def powered_share(sample: Reviewed, population: Population) -> tuple[float, float]:
    """Return the prediction-powered share of a plain random sample and its effective size.

    With few violent posts among the labels neither the best weight of the scores nor what they
    save can be learned from them: the weight is then held near violent posts for each point of
    score, and the saving is trusted the more, the more violent posts there are.
    """
    labels, scores = sample.label.astype(np.float64), sample.score
    size, found, positives = len(labels), float(labels.mean()), float(labels.sum())
    together = float(np.mean((labels - found) * (scores - scores.mean())))
    spread, plain = population.variance, found * (1 - found)
    before = (positives + 1) / (size * population.mean + 1)
    best = together / spread if spread > 0 else 0.0
    weight = max((positives * best + _PRIOR_WEIGHT * before) / (positives + _PRIOR_WEIGHT), 0.0)
    share, _, _ = powered_mean(
        labels, scores, mean=population.mean, variance=spread, posts=population.posts, weight=weight
    )
    saved = min(together**2 / (spread * plain), 0.98) if spread > 0 and plain > 0 else 0.0
    trusted = saved * positives / (positives + _LEARNED)
    least = positives / population.posts  # those that people found are there
    unseen = max(1 - size / population.posts, 1e-9)  # nearly 0 where everything was reviewed
    return min(max(share, least), 1.0), size / (1 - trusted) / unseen


# --- no labels -----------------------------------------------------------------------------------


def adjusted_share(
    flagged: float, posts: float, rates: Rates, level: float
) -> tuple[float, float, float]:
    """Return the share of violent posts by Rogan and Gladen, with the interval of Lang & Reiczigel.

    Where fewer are flagged than the false-positive rate explains, that rate does not fit this host;
    the interval then reaches from 0 to what recall alone allows, were every flag right. Where more
    are flagged than recall explains, it reaches to 1 from what the false-positive rate alone
    allows, were every violent post flagged.

    :param flagged: posts flagged out of ``posts``; both may be effective numbers.
    :raises InputError: the model tells violent posts from others no better than chance.
    """
    if rates.recall <= rates.false_positive_rate:
        raise InputError(
            "at this threshold the model's recall is not above its false-positive rate; choose "
            "another threshold, or review a sample"
        )
    found = flagged / posts
    gap = rates.recall - rates.false_positive_rate
    share = min(max((found - rates.false_positive_rate) / gap, 0.0), 1.0)
    low, high = _lang_reiczigel(found, posts, rates, level)
    if share == 0.0:
        most = float(binomial_interval(found, posts, level)[1])
        recall_low = float(binomial_interval(rates.recall, rates.positives, level)[0])
        low, high = 0.0, max(high, min(most / max(recall_low, 1e-9), 1.0))
    if share == 1.0:
        least = float(binomial_interval(found, posts, level)[0])
        wrong = float(binomial_interval(rates.false_positive_rate, rates.negatives, level)[1])
        low, high = min(low, max((least - wrong) / max(1 - wrong, 1e-9), 0.0)), 1.0
    return share, min(low, share), max(high, share)


def _lang_reiczigel(found: float, posts: float, rates: Rates, level: float) -> tuple[float, float]:
    z = float(special()[1].norm.ppf((1 + level) / 2))
    found = (posts * found + z * z / 2) / (posts + z * z)
    posts += z * z
    recall = (rates.positives * rates.recall + 1) / (rates.positives + 2)
    wrong = (rates.negatives * rates.false_positive_rate + 1) / (rates.negatives + 2)
    if recall <= wrong:  # so few posts told the rates that they tell nothing
        return 0.0, 1.0
    of_recall = recall * (1 - recall) / (rates.positives + 2)
    of_wrong = wrong * (1 - wrong) / (rates.negatives + 2)
    share = (found - wrong) / (recall - wrong)
    shift = 2 * z * z * (share * of_recall - (1 - share) * of_wrong)
    variance = found * (1 - found) / posts + share**2 * of_recall + (1 - share) ** 2 * of_wrong
    half = z * variance**0.5 / (recall - wrong)
    ends = (share + shift - half, share + shift + half)
    return min(max(ends[0], 0.0), 1.0), min(max(ends[1], 0.0), 1.0)


# --- one call ------------------------------------------------------------------------------------


def estimate(
    population: Population,
    *,
    sample: Reviewed | None = None,
    rates: Rates | None = None,
    total: float | None = None,
    flagged: float | None = None,
    level: float = 0.95,
) -> Prevalence:
    """Estimate the share of violent posts by the best method that is known enough for.

    :param sample: reviewed posts out of the population, if any.
    :param rates: of the model at the threshold at which ``population.flagged`` were flagged.
    :param total: what the share is of, where not of posts: the views of all posts; then ``value``
        of the sample are views, and ``flagged`` the share of the views that flagged posts have.
    """
    if population.posts == 0:
        return Prevalence(0, None, None, None, REVIEWED if sample else MODEL_BASED)
    reviewed = 0 if sample is None else len(sample.label)
    if sample is None or not reviewed:
        return _by_model(population, rates, flagged, level)
    if sample.uniform and total is None:
        share, size = powered_share(sample, population)
        method = POWERED
    else:
        share, size = reviewed_share(sample, total=total or population.posts, mean=population.mean)
        method = REVIEWED
    share, positives = min(max(share, 0.0), 1.0), int(sample.label.sum())
    low, high = map(float, binomial_interval(share, size, level))
    return Prevalence(population.posts, share, low, high, method, reviewed, positives)


def _by_model(
    population: Population, rates: Rates | None, flagged: float | None, level: float
) -> Prevalence:
    if rates is None:
        return Prevalence(population.posts, None, None, None, MODEL_BASED)
    count = population.flagged if flagged is None else flagged * population.posts
    return Prevalence(
        population.posts, *adjusted_share(count, population.posts, rates, level), MODEL_BASED
    )
