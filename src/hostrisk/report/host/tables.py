"""Tables of a host report, as all its formats draw them.

A table is a dict with ``label``, ``columns``, ``rows``, ``scale`` (what its bars run to, in words)
and ``figures``, whether its cells are numbers. A row has ``name``, ``below`` (a remark), ``cells``
and ``bar``, an estimate with its interval as shares of the scale, or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk.report.host import words
from hostrisk.report.host.words import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ratio_of", "row", "scale_of", "share_cell", "table"]


def table(
    label: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    scale: str = "",
    figures: bool = True,
) -> dict[str, Any]:
    """Make a table."""
    return {
        "label": label, "columns": columns, "rows": rows, "scale": scale, "figures": figures,
    }  # fmt: skip


def row(
    name: str,
    cells: Sequence[str],
    *,
    below: str = "",
    found: Mapping[str, Any] | None = None,
    scale: float = 1.0,
    key: str = "prevalence",
) -> dict[str, Any]:
    """Make a row; its bar shows ``found[key]`` with its interval, where they are known."""
    bar = None
    if found and found[key] is not None:
        ends = (found[key], found["low"], found["high"])
        bar = [None if end is None else min(1.0, end / scale) for end in ends]
    return {"name": name, "cells": cells, "below": below, "bar": bar}


def scale_of(found: Iterable[Mapping[str, Any]]) -> float:
    """Give the largest share that bars of one table must hold."""
    ends = [one[key] for one in found for key in ("prevalence", "high") if one[key] is not None]
    return max(ends, default=0) or 1.0


def ratio_of(trend: Mapping[str, Any] | None) -> str:
    """Write the ratio of a trend with its interval; empty where there is none."""
    if not trend or trend.get("ratio") is None:
        return ""
    shown = words.figures(trend["ratio"])
    if trend["low"] is None or trend["high"] is None:
        return shown
    return f"{shown} ({words.figures(trend['low'])} to {words.figures(trend['high'])})"


def share_cell(found: Mapping[str, Any] | None, level: str = "") -> str:
    """Write a share, with its interval if a level is given; not known where there is none."""
    if found is None or found.get("share") is None:
        return UNKNOWN
    return words.share_of(found, level) if level else words.share(found["share"])
