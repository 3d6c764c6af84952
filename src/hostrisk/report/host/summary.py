"""Put a host assessment into the words, numbers, tables and order in which it is shown.

The input is what ``HostAssessment.to_dict`` gives, so that a report can be drawn again from stored
JSON. Whatever is not known is said in words, with the reason.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hostrisk._visible import visible
from hostrisk.report.drawing import shorten
from hostrisk.report.host import words
from hostrisk.report.host.charts import MOST_BARS, weeks_top
from hostrisk.report.host.posts import posts_of
from hostrisk.report.host.removal import NO_TIMES, removal_of
from hostrisk.report.host.tables import ratio_of, row, scale_of, share_cell, table
from hostrisk.report.host.words import UNKNOWN, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["GROUPS", "spelled_out", "summarize"]

GROUPS = (("kinds", "Kinds of violence", "Kind"), ("targets", "Targets", "Target"))
_LONGEST_NAME = 120
_LONGEST_CELL = 60
_CHANCE = 0.05  # an adjusted p-value below it is said to be more than chance
_POST = "text of a post"
_TREND = "Trend"

_APART = 1.2  # the sample's posts over the assessed ones, from where on they are not the same


def summarize(record: Mapping[str, Any]) -> dict[str, Any]:
    """Put an assessment into the words, numbers and order in which it is shown."""
    record = spelled_out(record)
    level = f"{record['level'] * 100:.3g}%"
    hosts = [_host(host, level, place) for place, host in enumerate(record["hosts"], 1)]
    return {
        "title": f"Violent incitement on {_whom(record['hosts'])}",
        "lead": _lead(record["hosts"]),
        "level": level,
        "facts": list(_facts(record)),
        "cautions": [*_cautions(record["hosts"]), *_cautions_of_labels(record)],
        "ranking": _ranking(record["hosts"], level) if len(hosts) > 1 else None,
        "hosts": hosts,
        "tiers": [_tier(name) for name in words.TIERS],
        "since": _since(record.get("since")),
        "method": list(
            words.explain(
                _methods(record["hosts"]), level, together=bool(record.get("simultaneous"))
            )
        ),
        "defects": _defects(record.get("defects") or []),
        "ids": list(_ids(record, level)),
    }


def spelled_out(value: Any, key: str = "") -> Any:
    """Spell out every string, and take numbers that are none for unknown; texts keep their lines.

    The text of a post is left as it is, as places in it are counted in its own characters.
    """
    if isinstance(value, str):
        return value if key == _POST else visible(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        inner = _POST if "sha256" in value else ""
        return {
            name: spelled_out(item, inner if name == "text" else "") for name, item in value.items()
        }
    return [spelled_out(item) for item in value] if isinstance(value, list | tuple) else value


# --- the whole -----------------------------------------------------------------------------------


def _whom(hosts: Sequence[Mapping[str, Any]]) -> str:
    return _name(hosts[0]) if len(hosts) == 1 else count(len(hosts), "host")


def _name(host: Mapping[str, Any]) -> str:
    return shorten(host["host"], _LONGEST_NAME) or "(no name)"


def _lead(hosts: Sequence[Mapping[str, Any]]) -> str:
    if not hosts:
        return "No host was assessed, so nothing can be said about any."
    if len(hosts) == 1:
        return str(hosts[0]["summary"])
    posts = sum(host["overall"]["posts"] for host in hosts)
    tiers = [host["tier"] for host in hosts]
    counts = [f"{tiers.count(tier)} {tier}" for tier in dict.fromkeys(tiers)]
    return (
        f"{len(hosts)} hosts with {count(posts, 'post')}, worst first: {', '.join(counts)}. "
        f"{_name(hosts[0])}: {hosts[0]['summary']}"
    )


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Period", _period(record.get("period"))
    sources = [shorten(source["name"], _LONGEST_CELL) for source in record.get("sources") or []]
    where = f" from {', '.join(sources)}" if len(sources) in {1, 2} else ""
    where = where or (f" from {len(sources)} files" if sources else "")
    yield "Posts", f"{record['rows']:,}{where}"
    yield "Read by people", _labels(record.get("labels"))
    yield "Removals as of", words.moment(record.get("as_of"))


def _period(period: Mapping[str, Any] | None) -> str:
    if not period or not period.get("start"):
        return f"{UNKNOWN}: no post has a date"
    start, end = words.day(period["start"]), words.day(period["end"])
    return start if start == end else f"{start} to {end}"


def _labels(labels: Mapping[str, Any] | None) -> str:
    if not labels:
        return "none of the posts"
    parts = [f"{count(labels['reviewed'], 'post')}, {labels['positives']:,} of them violent"]
    if labels.get("design"):
        parts.append(f"{labels['design']} sample")
    if labels.get("unlabeled"):
        parts.append(f"{labels['unlabeled']:,} drawn but not labeled")
    if labels.get("unknown_ids"):
        parts.append(f"{count(labels['unknown_ids'], 'label')} of unknown posts left out")
    return "; ".join(parts)


def _cautions(hosts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    trusting = [_name(host) for host in hosts if _trusts_the_model(host["overall"])]
    if trusting:
        which = "" if len(trusting) == len(hosts) else f" of {', '.join(trusting[:5])}"
        more = f" and {len(trusting) - 5} more" if which and len(trusting) > 5 else ""
        yield (
            f"The figures{which}{more} are model-based estimates: they trust the recall and the "
            "false-positive rate that the model had elsewhere. Nobody has checked them on posts "
            "from here."
        )
    urgent = sum(host.get("urgent") or 0 for host in hosts)
    if urgent:
        carry, them = ("post carries", "it") if urgent == 1 else ("posts carry", "them")
        yield f"{urgent:,} {carry} marks of a credible threat: people should read {them} first."


def _cautions_of_labels(record: Mapping[str, Any]) -> Iterator[str]:
    labels = record.get("labels") or {}
    stand_for = labels.get("stand_for")
    posts = sum(host["overall"]["posts"] for host in record["hosts"])
    if stand_for and not 1 / _APART <= stand_for / max(posts, 1) <= _APART:
        yield (
            f"The sample that people read was drawn from about {stand_for:,} posts, and these are "
            f"{posts:,}: its figures are not those of these posts. Draw a sample from them."
        )
    if labels.get("unknown_ids") and not labels.get("reviewed"):
        yield "None of the labels is of a post that is here, so nobody has read any of them."


def _trusts_the_model(found: Mapping[str, Any]) -> bool:
    return found["prevalence"] is not None and found["method"] == "model-based"


def _ranking(hosts: Sequence[Mapping[str, Any]], level: str) -> dict[str, Any]:
    unit = words.unit_for(host["overall"]["prevalence"] for host in hosts)
    scale = scale_of(host["overall"] for host in hosts)
    rows = []
    for host in hosts:
        overall = host["overall"]
        removed = (host.get("responsiveness") or {}).get("flagged")
        cells = (
            host["tier"],
            f"{overall['posts']:,}",
            unit.show(overall["prevalence"]) or UNKNOWN,
            unit.between(overall["low"], overall["high"]),
            ratio_of(host.get("trend")) or UNKNOWN,
            share_cell(removed),
        )
        rows.append(row(_name(host), cells, found=overall, scale=scale))
    columns = (
        "Host", "Tier", "Posts", f"Prevalence, {unit.label}", f"{level} interval",
        "Trend, ratio", "Flagged posts removed",
    )  # fmt: skip
    return table("Hosts, worst first", columns, rows, scale=f"0 to {unit.show(scale)}")


def _since(since: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not since:
        return None
    before = since["from"]
    model, version = before.get("model") or UNKNOWN, before.get("version") or UNKNOWN
    return {
        "from": f"{_period(before.get('period'))} (model {model}, version {version})",
        "warning": "" if since.get("same_terms") else words.OTHER_TERMS,
        "hosts": [
            {"name": _name(found), "changes": [change["text"] for change in found["changes"]]}
            for found in since["hosts"]
        ],
    }


def _methods(hosts: Iterable[Mapping[str, Any]]) -> Iterator[str | None]:
    for host in hosts:
        for found in (host["overall"], host.get("views"), *host["weeks"], *_all_groups(host)):
            if found:
                yield found["method"]


def _all_groups(host: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key, _, _ in GROUPS:
        yield from host[key]


def _defects(defects: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    rows = [
        row(
            found["kind"].replace("_", " "),
            (f"{found['count']:,}", found["meaning"], "; ".join(map(_example, found["examples"]))),
        )
        for found in defects
    ]
    columns = ("Defect", "Posts", "What it means here", "Examples")
    return table("Defects of the data", columns, rows, figures=False) if rows else None


def _example(example: Mapping[str, Any]) -> str:
    where, own = (shorten(str(example.get(key) or ""), _LONGEST_CELL) for key in ("where", "id"))
    return f"{where} (id {own})" if own else where


def _ids(record: Mapping[str, Any], level: str) -> Iterator[tuple[str, str]]:
    name = record.get("threshold_name")
    yield "Model", record["model"]
    yield "Policy", record["policy"]
    yield "hostrisk", record["version"]
    yield "Threshold", f"{record['threshold']:.4g}{f' ({name})' if name else ''}"
    yield "Level of intervals", level
    yield "Period", _period(record.get("period"))
    yield "As of", words.moment(record.get("as_of"))


# --- one host ------------------------------------------------------------------------------------


def _host(host: Mapping[str, Any], level: str, place: int) -> dict[str, Any]:
    name, tiles, facts = (
        _name(host),
        list(_tiles(host, level)),
        list(_prevalence_facts(host, level)),
    )
    lines = [(tile["title"], tile["line"]) for tile in tiles if tile["title"] != _TREND]
    return {
        "anchor": f"host-{place}",
        "name": name,
        "summary": host["summary"],
        "tier": _tier(host["tier"]),
        "rules": [_rule(rule) for rule in host.get("rules") or []],
        "blind": words.BLIND if host["overall"]["prevalence"] is None else "",
        "unjudged": [_unjudged(rule) for rule in host.get("unjudged") or []],
        "tiles": tiles,
        "prevalence": facts,
        "lines": [*lines, *facts],
        "weeks": _weeks(host["weeks"], level, name) if host["weeks"] else None,
        "week_notes": " ".join(_week_notes(host["weeks"])),
        "groups": [_group(host, *group, level) for group in GROUPS],
        "response": removal_of(host.get("responsiveness"), level, name),
        **posts_of(host),
    }


def _tier(name: str) -> dict[str, str]:
    meaning = words.TIERS.get(name, "a tier of the policy that is not explained here")
    return {"name": name, "meaning": meaning, "kind": name if name in words.TIERS else "other"}


def _rule(rule: Mapping[str, Any]) -> dict[str, str]:
    figures = ", ".join(
        f"{key.replace('_', ' ')} = {_plain_figure(value)}"
        for key, value in (rule.get("figures") or {}).items()
    )
    return {
        "tier": rule["tier"],
        "rule": rule["rule"].replace("_", " "),
        "text": rule["text"],
        "figures": figures,
    }


def _plain_figure(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _unjudged(rule: Mapping[str, Any]) -> str:
    missing = ", ".join(str(name).replace("_", " ") for name in rule["missing"])
    return f"{rule['tier']}, {rule['rule'].replace('_', ' ')}: {missing} {UNKNOWN}"


def _tiles(host: Mapping[str, Any], level: str) -> Iterator[dict[str, str]]:
    overall, trend = host["overall"], host.get("trend")
    yield _tile("Posts", f"{overall['posts']:,}", below=_flagged(overall))
    yield _prevalence_tile(overall, level)
    yield _trend_tile(trend, host["weeks"], level)
    flagged = (host.get("responsiveness") or {}).get("flagged")
    yield _removed_tile(flagged, level)


def _tile(title: str, value: str, *, unit: str = "", below: str) -> dict[str, str]:
    line = "; ".join(part for part in (f"{value} {unit}".strip(), below) if part)
    return {"title": title, "value": value, "unit": unit, "below": below, "line": line}


def _trend_tile(
    trend: Mapping[str, Any] | None, weeks: Sequence[Mapping[str, Any]], level: str
) -> dict[str, str]:
    if not trend or trend.get("ratio") is None:
        return _tile(_TREND, "", below=_no_trend(weeks))
    low, high = trend.get("low"), trend.get("high")
    parts = [f"last week to first, {count(trend['weeks'], 'week')}"]
    if low is not None and high is not None:
        parts.insert(0, f"{level} interval {words.figures(low)} to {words.figures(high)}")
    if trend.get("of"):
        parts.append(f"share of {trend['of']}")
    return _tile(_TREND, f"{words.figures(trend['ratio'])} times", below="; ".join(parts))


def _flagged(found: Mapping[str, Any]) -> str:
    share = f" ({words.share(found['flagged'] / found['posts'])})" if found["posts"] else ""
    return f"{found['flagged']:,} flagged{share}"


def _prevalence_tile(overall: Mapping[str, Any], level: str) -> dict[str, str]:
    title, value = "Prevalence", overall["prevalence"]
    if value is None:
        return _tile(title, "", below=f"{UNKNOWN}: nothing can be said from these posts")
    unit = words.unit_for([value])
    between = unit.between(overall["low"], overall["high"])
    interval = f"{level} interval {between}; " if between else "no interval; "
    below = interval + words.call_method(overall["method"])
    return _tile(title, unit.show(value), unit=unit.short.strip(), below=below)


def _no_trend(weeks: Sequence[Mapping[str, Any]]) -> str:
    if not weeks:
        return f"{UNKNOWN}: no post has a date"
    return f"{UNKNOWN}: {count(len(weeks), 'week')} with posts, too few or too thin for a trend"


def _removed_tile(flagged: Mapping[str, Any] | None, level: str) -> dict[str, str]:
    title = "Flagged posts removed"
    if flagged is None or flagged["share"] is None:
        why = f"{UNKNOWN}: no post is flagged" if flagged and not flagged["posts"] else NO_TIMES
        return _tile(title, "", below=why)
    below = (
        f"{level} interval {words.PERCENT.between(flagged['low'], flagged['high'])}; "
        f"{flagged['removed']:,} of {flagged['posts']:,}"
    )
    return _tile(title, words.share(flagged["share"]), below=below)


def _prevalence_facts(host: Mapping[str, Any], level: str) -> Iterator[tuple[str, str]]:
    overall, trend = host["overall"], host.get("trend")
    yield "Method", _method(overall)
    if overall["prevalence"] is not None and overall["posts"]:
        yield "Counting flagged posts", _counted(overall)
    yield _TREND, _trend(trend, host["weeks"])
    if trend and trend.get("change_point"):
        yield "Change", _change(trend["change_point"], trend.get("of"))
    views = host.get("views")
    yield (
        "Weighted by views",
        words.estimate(views, level) if views else f"{UNKNOWN}: no numbers of views were given",
    )
    yield "Languages not known", _unsupported(host.get("unsupported"))


def _counted(found: Mapping[str, Any]) -> str:
    share, estimate = found["flagged"] / found["posts"], found["prevalence"]
    unit = words.unit_for([share, estimate])
    return (
        f"gives {unit.show(share)}{unit.short}; the estimate is {unit.show(estimate)}, as the "
        "model flags some harmless posts and misses some violent ones"
    )


def _method(found: Mapping[str, Any]) -> str:
    called = words.call_method(found["method"])
    if not found.get("reviewed"):
        return f"{called}; no post was reviewed"
    reviewed = count(found["reviewed"], "post")
    return f"{called}; {reviewed} reviewed, {found['positives']:,} of them violent"


def _trend(trend: Mapping[str, Any] | None, weeks: Sequence[Mapping[str, Any]]) -> str:
    if not trend:
        return _no_trend(weeks)
    tested = words.p_value(_adjusted(trend))
    kind = "" if trend.get("p_adjusted") is None else "adjusted "
    return f"{trend['sentence']}{f'; {kind}{tested}' if tested else ''}"


def _change(change: Mapping[str, Any], of: str | None) -> str:
    before, after = (
        UNKNOWN if change[key] is None else words.rate(change[key]) for key in ("before", "after")
    )
    tested = words.p_value(change.get("p_value"))
    parts = (f"{before} before, {after} after", of and f"share of {of}", tested)
    return f"on {words.day(change['date'][:10])}: {'; '.join(part for part in parts if part)}"


def _unsupported(found: Mapping[str, Any] | None) -> str:
    if not found:
        return f"{UNKNOWN}: the model cannot tell languages"
    if not found["posts"]:
        return "no posts"
    share = "" if found["share"] is None else f" ({words.share(found['share'])})"
    return f"{count(found['posts'], 'post')}{share}, of which a low score says nothing"


def _weeks(weeks: Sequence[Mapping[str, Any]], level: str, name: str) -> dict[str, Any]:
    unit = words.unit_for(week["prevalence"] for week in weeks)
    rows = [
        row(
            words.day(week["start"]),
            (
                f"{week['posts']:,}",
                f"{week['flagged']:,}",
                unit.show(week["prevalence"]) or UNKNOWN,
                unit.between(week["low"], week["high"]),
                words.call_method(week["method"]),
            ),
        )
        for week in weeks
    ]
    columns = (
        "Week from", "Posts", "Flagged", f"Prevalence, {unit.label}", f"{level} interval", "Method",
    )  # fmt: skip
    return table(f"Prevalence by week, {name}", columns, rows)


def _week_notes(weeks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say what in the chart of the weeks is not what it seems."""
    known = [week for week in weeks if week["prevalence"] is not None]
    trusting = {_trusts_the_model(week) for week in known}
    if trusting == {True, False}:
        yield "Hollow dots are model-based estimates."
    if len(known) < len(weeks):
        yield f"Nothing can be said about {count(len(weeks) - len(known), 'week')}: see the gaps."
    if known and any((week["high"] or 0) > weeks_top(known) for week in known):
        yield "Intervals that reach above the frame are cut; the numbers below give them whole."


