"""What people see on a terminal: tables, marked spans, a progress bar.

Nothing goes to a terminal unless ``visible`` has spelled out what it would obey or hide.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import click

from hostrisk._columns import plain_values
from hostrisk._marks import marked_pieces
from hostrisk._visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from click._termui_impl import ProgressBar

    from hostrisk.records import Decision, Explanation, Span

__all__ = [
    "Output",
    "Progress",
    "TablePrinter",
    "VisibleOutput",
    "has_color",
    "progress",
    "render_explanation",
    "render_manifest",
]

# Shades of the 256-color palette, from faint to strong, all readable under black.
_REDS = (224, 217, 210, 203)
_BLUES = (195, 153, 117, 75)
_MOST_SPANS = 20


def has_color() -> bool:
    """Tell whether standard output is a terminal whose user wants color."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _terminal_width() -> int:
    from shutil import get_terminal_size  # costs as much as scoring a text, and pipes need none

    return get_terminal_size().columns


class Output(Protocol):
    """A text stream, or what looks like one."""

    def write(self, text: str, /) -> object:
        """Write text."""


class VisibleOutput:
    """Pass text on to a terminal with everything but line ends made visible."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def write(self, text: str, /) -> None:
        """Write text."""
        self._out.write(visible(text, keep="\n"))


# --- the table of scores -------------------------------------------------------------------------


class TablePrinter:
    """Print one line a text: score, flagged, kind, targets, why if asked for, and the text last.

    A question mark for flagged means that the text is in a language which the model does not know.

    The text comes last, so that columns of a fixed width suffice and nothing need be held back.
    """

    def __init__(self, out: Output, *, text: str, added: Mapping[str, str]) -> None:
        self._out = out
        self._text = text
        self._added = added
        self._color = has_color()
        # A line longer than the terminal would wrap and hide the columns; a pipe gets all of it.
        self._width = _terminal_width() if sys.stdout.isatty() else None
        self._started = False

    def write(self, columns: Mapping[str, Any]) -> None:
        """Print the next rows, before the first of them the header."""
        if not self._started:
            self._started = True
            self._print(["SCORE", "FLAGGED", "KIND", "TARGETS", "WHY"], "TEXT")
        names = [name for name in columns if name != self._text and name in self._added.values()]
        values = [plain_values(columns[name]) for name in (*names, self._text)]
        for *found, text in zip(*values, strict=True):
            row = dict(zip(self._added, found, strict=True))
            score, targets, why = row["score"], row["targets"] or (), row.get("why") or ()
            cells = [
                "" if score is None else f"{score:.4f}",
                _flag(score, row["flagged"]),
                row["kind"] or "",
                ",".join(targets),
                visible(", ".join(why)),
            ]
            self._print(cells, "(null)" if text is None else visible(text))

    def _print(self, cells: list[str], text: str) -> None:
        widths = (7, 7, 13, 20, 30)[: 4 + ("why" in self._added)]
        shown = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
        line = " ".join([*shown, text]).rstrip()
        flagged = cells[1]
        if self._width is not None and len(line) > self._width:
            line = line[: self._width - 1] + "…"
        if self._color and flagged == "yes":
            line = click.style(line[:15], fg="red", bold=True) + line[15:]
        self._out.write(line + "\n")

    def close(self) -> None:
        """Do nothing: every row is printed at once."""


def _flag(score: float | None, flagged: bool | None) -> str:  # noqa: FBT001
    if flagged is None:
        return "" if score is None else "?"
    return "yes" if flagged else "no"


# --- explanations --------------------------------------------------------------------------------


def render_explanation(explanation: Explanation, decision: Decision, *, color: bool) -> str:
    """Show a text with its spans marked, what was decided, and the table of spans."""
    known = {True: "flagged", False: "not flagged", None: "undecided"}
    flagged = known[decision.flagged]
    carried = explanation.logit - explanation.bias
    lines = [
        f"score    {explanation.score:.4f} ({flagged} at the threshold {decision.threshold:.4g})",
        f"kind     {explanation.kind or '-'}",
        f"targets  {', '.join(explanation.targets) or '-'}",
        f"logit    {explanation.logit:+.4f} = bias {explanation.bias:+.4f} + spans {carried:+.4f}"
        + (f" (by {explanation.method})" if explanation.method == "occlusion" else ""),
        f"model    {visible(decision.model)}, policy {visible(decision.policy)}",
        *_language_line(decision),
        *_window_line(explanation),
        "",
        _marked_text(explanation, color=color),
        *_span_table(explanation),
    ]
    return "\n".join(lines) + "\n"


def _language_line(decision: Decision) -> list[str]:
    if decision.supported is not False:
        return []
    return ["language none that the model was trained for: a low score says nothing"]


def _window_line(explanation: Explanation) -> list[str]:
    start, end = explanation.window
    length = len(explanation.text)
    if (start, end) == (0, length):
        return []
    return [f"window   characters {start:,} to {end:,} of {length:,}, the part that scored highest"]


def _marked_text(explanation: Explanation, *, color: bool) -> str:
    pieces = marked_pieces(explanation.text, explanation.spans, *explanation.window)
    return "".join(
        _mark(visible(piece, keep="\n"), span, shade, color=color) for piece, span, shade in pieces
    )


def _mark(shown: str, span: Span | None, shade: int, *, color: bool) -> str:
    if span is None:
        return shown
    if not color:
        return f"[{shown} {span.weight:+.1f}]"
    shades = _REDS if span.weight > 0 else _BLUES
    return click.style(shown, fg=16, bg=shades[shade])


def _span_table(explanation: Explanation) -> list[str]:
    spans = sorted(explanation.spans, key=lambda span: -abs(span.weight))
    if not spans:
        return []
    rows = [
        f"{span.weight:+8.4f}  {f'{span.start}-{span.end}':<13} {visible(span.text)}"
        for span in spans[:_MOST_SPANS]
    ]
    if rest := spans[_MOST_SPANS:]:
        rows.append(f"{sum(span.weight for span in rest):+8.4f}  in {len(rest):,} weaker spans")
    return ["", f"{'WEIGHT':>8}  {'CHARACTERS':<13} SPAN", *rows]


# --- models --------------------------------------------------------------------------------------


def render_manifest(model_id: str, manifest: Mapping[str, Any]) -> str:
    """Summarize the manifest of a model, one fact a line."""
    facts = [("model", model_id)]
    for name, value in manifest.items():
        facts += _facts(name, value)
    width = max(len(name) for name, _ in facts)
    return "".join(f"{visible(f'{name:<{width}}  {value}')}\n" for name, value in facts)


def _facts(name: str, value: Any) -> list[tuple[str, str]]:
    if name == "data":
        return [(f"data.{row.get('source', '?')}", _data_row(row)) for row in value]
    if isinstance(value, dict):
        return [fact for key, item in value.items() for fact in _facts(f"{name}.{key}", item)]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [(name, f"{len(value):,} entries")]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, f"{value:.4g}" if isinstance(value, float) else str(value))]


def _data_row(row: Mapping[str, Any]) -> str:
    counts = f"{row.get('rows', 0):,} rows, {row.get('positives', 0):,} positive"
    return f"{counts}, license {row.get('licence', 'unknown')}"


# --- progress ------------------------------------------------------------------------------------


class Progress(NamedTuple):
    """Where work reports how far it is."""

    advance: Callable[[int], None]
    count_rows: Callable[[int], None]


@contextmanager
def progress(total: int, *, shown: bool) -> Iterator[Progress]:
    """Show a bar of bytes done, time left and rows on standard error.

    :param total: bytes to do.
    """
    if not shown:
        yield Progress(lambda _: None, lambda _: None)
        return
    rows = 0

    def count_rows(more: int) -> None:
        nonlocal rows
        rows += more

    bar: ProgressBar[int] = click.progressbar(
        length=total,
        label="Scoring",
        file=sys.stderr,
        item_show_func=lambda _: f"{rows:,} rows",
    )
    with bar:
        yield Progress(bar.update, count_rows)
