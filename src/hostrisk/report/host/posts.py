"""The posts that a host report shows: words to mark, facts to name, texts cut to a length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._marks import marked_pieces
from hostrisk._visible import visible
from hostrisk.records import Span
from hostrisk.report.drawing import shorten
from hostrisk.report.host import words
from hostrisk.report.host.words import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["posts_of"]

_LONGEST_NAME, _LONGEST_CELL, _LONGEST_LINE, _LONGEST_TEXT = 120, 60, 96, 2_000
_REDACTED = "personal details in it are replaced; the SHA-256 is that of the whole text"
_READ: dict[object, str] = {0: "not violent incitement", 1: "violent incitement"}


def posts_of(host: Mapping[str, Any]) -> dict[str, Any]:
    """Put the exemplars of a host into words, with a title that counts them."""
    exemplars = host.get("exemplars") or []
    urgent = sum(bool(found.get("urgent")) for found in exemplars)
    title = f"{count(len(exemplars), 'post')} that people should read first"
    return {
        "exemplars": [_exemplar(found) for found in exemplars],
        "exemplars_title": f"{title}, {urgent:,} of them urgent" if urgent else title,
    }


def _exemplar(found: Mapping[str, Any]) -> dict[str, Any]:
    text = found["text"]
    cut = len(text) > _LONGEST_TEXT
    shown = text[:_LONGEST_TEXT]
    return {
        "id": shorten(str(found["id"]), _LONGEST_NAME),
        "kind": found["kind"] or "no kind",
        "score": f"{found['score']:.2f}",
        "urgent": bool(found.get("urgent")),
        "facts": list(_exemplar_facts(found)),
        "pieces": list(_pieces(text, found.get("spans") or [], len(shown))),
        "post": visible(shown, keep="\n") + ("…" if cut else ""),
        "strongest": _strongest(text, found.get("spans") or []),
        "marks": [(mark["mark"].replace("_", " "), mark["words"]) for mark in found["marks"] or []],
        "cut": f"the first {_LONGEST_TEXT:,} of {len(text):,} characters" if cut else "",
        "redacted": _REDACTED if found.get("redacted") else "",
        "line": _line(text),
    }


def _exemplar_facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Posted", words.moment(found["time"])
    yield "Targets", ", ".join(found["targets"] or []) or "none named"
    yield "Reported", words.moment(found["reported_at"]) if found["reported_at"] else "not known"
    removed = found["removed_at"]
    yield "Removed", words.moment(removed) if removed else "no removal known"
    yield "Read by people", _READ.get(found["label"], "not yet")
    if found.get("url"):
        yield "Address", shorten(found["url"], _LONGEST_TEXT)
    yield "SHA-256", found["sha256"]


def _pieces(text: str, spans: Iterable[Mapping[str, Any]], end: int) -> Iterator[tuple[str, str]]:
    """Yield stretches of a text with the class each is marked by, empty for none."""
    for piece, span, shade in marked_pieces(text, _known_spans(text, spans), 0, end):
        way = "" if span is None else f"{'up' if span.weight > 0 else 'down'}{shade + 1}"
        yield visible(piece, keep="\n"), way
    if end < len(text):
        yield "…", ""


def _known_spans(text: str, spans: Iterable[Mapping[str, Any]]) -> list[Span]:
    return [
        Span(span["start"], span["end"], text[span["start"] : span["end"]], span["weight"])
        for span in spans
    ]


def _strongest(text: str, spans: Iterable[Mapping[str, Any]]) -> list[str]:
    """Give the words that raise the score most, for a format that cannot mark them."""
    raising = sorted(_known_spans(text, spans), key=lambda span: (-span.weight, span.start))
    found = [shorten(span.text, _LONGEST_CELL) for span in raising if span.weight > 0]
    return list(dict.fromkeys(found))[:5]


def _line(text: str) -> str:
    line = " ".join(text.split())
    return visible(line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}...")