def _group(
    host: Mapping[str, Any], key: str, title: str, column: str, level: str
) -> dict[str, Any]:
    found = host[key]
    unit = words.unit_for(one["prevalence"] for one in found)
    scale = scale_of(found)
    rows = [
        row(
            shorten(one["name"], _LONGEST_CELL),
            (
                f"{one['flagged']:,}",
                unit.show(one["prevalence"]) or UNKNOWN,
                unit.between(one["low"], one["high"]),
                ratio_of(one.get("trend")),
                words.p_value(_adjusted(one.get("trend"))),
            ),
            found=one,
            scale=scale,
        )
        for one in found
    ]
    columns = (
        column, "Flagged", f"Prevalence, {unit.label}", f"{level} interval", "Trend, ratio",
        "Adjusted p",
    )  # fmt: skip
    label = f"{title}, {_name(host)}"
    scale_words = f"0 to {unit.show(scale)}"
    return {
        "key": key,
        "title": title,
        "sentence": _moving(found) if found else f"{title} are {UNKNOWN}.",
        "table": table(label, columns, rows, scale=scale_words) if rows else None,
    }


def _adjusted(trend: Mapping[str, Any] | None) -> float | None:
    if not trend:
        return None
    adjusted = trend.get("p_adjusted")
    return trend.get("p_value") if adjusted is None else adjusted


def _moving(found: Sequence[Mapping[str, Any]]) -> str:
    """Say which trends are more than chance may make them."""
    parts = []
    tested = [one for one in found if _adjusted(one.get("trend")) is not None]
    for one in tested:
        value = _adjusted(one["trend"])
        if value is not None and value < _CHANCE:
            way = "rises" if one["trend"]["ratio"] > 1 else "falls"
            ratio = words.figures(one["trend"]["ratio"])
            parts.append(f"{one['name']} {way} (ratio {ratio}, {words.p_value(value)})")
    drawn = f"The chart shows {MOST_BARS} of {len(found)}. " if len(found) > MOST_BARS else ""
    if parts:
        return f"{drawn}Moving by more than chance may explain: {', '.join(parts)}."
    return drawn + ("No trend stands out from chance." if tested else "Trends are not known.")
