"""From figures on a host to a tier (low, watch, notice or act) by the rules of a policy file.

1. ``figures_of`` takes from an assessed host the figures that rules may use; what is not known is
   None, never 0.
2. A rule fires if all its conditions hold. It is false if one does not. Otherwise, where figures
   are not known, it is not judged, and says what is missing.
3. The highest tier with a rule that fired is the host's.

The rules are data: ``policies/host.toml`` holds the defaults, with the argument for each. A rule
of the tier "act" must ask for posts that people have read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import date, timedelta
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk._toml import read_toml
from hostrisk._visible import visible
from hostrisk.errors import PolicyError
from hostrisk.host.letters.terms import NoticeTerms
from hostrisk.host.prevalence import MODEL_BASED
from hostrisk.policy import KINDS, TARGETS, Policy

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "FIGURES", "TIERS", "Condition", "HostPolicy", "Judgement", "NoticeTerms", "Rule",
    "figures_of", "judge_host", "load_host_policy",
]  # fmt: skip

TIERS = ("low", "watch", "notice", "act")
FIGURES = {
    "posts": "posts",
    "reviewed": "posts that people read, on which the prevalence rests",
    "positives": "posts among these that people found violent",
    "prevalence": "share of posts that are violent, estimated",
    "prevalence_low": "lower end of that share",
    "prevalence_high": "upper end of that share",
    "views_prevalence_low": "lower end of the share of views that go to violent posts",
    "violent_posts_low": "posts times the lower end of the share",
    "last_prevalence": "share of violent posts in the latest whole week, estimated",
    "trend_ratio": "share of violent posts in the last week over that in the first",
    "trend_low": "lower end of that ratio",
    "trend_p_adjusted": "p-value of the trend, adjusted for all trends tested",
    "urgent_posts": "flagged posts with marks of a credible threat",
    "unsupported_share": "share of posts in languages that the model does not know",
    "removed_share_high": "upper end of the share of flagged posts that are removed",
    "violent_removed_high": "upper end of the share removed of posts found violent by people",
    "handled_24h_low": "lower end of the share of reported posts removed within 24 hours",
    "handled_24h_high": "upper end of the share of reported posts removed within 24 hours",
    "violent_handled_24h_high": "upper end of that share of reports on posts found violent",
    "backlog_open": "posts reported and not removed at the end",
    "backlog_growth": "how many more these are than four weeks before",
    "flagged_backlog_open": "posts reported, flagged and not removed at the end",
    "flagged_backlog_growth": "how many more these are than four weeks before",
}
_DEFAULT = Path(__file__).parents[1] / "policies" / "host.toml"
_READ_BY_PEOPLE = {"reviewed", "positives"}
_COUNTS = {
    "posts", "reviewed", "positives", "violent_posts_low", "urgent_posts", "backlog_open",
    "backlog_growth", "flagged_backlog_open", "flagged_backlog_growth",
}  # fmt: skip
_WORDS = ("host", "method")  # what a text may name beside figures
_FOUR_WEEKS = timedelta(days=28)
_LONGEST_NAME = 200
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=)\s*([-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)\s*")


class Condition(NamedTuple):
    """A figure must be at least a number (``>=``) or at most (``<=``)."""

    figure: str
    sign: str
    number: float

    def holds(self, value: float | None) -> bool | None:
        """Say whether a value meets it, as the number itself does; None where it is not known."""
        if value is None:
            return None
        return value >= self.number if self.sign == ">=" else value <= self.number


class Rule(NamedTuple):
    """A tier that a host reaches if all conditions hold, and the sentence that says so."""

    tier: str
    name: str
    text: str
    when: tuple[Condition, ...]


class HostPolicy(NamedTuple):
    """How hosts are assessed and judged; ``threshold`` is from where on a post is flagged."""

    name: str
    threshold: float | str
    level: float
    kinds: tuple[str, ...]
    targets: tuple[str, ...]
    keep: tuple[str, ...]
    notice: NoticeTerms
    rules: tuple[Rule, ...]

    @property
    def id(self) -> str:
        """Name of the policy with a hash of all it says."""
        content = json.dumps(self._asdict(), sort_keys=True).encode()
        return f"{self.name}@{hashlib.sha256(content).hexdigest()[:12]}"

    def text_policy(self) -> Policy:
        """Return the part of it that a classifier needs."""
        return Policy(self.name, self.threshold, self.kinds, self.targets)


class Judgement(NamedTuple):
    """The tier of a host, the rules that fired, and those that could not be judged.

    ``rules`` holds dicts with ``tier``, ``rule``, ``text`` and ``figures``; ``unjudged`` dicts with
    ``tier``, ``rule``, ``missing`` and ``text``; both with the highest tier first.
    """

    tier: str
    rules: tuple[dict[str, Any], ...]
    unjudged: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {"tier": self.tier, "rules": [*self.rules], "unjudged": [*self.unjudged]}


# --- the policy file -----------------------------------------------------------------------------


def load_host_policy(path: str | os.PathLike[str] | None = None) -> HostPolicy:
    """Read a policy from a TOML file, the default one without a path.

    Keys left out keep their defaults, but the name is custom; rules are taken all or none.

    :raises PolicyError: the file cannot be read, or holds unknown keys or impossible values.
    """
    default = _checked(read_toml(_DEFAULT, PolicyError), _DEFAULT, {})
    if path is None:
        return default
    return _checked(read_toml(path, PolicyError), path, default._replace(name="custom")._asdict())


def _checked(
    values: dict[str, Any], path: str | os.PathLike[str], defaults: dict[str, Any]
) -> HostPolicy:
    _known_keys(values, HostPolicy._fields, path)
    notice = defaults.get("notice", NoticeTerms())
    checks: dict[str, Callable[[Any], Any]] = {
        "name": lambda value: _text(value, path, "name"),
        "threshold": lambda value: _threshold(value, path),
        "level": lambda value: _level(value, path),
        "kinds": lambda value: _out_of(value, KINDS, path, "kinds"),
        "targets": lambda value: _out_of(value, TARGETS, path, "targets"),
        "keep": lambda value: _texts(value, path, "keep"),
        "notice": lambda value: _terms(value, path, notice),
        "rules": lambda value: _rules(value, path),
    }
    found = {key: check(values[key]) for key, check in checks.items() if key in values}
    return HostPolicy(**{**defaults, **found})


def _known_keys(values: Mapping[str, Any], known: Sequence[str], where: object) -> None:
    for key in values:
        if key not in known:
            raise PolicyError(f"{where} has the unknown key {key!r}; known are {', '.join(known)}")


def _text(value: Any, where: object, key: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise PolicyError(f"{where}: {key} must be text, not {value!r:.60}")
    return value


def _texts(value: Any, where: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise PolicyError(f"{where}: {key} must be a list of texts, not {value!r:.60}")
    return tuple(value)


def _out_of(value: Any, known: tuple[str, ...], where: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or any(item not in known for item in value):
        raise PolicyError(f"{where}: {key} must be a list out of {', '.join(known)}")
    return tuple(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _threshold(value: Any, where: object) -> float | str:
    if isinstance(value, str) and value:
        return value
    if _number(value) and 0 <= value <= 1:
        return float(value)
    raise PolicyError(
        f"{where}: threshold must be from 0 to 1 or the name of a threshold, not {value!r:.60}"
    )


def _level(value: Any, where: object) -> float:
    if not _number(value) or not 0 < value < 1:
        raise PolicyError(f"{where}: level must be between 0 and 1, not {value!r:.60}")
    return float(value)


def _terms(value: Any, where: object, default: NoticeTerms) -> NoticeTerms:
    if not isinstance(value, dict):
        raise PolicyError(f"{where}: notice must be a table, not {value!r:.60}")
    _known_keys(value, NoticeTerms._fields, f"{where}: notice")
    days = value.get("deadline_days", default.deadline_days)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= 3650:
        raise PolicyError(
            f"{where}: deadline_days of notice must be a whole number of days, not {days!r:.60}"
        )
    texts = {key: _text(value[key], where, f"{key} of notice", empty=True)
             for key in value if key != "deadline_days"}  # fmt: skip
    return default._replace(deadline_days=days, **texts)


# --- rules ---------------------------------------------------------------------------------------


def _rules(values: Any, path: object) -> tuple[Rule, ...]:
    if not isinstance(values, list) or not values:
        raise PolicyError(
            f"{path}: rules must be tables [[rules]], at least one, or every host would be low"
        )
    rules = tuple(_rule(value, f"{path}: rule {at}") for at, value in enumerate(values, 1))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(f"{path}: more than one rule has the name {name!r}")
    return rules


def _rule(value: Any, where: str) -> Rule:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} must be a table, not {value!r:.60}")
    _known_keys(value, Rule._fields, where)
    name = _text(value.get("name"), where, "name")
    where = f"{where}, {name!r:.60}"
    tier = value.get("tier")
    if tier not in TIERS[1:]:
        raise PolicyError(f"{where}: tier must be one of {', '.join(TIERS[1:])}, not {tier!r:.60}")
    when = _texts(value.get("when"), where, "when")
    if not when:
        raise PolicyError(f"{where}: when must hold at least one condition")
    rule = Rule(
        tier,
        name,
        _sentence(value.get("text"), where),
        tuple(_condition(text, where) for text in when),
    )
    _check_read_by_people(rule, where)
    return rule


def _condition(text: str, where: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise PolicyError(
            f"{where}: {text!r:.60} is no condition; write one as 'prevalence_low >= 0.01' or "
            "'handled_24h_high <= 0.5'"
        )
    _check_figure(match[1], where)
    number = float(match[3])
    if not math.isfinite(number):
        raise PolicyError(f"{where}: {match[3]!r:.60} is too large a number")
    return Condition(match[1], match[2], number)


def _check_figure(name: str, where: str, others: tuple[str, ...] = ()) -> None:
    if name not in FIGURES and name not in others:
        known = ", ".join([*FIGURES, *others])
        raise PolicyError(f"{where} has the unknown figure {name!r:.60}; known are {known}")


def _sentence(value: Any, where: str) -> str:
    """Check a text: names in braces and nothing else, so that no text can reach further."""
    text = _text(value, where, "text")
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise PolicyError(f"{where}: text has a brace without its other half: {error}") from error
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if form or conversion:
            raise PolicyError(f"{where}: text must name figures alone, such as {{posts}}")
        _check_figure(name, f"{where}: text", _WORDS)
    return text


def _check_read_by_people(rule: Rule, where: str) -> None:
    asked = any(
        condition.figure in _READ_BY_PEOPLE and condition.sign == ">=" and condition.number >= 1
        for condition in rule.when
    )
    if rule.tier == TIERS[-1] and not asked:
        raise PolicyError(
            f"{where}: a rule of the tier act must ask for posts that people have read, because "
            "figures of a model alone do not suffice; add a condition such as 'reviewed >= 100'"
        )


# --- figures -------------------------------------------------------------------------------------


def figures_of(
    host: Mapping[str, Any], *, period: Mapping[str, str] | None = None
) -> dict[str, float | None]:
    """Take the figures that rules may use from an assessed host; None for what is not known.

    ``reviewed`` and ``positives`` are not known where the prevalence does not rest on them.

    :param host: an entry of ``hosts`` in an assessment.
    :param period: ``start`` and ``end`` of the assessment, to tell which weeks are whole; without,
        the last week counts as unfinished.
    """
    found: dict[str, Any] = {
        **_amounts(host),
        **_trends(host, period),
        "urgent_posts": host.get("urgent"),
        "unsupported_share": _at(host, "unsupported", "share"),
        **_responses(host.get("responsiveness") or {}),
    }
    return {name: _finite(found[name]) for name in FIGURES}


def _finite(value: Any) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _at(found: Any, *keys: str) -> Any:
    """Go down through dicts; None where one is missing."""
    for key in keys:
        found = (found or {}).get(key)
    return found


def _amounts(host: Mapping[str, Any]) -> dict[str, Any]:
    overall = host.get("overall") or {}
    posts, low = overall.get("posts"), _finite(overall.get("low"))
    read = overall if _rests_on_people(overall) else {}
    return {
        "posts": posts,
        "reviewed": read.get("reviewed"),
        "positives": read.get("positives"),
        "prevalence": overall.get("prevalence"),
        "prevalence_low": low,
        "prevalence_high": overall.get("high"),
        "views_prevalence_low": _at(host, "views", "low"),
        "violent_posts_low": None if posts is None or low is None else math.floor(posts * low),
    }


def _rests_on_people(overall: Mapping[str, Any]) -> bool:
    model_alone = str(overall.get("method") or MODEL_BASED).startswith(MODEL_BASED)
    return bool(overall.get("reviewed")) and not model_alone


def _trends(host: Mapping[str, Any], period: Mapping[str, str] | None) -> dict[str, Any]:
    weeks = list(host.get("weeks") or ())
    if period is None:
        whole = weeks[:-1]
    else:
        end = date.fromisoformat(period["end"][:10])
        whole = [week for week in weeks if _last_day(week) <= end]
    return {
        "last_prevalence": whole[-1].get("prevalence") if whole else None,
        "trend_ratio": _at(host, "trend", "ratio"),
        "trend_low": _at(host, "trend", "low"),
        "trend_p_adjusted": _at(host, "trend", "p_adjusted"),
    }


def _last_day(week: Mapping[str, Any]) -> date:
    return date.fromisoformat(week["start"][:10]) + timedelta(days=6)


def _responses(response: Mapping[str, Any]) -> dict[str, Any]:
    backlog = response.get("backlog") or []
    every, flagged = _backlog(backlog, "open"), _backlog(backlog, "flagged")
    return {
        "removed_share_high": _at(response, "flagged", "high"),
        "violent_removed_high": _at(response, "violent", "high"),
        "handled_24h_low": _at(response, "reported", "handled_24h", "low"),
        "handled_24h_high": _at(response, "reported", "handled_24h", "high"),
        "violent_handled_24h_high": _at(response, "violent", "reported", "handled_24h", "high"),
        "backlog_open": every[0],
        "backlog_growth": every[1],
        "flagged_backlog_open": flagged[0],
        "flagged_backlog_growth": flagged[1],
    }


def _backlog(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[Any, Any]:
    """Give the last count, and how much it is above the latest one at least four weeks older."""
    known = [(date.fromisoformat(entry["date"][:10]), entry.get(key)) for entry in entries]
    if not known or known[-1][1] is None:
        return None, None
    day, last = known[-1]
    before = [count for then, count in known if day - then >= _FOUR_WEEKS and count is not None]
    return last, last - before[-1] if before else None


# --- judging -------------------------------------------------------------------------------------


def judge_host(
    policy: HostPolicy, host: Mapping[str, Any], *, period: Mapping[str, str] | None = None
) -> Judgement:
    """Judge an assessed host by the rules of a policy.

    :param host: an entry of ``hosts`` in an assessment.
    :param period: ``start`` and ``end`` of the assessment; see :func:`figures_of`.
    """
    figures = figures_of(host, period=period)
    rules = sorted(policy.rules, key=lambda rule: -TIERS.index(rule.tier))
    words = {"host": _shown_name(host.get("host")), "method": _method(host)}
    fired = tuple(_fired(rule, figures, words) for rule in rules if _judge(rule, figures))
    unjudged = tuple(_unjudged(rule, figures) for rule in rules if _judge(rule, figures) is None)
    return Judgement(fired[0]["tier"] if fired else TIERS[0], fired, unjudged)


def _judge(rule: Rule, figures: Mapping[str, float | None]) -> bool | None:
    """Say whether a rule fires; None where that hangs on figures that are not known."""
    results = [condition.holds(figures[condition.figure]) for condition in rule.when]
    return False if False in results else None if None in results else True


def _fired(
    rule: Rule, figures: Mapping[str, float | None], words: Mapping[str, str]
) -> dict[str, Any]:
    named = dict.fromkeys(condition.figure for condition in rule.when)
    shown = {name: _shown(name, figures[name]) for name in FIGURES}
    return {
        "tier": rule.tier,
        "rule": rule.name,
        "text": rule.text.format_map({**shown, **words}),
        "figures": {name: figures[name] for name in named},
    }


def _unjudged(rule: Rule, figures: Mapping[str, float | None]) -> dict[str, Any]:
    asked = dict.fromkeys(condition.figure for condition in rule.when)
    missing = [name for name in asked if figures[name] is None]
    meanings = "; ".join(FIGURES[name] for name in missing)
    return {
        "tier": rule.tier,
        "rule": rule.name,
        "missing": missing,
        "text": f"Whether this host is on the tier {rule.tier} by the rule {rule.name} cannot be "
        f"said, because this is not known: {meanings}.",
    }


def _shown(name: str, value: float | None) -> str:
    """Write a figure: counts whole, shares in percent, others to three digits."""
    if value is None:
        return "(not known)"
    if name in _COUNTS:
        return f"{value:,.0f}"
    return f"{value:.3g}" if name.startswith("trend") else f"{float(f'{value * 100:.3g}'):g}%"


def _shown_name(host: Any) -> str:
    name = visible(str(host))
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _method(host: Mapping[str, Any]) -> str:
    return visible(str(_at(host, "overall", "method") or "by an unknown method"))
