"""What is wrong with single posts: counted by kind, with the first few of each to look up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["KINDS", "Defects", "Rows"]

KINDS = {
    "no_id": "no id: named by file and row instead",
    "duplicate_id": "an id that the same host had before: left out of all figures",
    "no_text": "no text, or only blanks: counted among the posts, with nothing to find in it",
    "no_date": "no date: in overall figures, in no week",
    "unreadable_date": "a date that cannot be read: in overall figures, in no week",
    "absurd_date": (
        "a date before 1990, or more than a day after the date of the figures: taken for no date, "
        "in overall figures, in no week"
    ),
    "no_host": "no host named: counted as posts of the host (no host)",
    "bad_views": "views that are negative or no whole number: taken for not known",
    "reported_early": "reported before it was posted: taken for not reported",
    "unreadable_reported": "a time of report that cannot be read: taken for not reported",
    "removed_early": "removed before it was posted: taken for not removed",
    "unreadable_removed": "a time of removal that cannot be read: taken for not removed",
    "bad_label": "a label that is neither 0, 1, true nor false: taken for no label",
}
_EXAMPLES = 20


class Rows(NamedTuple):
    """Where the rows of a piece lie: their ids, their file if they have one, the rows before."""

    ids: pa.Array[Any]
    file: str | None
    before: int

    def place(self, at: int) -> dict[str, str]:
        """Say where a row lies, as people count, and its id."""
        row = f"row {self.before + at + 1}"
        where = row if self.file is None else f"{self.file}, {row}"
        return {"where": where, "id": self.ids[at].as_py()}


class Defects:
    """The defects found so far, by kind."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[dict[str, str]]] = {}

    def __getitem__(self, kind: str) -> int:
        return self._counts.get(kind, 0)

    def note(self, kind: str, bad: NDArray[np.bool_], rows: Rows) -> None:
        """Count the rows that are marked in ``bad``, shape (rows,)."""
        if not bad.any():
            return
        places = bad.nonzero()[0]
        self._counts[kind] = self[kind] + len(places)
        examples = self._examples.setdefault(kind, [])
        examples.extend(rows.place(int(at)) for at in places[: _EXAMPLES - len(examples)])

    def to_list(self) -> list[dict[str, Any]]:
        """Return the kinds found: each with its count, its meaning and its first examples."""
        return [
            {
                "kind": kind,
                "count": self._counts[kind],
                "meaning": meaning,
                "examples": [dict(place) for place in self._examples[kind]],
            }
            for kind, meaning in KINDS.items()
            if kind in self._counts
        ]
