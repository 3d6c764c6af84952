"""What a model gets wrong: misses and false alarms, group by group, near the threshold and far.

Near ones show where the line could move; far ones show what the model does not understand.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk.records import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hostrisk.records import Span

__all__ = ["FALSE_ALARM", "MISS", "Collector", "Mistake", "MistakeGroup"]

MISS, FALSE_ALARM = "miss", "false alarm"
_ALL = "all"  # the group of rows that have none


class Mistake(NamedTuple):
    """One text decided wrongly; ``row`` counts from 1, ``spans`` carry the score if known."""

    row: int
    kind: str
    score: float
    text: str
    spans: tuple[Span, ...]


class MistakeGroup(NamedTuple):
    """The mistakes among the rows of one group: how many, and those shown, farthest first."""

    name: str
    rows: int
    misses: int
    false_alarms: int
    shown: tuple[Mistake, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold."""
        record: dict[str, Any] = plain(self)
        return record


class Collector:
    """Keep, of all mistakes, the nearest and the farthest of each group and kind."""

    def __init__(self, threshold: float, count: int) -> None:
        self._threshold = threshold
        self._count = count
        self._rows: dict[str, int] = {}
        self._found: dict[tuple[str, str], _Ends] = {}

    def add(
        self,
        before: int,
        labels: Iterable[int],
        scores: Iterable[float],
        texts: Iterable[str],
        groups: Iterable[str] | None,
        rows: Sequence[int],
    ) -> None:
        """Look at labeled rows: ``rows`` are their places in a batch that begins at ``before``."""
        names = [_ALL] * len(rows) if groups is None else groups
        for label, score, text, name, row in zip(labels, scores, texts, names, rows, strict=True):
            self._rows[name] = self._rows.get(name, 0) + 1
            if (score >= self._threshold) == (label == 1):
                continue
            kind = MISS if label == 1 else FALSE_ALARM
            ends = self._found.setdefault((name, kind), _Ends(self._count))
            distance = abs(score - self._threshold)
            ends.add(distance, Mistake(before + int(row) + 1, kind, float(score), text, ()))

    def groups(self, explain: Callable[[str], tuple[Span, ...]]) -> Iterator[MistakeGroup]:
        """Yield the groups that have mistakes, most mistakes first, each text explained."""
        for name in sorted(self._rows, key=lambda name: (-self._total(name), name)):
            misses, alarms = self._ends(name)
            shown = [
                found._replace(spans=explain(found.text))
                for found in (*misses.shown(), *alarms.shown())
            ]
            if shown:
                yield MistakeGroup(name, self._rows[name], misses.total, alarms.total, tuple(shown))

    def _total(self, name: str) -> int:
        return sum(ends.total for ends in self._ends(name))

    def _ends(self, name: str) -> tuple[_Ends, _Ends]:
        misses = self._found.get((name, MISS), _Ends(0))
        return misses, self._found.get((name, FALSE_ALARM), _Ends(0))


class _Ends:
    """The nearest and the farthest of some mistakes, in memory for those kept alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._near: list[tuple[float, int, Mistake]] = []
        self._far: list[tuple[float, int, Mistake]] = []
        self.total = 0

    def add(self, distance: float, found: Mistake) -> None:
        self.total += 1
        # A number of its own breaks ties: of equal distances the first rows are kept.
        for heap, key in ((self._far, distance), (self._near, -distance)):
            entry = (key, -self.total, found)
            if len(heap) < self._count:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)

    def shown(self) -> list[Mistake]:
        """Return the farthest, then the nearest that are not among them, down to the nearest."""
        far = [found for *_, found in sorted(self._far, key=lambda kept: kept[:2], reverse=True)]
        taken = {found.row for found in far}
        near = [found for *_, found in sorted(self._near, key=lambda kept: (kept[0], -kept[1]))]
        return [*far, *(found for found in near if found.row not in taken)]
