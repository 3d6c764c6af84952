"""Whether a model treats people alike: by group named, by name, by side, by dialect, by stance.

Areas under the ROC curve by group follow Borkan et al. 2019, "Nuanced Metrics for Measuring
Unintended Bias with Real Data for Text Classification": *subgroup* within the posts that name a
group; *BPSN*, its harmless posts against violent ones of others (low: harmless posts that name it
score too high); *BNSP*, its violent posts against harmless ones of others (low: violence against
it is missed). Templates filled with groups follow Dixon et al. 2018, "Measuring and Mitigating
Unintended Bias in Text Classification"; swapped names and sides, Garg et al. 2019, "Counterfactual
Fairness in Text Classification through Robustness".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk import material
from hostrisk.decide import resolve_threshold
from hostrisk.labeled import check_sample
from hostrisk.metrics import Share, auc_interval, ratio_interval, share_of
from hostrisk.records import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hostrisk.classifier import Classifier

    Floats = NDArray[np.float64]
    Score = Callable[[Sequence[str]], Floats]

__all__ = [
    "AREAS", "ON_POSTS", "SLICES", "Area", "Dialects", "Fairness", "IdentityResult",
    "SwapResult", "compare_dialects", "measure_fairness",
]  # fmt: skip

AT = "balanced"
AREAS = ("subgroup", "bpsn", "bnsp")
ON_POSTS = "harmless posts given"
SLICES = ("questions", "condemnation", "counter_speech")
_LEAST_OF_EACH = 20  # posts of each label that name a group, for its areas to be given


class Area(NamedTuple):
    """An area under the ROC curve, None with too few texts; its 95% interval on posts."""

    estimate: float | None
    low: float | None
    high: float | None


class IdentityResult(NamedTuple):
    """What happens to texts that name a group of people."""

    name: str
    family: str
    positives: int
    negatives: int
    subgroup: Area
    bpsn: Area
    bnsp: Area
    false_positive_rate: float
    recall: float


class SwapResult(NamedTuple):
    """How far the probability moves where one side is named in place of the other.

    ``mean_change`` is the mean of its absolute value, ``shift`` the mean of what the first side
    gets more than the second; where a post is swapped within, that has no meaning and is None.
    """

    name: str
    label: int
    texts: int
    mean_change: float
    largest: float
    shift: float | None


class Dialects(NamedTuple):
    """Shares flagged among posts in two dialects, and the first over the second."""

    name: str
    aae: Share
    white: Share
    ratio: float
    low: float
    high: float


class Fairness(NamedTuple):
    """All figures; ``posts`` are those of the user's own labeled texts, if some were given."""

    model: str
    threshold: float
    at: str
    posts: int
    identities: tuple[IdentityResult, ...]
    posts_identities: tuple[IdentityResult, ...]
    names: tuple[Share, ...]
    names_violent: tuple[Share, ...]
    sides: tuple[SwapResult, ...]
    posts_sides: tuple[SwapResult, ...]
    dialects: tuple[Dialects, ...]
    slices: tuple[Share, ...]

    def mean_areas(self) -> dict[str, float]:
        """Return the mean of each area over the groups of the templates."""
        return {
            name: float(np.mean([getattr(found, name).estimate for found in self.identities]))
            for name in AREAS
        }

    def mean_change(self) -> float:
        """Return how far scores move on average where political sides are swapped."""
        moved = [found.mean_change for found in self.sides]
        return float(np.average(moved, weights=[found.texts for found in self.sides]))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold."""
        return {**plain(self), "means": {**self.mean_areas(), "side_change": self.mean_change()}}

    def to_text(self) -> str:
        """Return the figures as aligned tables for a terminal."""
        from hostrisk.report.fairness import render_text

        return render_text(self.to_dict())

    def to_html(self) -> str:
        """Return the figures as one self-contained HTML page."""
        from hostrisk.report.fairness import render_html

        return render_html(self.to_dict())


def measure_fairness(
    classifier: Classifier,
    texts: Sequence[str] = (),
    labels: Sequence[int] = (),
    *,
    at: str = AT,
    scores: Floats | None = None,
) -> Fairness:
    """Audit a model on the texts that come with hostrisk and, if given, on labeled posts.

    :param labels: 1 violent incitement, 0 not, one for each text.
    :param at: the threshold of the model by name.
    :param scores: what the model says of these texts, where it is known already.
    :raises InputError: the model has no such threshold, or a text has no label of 0 or 1.
    """
    check_sample(texts, labels)
    threshold = resolve_threshold(classifier.artifact, classifier.policy, at=at)

    def score(given: Sequence[str]) -> Floats:
        return np.asarray(classifier.score(list(given)), dtype=np.float64)

    truth = np.asarray(labels, dtype=np.int64)
    known = score(texts) if scores is None else np.asarray(scores, dtype=np.float64)
    harmless, violent = _names(score, threshold)
    return Fairness(
        model=classifier.model_id,
        threshold=threshold,
        at=at,
        posts=len(texts),
        identities=tuple(_template_identities(score, threshold)),
        posts_identities=tuple(_post_identities(texts, truth, known, threshold)),
        names=harmless,
        names_violent=violent,
        sides=tuple(_template_sides(score)),
        posts_sides=tuple(_post_sides(score, texts, truth, known)),
        dialects=(*_template_dialects(score, threshold),
                  *compare_dialects(texts, truth, known, threshold)),
        slices=tuple(
            share_of(name, score([item.text for item in material.texts(name)]) >= threshold)
            for name in SLICES
        ),
    )  # fmt: skip


# --- groups --------------------------------------------------------------------------------------


def _fill(templates: Sequence[material.Text], slot: str, value: str) -> list[str]:
    return [
        filled[0].upper() + filled[1:] if template.text.startswith("{") else filled
        for template in templates
        for filled in [template.text.replace(slot, value)]
    ]


def _labels(templates: Sequence[material.Text]) -> NDArray[np.int64]:
    return np.array([template.label for template in templates], dtype=np.int64)


def _template_identities(score: Score, threshold: float) -> list[IdentityResult]:
    templates, groups = material.templates("identity"), material.identities()
    truth = np.tile(_labels(templates), len(groups))
    scores = score([text for one in groups for text in _fill(templates, "{group}", one.term)])
    member = np.repeat(np.arange(len(groups)), len(templates))
    # Fillings of one template resemble one another, so that no interval is given.
    return [
        _identity(one, member == at, truth, scores, threshold, intervals=False)
        for at, one in enumerate(groups)
    ]


def _post_identities(
    texts: Sequence[str], truth: NDArray[np.int64], scores: Floats, threshold: float
) -> list[IdentityResult]:
    found = []
    for one in material.identities():
        inside = np.array([one.words.search(text) is not None for text in texts], dtype=np.bool_)
        if min(np.sum(truth[inside] == label) for label in (0, 1)) >= _LEAST_OF_EACH:
            found.append(_identity(one, inside, truth, scores, threshold, intervals=True))
    return found


def _identity(
    group: material.Identity,
    inside: NDArray[np.bool_],
    truth: NDArray[np.int64],
    scores: Floats,
    threshold: float,
    *,
    intervals: bool,
) -> IdentityResult:
    own = [scores[inside & (truth == label)] for label in (0, 1)]
    others = [scores[~inside & (truth == label)] for label in (0, 1)]

    def area(negatives: Floats, positives: Floats) -> Area:
        if min(len(negatives), len(positives)) < _LEAST_OF_EACH:  # every post names the group
            return Area(None, None, None)
        estimate, low, high = auc_interval(negatives, positives)
        return Area(estimate, low, high) if intervals else Area(estimate, None, None)

    return IdentityResult(
        group.term,
        group.family,
        len(own[1]),
        len(own[0]),
        subgroup=area(own[0], own[1]),
        bpsn=area(own[0], others[1]),
        bnsp=area(others[0], own[1]),
        false_positive_rate=float((own[0] >= threshold).mean()),
        recall=float((own[1] >= threshold).mean()),
    )


def _names(score: Score, threshold: float) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
    """Return what is flagged by family of names: of harmless templates, and of violent ones."""
    templates = material.templates("name")
    truth = _labels(templates)
    shares: tuple[list[Share], list[Share]] = [], []
    for family, names in material.names().items():
        filled = [text for name in names for text in _fill(templates, "{name}", name)]
        flagged = (score(filled) >= threshold).reshape(len(names), len(templates))
        for label in (0, 1):
            shares[label].append(share_of(family, flagged[:, truth == label].ravel()))
    return tuple(shares[0]), tuple(shares[1])


# --- sides ---------------------------------------------------------------------------------------


def _template_sides(score: Score) -> list[SwapResult]:
    templates = material.templates("sides")
    truth, found = _labels(templates), []
    for pair in material.sides():
        first, second = (score(_fill(templates, "{side}", side)) for side in pair[:2])
        for label in (0, 1):
            name = f"{pair.first} / {pair.second}"
            change = (first - second)[truth == label]
            found.append(_swapped(name, label, change, shift=float(change.mean())))
    return found


def _post_sides(
    score: Score, texts: Sequence[str], truth: NDArray[np.int64], scores: Floats
) -> list[SwapResult]:
    found = []
    for pair in material.sides():
        swapped = [pair.swap(text) for text in texts]
        rows = [row for row, text in enumerate(texts) if swapped[row] != text]
        change = score([swapped[row] for row in rows]) - scores[rows]
        for label in (0, 1):
            own = change[truth[rows] == label]
            if len(own) >= _LEAST_OF_EACH:
                found.append(_swapped(f"{pair.first} / {pair.second}", label, own, shift=None))
    return found


def _swapped(name: str, label: int, change: Floats, *, shift: float | None) -> SwapResult:
    size = np.abs(change)
    return SwapResult(name, label, len(change), float(size.mean()), float(size.max()), shift)


# --- dialects ------------------------------------------------------------------------------------


def _template_dialects(score: Score, threshold: float) -> list[Dialects]:
    texts = {name: material.texts(f"dialect_{name}") for name in ("aae", "white")}
    flagged = {name: score([item.text for item in found]) >= threshold
               for name, found in texts.items()}  # fmt: skip
    return [
        _compare(name, *(flagged[one][_labels(texts[one]) == label] for one in ("aae", "white")))
        for label, name in ((0, "harmless pairs"), (1, "violent pairs"))
    ]


def compare_dialects(
    texts: Sequence[str], truth: NDArray[np.int64], scores: Floats, threshold: float
) -> list[Dialects]:
    """Compare how often harmless posts in two dialects are flagged; none where too few are.

    :param truth: labels 0 and 1, shape (texts,).
    :param scores: of the texts, shape (texts,).
    """
    dialects = np.array([material.dialect_of(text) for text in texts], dtype=object)
    groups = [(scores[(truth == 0) & (dialects == one)] >= threshold) for one in ("aae", "white")]
    if min(map(len, groups)) < _LEAST_OF_EACH:
        return []
    return [_compare(ON_POSTS, *groups)]


def _compare(name: str, aae: NDArray[np.bool_], white: NDArray[np.bool_]) -> Dialects:
    first, second = share_of("aae", aae), share_of("white", white)
    return Dialects(name, first, second, *ratio_interval(first, second))
