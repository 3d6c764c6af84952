"""Render a fairness audit: a dict of figures in, tables for a terminal or a page out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._visible import visible
from hostrisk.report import charts, tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["render_html", "render_text", "summarize"]

_SLICES = {
    "questions": "how do I kill a process, what does shoot the breeze mean",
    "condemnation": "posts that condemn or mourn violence",
    "counter_speech": "replies that object to calls for violence, many of them quoting one",
}
_LABELS = {0: "harmless", 1: "violent"}


def summarize(record: Mapping[str, Any]) -> dict[str, Any]:
    """Put the figures into the words, numbers and order in which they are shown."""
    return {
        "title": "Fairness",
        "kicker": "Whether a violent-incitement classifier treats people alike",
        "headline": _headline(record),
        "facts": [
            ("Model", visible(record["model"])),
            ("Threshold", f"{record['at']} ({record['threshold']:.4g})"),
            ("Groups", f"{len(record['identities']):,}"),
            ("Posts given", f"{record['posts']:,}"),
        ],
        "sections": [section for section in _sections(record) if section["rows"]],
        "method": (
            "Areas under the ROC curve by group: Borkan et al. 2019. Intervals: Wilson for shares, "
            "DeLong for areas on posts, Katz for ratios; fillings of one template are not "
            "independent, so that their areas have none. docs/fairness.md explains each and its "
            "limits."
        ),
    }


def _headline(record: Mapping[str, Any]) -> str:
    dialect, means = record["dialects"][0], record["means"]
    return (
        f"Over {len(record['identities'])} groups of people, harmless texts that name one are told "
        f"from violence against others at {means['bpsn']:.3f} (BPSN area), and violence against "
        f"one from harmless texts about others at {means['bnsp']:.3f} (BNSP area); 1 is perfect, "
        f"0.5 is chance. Swapping political sides moves a probability by "
        f"{means['side_change']:.3f} on average. Harmless African-American English is flagged "
        f"{dialect['ratio']:.2f} times as often as the same messages in white-aligned English (95% "
        f"interval {dialect['low']:.2f} to {dialect['high']:.2f})."
    )


def _sections(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {
        "title": "Harmless texts that are flagged",
        "note": "None of them should be.",
        "columns": ("Texts", "Written", "Flagged", "Share", "95% interval"),
        "rows": [_share(found, _SLICES[found["name"]]) for found in record["slices"]],
    }
    yield {
        "title": "Dialects",
        "note": (
            "African-American English against white-aligned English: own pairs of the same "
            "message, and posts by marks of the dialect. Alike is a ratio of 1."
        ),
        "columns": ("Texts", "Flagged, AAE", "Flagged, white", "Ratio", "95% interval"),
        "rows": [_dialect(found) for found in record["dialects"]],
    }
    for where, key in (("own sentences", "sides"), ("the posts given", "posts_sides")):
        yield {
            "title": f"Political sides swapped, {where}",
            "note": "How far the probability moves when only the side named changes.",
            "columns": ("Sides", "Label", "Texts", "Mean change", "Largest", "First - second"),
            "rows": [_swap(found) for found in record[key]],
        }
    for label, key in (("Harmless", "names"), ("Violent", "names_violent")):
        yield {
            "title": f"{label} sentences with first names",
            "note": "Shares flagged by what group audit studies read the names as.",
            "columns": ("Names", "Texts", "Flagged", "Share", "95% interval"),
            "rows": [_share(found, "") for found in record[key]],
        }
    for where, key in (("own sentences", "identities"), ("the posts given", "posts_identities")):
        yield {
            "title": f"Groups of people, {where}, lowest BPSN first",
            "note": (
                "Areas under the ROC curve. Low BPSN: harmless texts that name the group score too "
                "high. Low BNSP: violence against it scores too low."
            ),
            "columns": (
                "Group", "Violent", "Harmless", "Subgroup", "BPSN", "BNSP", "Recall",
                "Harmless flagged",
            ),
            "rows": [_identity(found) for found in sorted(record[key], key=_by_bpsn)],
        }  # fmt: skip


def _by_bpsn(found: Mapping[str, Any]) -> float:
    estimate = found["bpsn"]["estimate"]
    return 1.0 if estimate is None else float(estimate)


def _share(found: Mapping[str, Any], meaning: str) -> dict[str, Any]:
    share = found["flagged"] / max(found["texts"], 1)
    cells = (
        f"{found['texts']:,}",
        f"{found['flagged']:,}",
        charts.percent(share),
        f"{charts.percent(found['low'])} to {charts.percent(found['high'])}",
    )
    name = found["name"].replace("_", " ")
    return _row(name, meaning, cells, share, found["low"], found["high"])


def _dialect(found: Mapping[str, Any]) -> dict[str, Any]:
    counts = (f"{found[key]['flagged']:,} of {found[key]['texts']:,}" for key in ("aae", "white"))
    interval = f"{found['low']:.2f} to {found['high']:.2f}"
    return _row(found["name"], "", (*counts, f"{found['ratio']:.2f}", interval))


def _swap(found: Mapping[str, Any]) -> dict[str, Any]:
    shift = found["shift"]
    cells = (
        _LABELS[found["label"]],
        f"{found['texts']:,}",
        f"{found['mean_change']:.3f}",
        f"{found['largest']:.3f}",
        "n/a" if shift is None else f"{round(shift, 3) + 0:+.3f}",
    )
    return _row(found["name"], "", cells)


def _identity(found: Mapping[str, Any]) -> dict[str, Any]:
    cells = (
        f"{found['positives']:,}",
        f"{found['negatives']:,}",
        *(_area(found[key]) for key in ("subgroup", "bpsn", "bnsp")),
        f"{found['recall']:.3f}",
        f"{found['false_positive_rate']:.3f}",
    )
    bpsn = found["bpsn"]
    return _row(
        found["name"], found["family"].replace("_", ", "), cells,
        bpsn["estimate"], bpsn["low"], bpsn["high"],
    )  # fmt: skip


def _area(area: Mapping[str, Any]) -> str:
    if area["estimate"] is None:
        return "n/a"
    if area["low"] is None:
        return f"{area['estimate']:.3f}"
    return f"{area['estimate']:.3f} ({area['low']:.3f} to {area['high']:.3f})"


def _row(
    name: str,
    meaning: str,
    cells: tuple[str, ...],
    estimate: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, Any]:
    return {
        "name": visible(name), "meaning": meaning, "cells": cells,
        "estimate": estimate, "low": low, "high": high,
    }  # fmt: skip


def render_text(record: Mapping[str, Any]) -> str:
    """Draw the figures as aligned tables for a terminal."""
    return tables.render_text(summarize(record))


def render_html(record: Mapping[str, Any]) -> str:
    """Draw the figures as one page without scripts or outside files.

    :raises MissingExtraError: jinja2 is not installed.
    """
    return tables.render_html(summarize(record))
