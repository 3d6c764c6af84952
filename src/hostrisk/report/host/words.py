"""Figures, dates and methods of a host assessment in the words in which they are shown.

Methods that the explanations name: Horvitz & Thompson 1952, JASA 47 (reviewed sample);
Angelopoulos et al. 2023, Science 382 (prediction-powered inference); Rogan & Gladen 1978, American
Journal of Epidemiology 107 (model-based); Kaplan & Meier 1958, JASA 53 (time to removal).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "BLIND",
    "OF_10_000",
    "OTHER_TERMS",
    "PERCENT",
    "TIERS",
    "UNKNOWN",
    "Unit",
    "call_method",
    "count",
    "day",
    "estimate",
    "explain",
    "figures",
    "hours",
    "moment",
    "p_value",
    "rate",
    "share",
    "share_of",
    "short_day",
    "since",
    "unit_for",
]

TIERS = {
    "low": "nothing in the figures asks for more than routine checks",
    "watch": "look at this host again soon",
    "notice": "people read the posts, and the host is told of those that hold",
    "act": "people read the posts, and decide now what the contract and the law allow",
}
UNKNOWN = "not known"
BLIND = "Prevalence is not known: whatever the tier, nobody can say that this host is safe."
OTHER_TERMS = (
    "The model, the policy or the threshold differ between the two assessments: a change may come "
    "from that and not from the posts."
)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905  # any locale
_ONE_PERCENT = 0.01


class Unit(NamedTuple):
    """In what the shares of one table or chart are given, so that they can be compared."""

    factor: int
    label: str
    sign: str

    @property
    def short(self) -> str:
        """What follows a number that no table or axis explains; empty for a percentage."""
        return "" if self.sign else " per 10,000"

    def show(self, value: float | None) -> str:
        """Write a share in this unit, without the unit's name."""
        return "" if value is None else f"{figures(value * self.factor)}{self.sign}"

    def between(self, low: float | None, high: float | None) -> str:
        """Write an interval in this unit; empty where there is none."""
        return "" if low is None or high is None else f"{self.show(low)} to {self.show(high)}"


OF_10_000 = Unit(10_000, "per 10,000 posts", "")
PERCENT = Unit(100, "% of posts", "%")


def unit_for(values: Iterable[float | None]) -> Unit:
    """Choose the unit: percent where every known share is at least 1%, else per 10,000."""
    known = [value for value in values if value]
    return PERCENT if known and min(known) >= _ONE_PERCENT else OF_10_000


def figures(value: float) -> str:
    """Write a number with two significant figures below 100, three from there on."""
    if value == 0:
        return "0"
    digits = 3 if abs(value) >= 99.5 else 2
    rounded = float(f"{value:.{digits - 1}e}")
    places = max(0, digits - 1 - _magnitude(rounded))
    return f"{rounded:,.{places}f}"


def _magnitude(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def rate(value: float) -> str:
    """Write a prevalence: per 10,000 posts below 1%, in percent from there on."""
    if value < _ONE_PERCENT:
        return f"{figures(value * 10_000)} per 10,000"
    return share(value)


def share(value: float) -> str:
    """Write a share in percent."""
    nearly_all = 0.995 <= value < 1
    return f"{value:.2%}" if nearly_all else f"{figures(value * 100)}%"


def estimate(found: Mapping[str, Any], level: str) -> str:
    """Write a prevalence with its interval: 21 per 10,000 (95% interval 15 to 30)."""
    return _with_interval(found, "prevalence", rate, level)


def share_of(found: Mapping[str, Any], level: str) -> str:
    """Write a share with its interval: 13% (95% interval 9.0% to 18%)."""
    return _with_interval(found, "share", share, level)


def _with_interval(
    found: Mapping[str, Any], key: str, show: Callable[[float], str], level: str
) -> str:
    if found[key] is None:
        return UNKNOWN
    unit = unit_for([found[key]]) if key == "prevalence" else PERCENT
    between = unit.between(found["low"], found["high"])
    return f"{show(found[key])} ({level} interval {between})" if between else show(found[key])


def p_value(value: float | None) -> str:
    """Write a p-value: p = 0.003, p < 0.001; empty where there is none."""
    if value is None:
        return ""
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.1g}" if value < 0.01 else f"p = {value:.2f}"


def hours(value: float | None) -> str:
    """Write a time span given in hours."""
    if value is None:
        return UNKNOWN
    if value < 48:
        return count(1, "hour") if value == 1 else f"{figures(value)} hours"
    return f"{figures(value / 24)} days"


def since(start: str | None) -> str:
    """Name from when times to removal count: the report of a post, or its posting."""
    return "posting" if start == "post" else str(start)


def count(number: int, noun: str) -> str:
    """Write a number with its noun: 1 post, 5,200 posts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def day(text: str | None) -> str:
    """Write an ISO date as 2 Nov 2020; what is no date stays as it is."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return text or UNKNOWN
    return f"{found.day} {_MONTHS[found.month - 1]} {found.year}"


