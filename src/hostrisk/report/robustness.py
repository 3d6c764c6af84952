"""Render what attacks cost: a dict of figures in, tables for a terminal or a page out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._visible import visible
from hostrisk.report import charts, tables

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["render_html", "render_text", "summarize"]

_MEANINGS = {
    "none": "the texts as they are",
    "zero_width": "invisible characters between letters",
    "homoglyph": "letters of other scripts that look alike",
    "leet": "digits for letters",
    "spacing": "letters set apart by spaces, dots or hyphens",
    "stretching": "a letter repeated",
    "misspelling": "letters swapped, left out, doubled or mistyped",
    "case": "capitals at random",
    "emoji": "emoji in place of words",
    "padding_before": "three calm sentences before the text",
    "padding_after": "three calm sentences behind the text",
    "disavowal": "a denial behind the text: just kidding, peace to all",
    "quotation": "quotation marks around the text",
    "ids": "order numbers, hashes, UUIDs",
    "code": "lines of programs, queries and logs",
    "places": "coordinates, addresses, telephone numbers",
    "emoji flags": "flags and hearts",
}


def summarize(record: Mapping[str, Any]) -> dict[str, Any]:
    """Put the figures into the words, numbers and order in which they are shown."""
    attacks = sorted(record["attacks"], key=lambda found: -found["lost"])
    worst = attacks[0]
    return {
        "title": "Robustness",
        "kicker": "How a violent-incitement classifier stands up to evasion",
        "headline": (
            f"Of {record['positives']:,} violent texts the model finds "
            f"{charts.percent(record['attacks'][0]['recall'])} as they are. The attack that costs "
            f"most, {worst['name']}, leaves {charts.percent(worst['recall'])}."
        ),
        "facts": [
            ("Model", visible(record["model"])),
            ("Threshold", f"{record['at']} ({record['threshold']:.4g})"),
            ("Violent texts", f"{record['positives']:,}"),
            ("Other texts", f"{record['negatives']:,}"),
        ],
        "sections": [
            {
                "title": "What attacks cost, worst first",
                "note": "Recall that is left. Half of the words are changed, or all the text.",
                "columns": ("Attack", "Recall", "95% interval", "Lost", "Others flagged"),
                "rows": [_attack(found) for found in attacks],
            },
            {
                "title": "Harmless strings that look odd",
                "note": "None of them should be flagged.",
                "columns": ("Strings", "Made", "Flagged", "In 1,000", "95% interval"),
                "rows": [_noise(found) for found in record["noise"]],
            },
        ],
        "method": (
            "Intervals of shares are Wilson intervals. A text is flagged if its score is at least "
            "the threshold. Attacks and strings are made at random from a fixed seed."
        ),
    }


def _attack(found: Mapping[str, Any]) -> dict[str, Any]:
    others = found["false_positive_rate"]
    cells = (
        f"{found['recall']:.3f}",
        f"{found['low']:.3f} to {found['high']:.3f}",
        f"{found['lost']:+.3f}",
        "n/a" if others is None else f"{others:.3f}",
    )
    return _row(found, found["recall"], cells)


def _noise(found: Mapping[str, Any]) -> dict[str, Any]:
    share = found["flagged"] / max(found["texts"], 1)
    cells = (
        f"{found['texts']:,}",
        f"{found['flagged']:,}",
        f"{share * 1000:.2f}",
        f"{found['low'] * 1000:.2f} to {found['high'] * 1000:.2f}",
    )
    return _row(found, share, cells)


def _row(found: Mapping[str, Any], estimate: float, cells: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": found["name"],
        "meaning": _MEANINGS[found["name"]],
        "cells": cells,
        "estimate": estimate,
        "low": found["low"],
        "high": found["high"],
    }


def render_text(record: Mapping[str, Any]) -> str:
    """Draw the figures as aligned tables for a terminal."""
    return tables.render_text(summarize(record))


def render_html(record: Mapping[str, Any]) -> str:
    """Draw the figures as one page without scripts or outside files.

    :raises MissingExtraError: jinja2 is not installed.
    """
    return tables.render_html(summarize(record))