def short_day(text: str) -> str:
    """Write an ISO date as 2 Nov."""
    return day(text[:10]).rpartition(" ")[0]


def moment(text: str | None) -> str:
    """Write an ISO time as 5 Jan 2021, 12:00 UTC; what is no time stays as it is."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return text or UNKNOWN
    zone = ""
    if found.tzinfo:
        found, zone = found.astimezone(UTC), " UTC"
    return f"{day(found.date().isoformat())}, {found:%H:%M}{zone}"


# --- methods -------------------------------------------------------------------------------------


def call_method(method: str | None) -> str:
    """Name a method so that an estimate nobody has checked on this host shows as one."""
    if method is None:
        return "no method"
    return "model-based estimate" if method == _MODEL_BASED else method


_MODEL_BASED = "model-based"
_EXPLAINED = {
    "reviewed sample": (
        "Reviewed sample",
        (
            "People read posts of a random sample and said of each whether it is violent "
            "incitement. Each post had a known chance to be drawn, and stands for as many posts "
            "as that chance says (the Horvitz-Thompson estimator). The estimate does not rest on "
            "the model being right; the model only helped to choose which posts to draw more "
            "often."
        ),
    ),
    "prediction-powered": (
        "Prediction-powered",
        (
            "The model scored every post, and people read some of them. How far the model was off "
            "on the posts that were read corrects its figure for all posts. The estimate holds "
            "even where the model is wrong; a better model only makes the interval narrower."
        ),
    ),
    _MODEL_BASED: (
        "Model-based: an estimate that trusts the model",
        (
            "Too few posts were reviewed, or none. The share of flagged posts is corrected by the "
            "recall and the false-positive rate that the model had on other posts, with how "
            "unsure those are. It takes for granted that the model does as well here, which "
            "nobody has checked. The interval is wide, and the truth may still lie outside it. "
            "Review a random sample of the posts to replace this figure."
        ),
    ),
}
_COUNTING = (
    "Why flagged posts are not simply counted",
    (
        "A model misses some violent posts and flags some harmless ones. Where violent posts are "
        "rare, even a small share of the many harmless posts outweighs them: if 20 of 10,000 "
        "posts are violent, and the model finds 10 of these and flags 1 in 200 of the others, it "
        "flags 60 posts, of which 50 are harmless. The count would be three times the truth; with "
        "another model it could as well be below it."
    ),
)
_TOGETHER = (
    "Weekly intervals",
    (
        "The intervals of all weeks together are meant to hold at the level (Bonferroni), so that "
        "each is wider than an interval of its own would be."
    ),
)
_TRENDS = (
    "Weeks and trends",
    (
        "The figure of a week is that of the whole period, moved by how far the week's scores, or "
        "its flagged posts, lie from the whole. The ratio of a trend compares the last week with "
        "the first, along a line fitted to all weeks; 1 is no change. Trends of kinds and targets "
        "are those of flagged posts. Many trends are tested at once, and p-values are adjusted for "
        "that. A rise may come from a topic in the news that the model flags wrongly; only "
        "reviewed posts can tell."
    ),
)
_REMOVAL = (
    "Removal of posts",
    (
        "Shares and times rest on the removal and report times that were given; whether a removal "
        "was right, and who did it, they do not tell. The curve of posts still open is a "
        "Kaplan-Meier curve: a post that is open at the end counts as open for as long as it was "
        "seen, not as never removed. Posts that were made too late for 24 hours or 7 days to have "
        "passed are not in the shares removed within these."
    ),
)
_LIMITS = (
    "What the classifier is not",
    (
        "It judges the words of single posts. It does not know who wrote a post, what they meant, "
        "what went before, or what a picture showed. It misses calls by allusion, and flags "
        "figures of speech and quotations. Its scores rank posts for people to read; no score is "
        "a finding of fact or of law. Posts in languages that it does not know are counted as "
        "such, and are not taken to be harmless."
    ),
)


def explain(
    methods: Iterable[str | None], level: str, *, together: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield title and text of what a reader must know about the methods that were used.

    :param level: of intervals, in words.
    :param together: whether the intervals of all weeks hold at once.
    """
    yield (
        "What is counted",
        (
            "Prevalence is the share of posts that threaten, call for, praise or wish physical "
            "violence, as the policy defines it. All figures describe posts, not people: they do "
            "not say how many people wrote them, and nothing about any one of them."
        ),
    )
    for method in dict.fromkeys(method for method in methods if method is not None):
        yield _EXPLAINED.get(method, (method.capitalize(), "No explanation of it is stored here."))
    yield (
        f"What a {level} interval says",
        (
            f"If the same way of drawing and estimating were repeated many times, about {level} of "
            "such intervals would hold the true figure. A wide interval means that the posts "
            "cannot tell; figures whose intervals overlap widely should not be ranked."
        ),
    )
    if together:
        yield _TOGETHER
    yield _COUNTING
    yield _TRENDS
    yield _REMOVAL
    yield _LIMITS
