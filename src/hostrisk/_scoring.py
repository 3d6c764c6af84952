"""The work of ``hostrisk score``: where texts come from, what is added to them, which are kept.

A source gives mappings of column name to column, a Python list for texts typed or piped in and an
Arrow array for tables, so that scoring a few words never imports pyarrow.
"""

from __future__ import annotations

import heapq
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hostrisk._columns import plain_values
from hostrisk.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from hostrisk._writers import TableWriter
    from hostrisk.records import Decision

__all__ = ["KINDS", "Highest", "Scorer", "Source", "decide", "open_source", "whole_input"]

# The columns that scoring adds, and what they are in a typed table; why only where asked for.
KINDS = {
    "score": "double", "flagged": "bool", "kind": "string", "targets": "strings",
    "supported": "bool", "why": "strings",
}  # fmt: skip
_MOST_REASONS = 3
_OTHER_PREFIX = "hostrisk_"
_EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".jsonlines", ".json", ".parquet")
_STDIN_BYTES = 1 << 20


# --- where texts come from -----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Texts to score: ``read`` gives their columns, piece by piece."""

    read: Callable[[Callable[[int], None]], Iterator[Mapping[str, Any]]]
    paths: list[str]
    size: int


def open_source(arguments: Sequence[str], text: str, *, columns: list[str] | None) -> Source:
    """Take arguments for texts or for tables; without any, take the lines of standard input.

    :param text: name of the column of texts.
    :param columns: columns of the tables to read; None for all.
    :raises InputError: a file cannot be used, or an argument is not text.
    """
    files = [argument for argument in arguments if _means_file(argument)]
    if files and len(files) < len(arguments):
        other = next(argument for argument in arguments if argument not in files)
        raise click.UsageError(
            f"{files[0]!r} is a file and {other!r} is a text; score them one after the other."
        )
    if files:
        return _open_files(files, text, columns)
    if arguments:
        texts = [_checked_text(argument) for argument in arguments]
        return Source(lambda _: iter([{text: texts}]), [], 0)
    _refuse_terminal()
    return Source(lambda _: ({text: lines} for lines in _stdin_lines()), [], 0)


def _means_file(argument: str) -> bool:
    named = argument.lower().endswith(_EXTENSIONS) and len(argument.split()) == 1
    return named or os.path.exists(argument)


def _open_files(paths: list[str], text: str, columns: list[str] | None) -> Source:
    from hostrisk.files import check_table, read_batches

    for path in paths:
        _explain_refusal(check_table, path)
    size = sum(os.path.getsize(path) for path in paths)

    def read(advance: Callable[[int], None]) -> Iterator[Mapping[str, Any]]:
        names: list[str] | None = None
        for path in paths:
            for batch in read_batches(path, columns, text=[text], advance=advance):
                _check_same_columns(path, names, batch.schema.names)
                names = batch.schema.names
                yield dict(zip(names, batch.columns, strict=True))

    return Source(read, paths, size)


def _explain_refusal(check: Callable[[str], object], path: str) -> None:
    try:
        check(path)
    except InputError as error:
        if os.path.isfile(path) and path.lower().endswith(_EXTENSIONS):
            raise
        advice = "to score a text that looks like a file name, give it on standard input"
        raise InputError(f"{error}; {advice}") from error


def _check_same_columns(path: str, before: list[str] | None, names: list[str]) -> None:
    if before is not None and names != before:
        raise InputError(
            f"{path} has the columns {', '.join(names)} where the file before has "
            f"{', '.join(before)}; score them one after the other"
        )


def _checked_text(argument: str) -> str:
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the argument {argument!r} is not UTF-8") from error
    return argument


def _refuse_terminal() -> None:
    if sys.stdin.isatty():
        raise click.UsageError("Give texts, files, or lines on standard input.")


def _stdin_lines() -> Iterator[list[str]]:
    """Read standard input as it comes; a last line without a line end counts as a line."""
    from hostrisk._lines import LONGEST

    stream: Any = sys.stdin.buffer
    number, done, rest = 0, 0, b""
    while block := stream.read1(_STDIN_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield _decoded(lines, number, done)
        number += len(lines)
        done += sum(map(len, lines)) + len(lines)
        if len(rest) > LONGEST:
            raise InputError(f"standard input, line {number + 1} is longer than {LONGEST:,} bytes")
    if rest:
        yield _decoded([rest], number, done)


def _decoded(lines: list[bytes], number: int, done: int) -> list[str]:
    texts = []
    for line in lines:
        number += 1
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise InputError(
                f"standard input, line {number} is not UTF-8: byte 0x{line[error.start]:02x} "
                f"at byte {done + error.start:,}"
            ) from error
        done += len(line) + 1
    return texts


def whole_input(text: str | None) -> str:
    """Return the text given, or else all of standard input as one text."""
    if text is not None:
        return _checked_text(text)
    _refuse_terminal()
    data = sys.stdin.buffer.read()
    return _decoded([data.removesuffix(b"\n")], 0, 0)[0]


# --- what is added -------------------------------------------------------------------------------


def decide(
    classifier: Any, texts: list[str | None], scores: list[float | None], threshold: float
) -> list[Decision]:
    """Decide about texts already scored."""
    decisions: list[Decision] = classifier.decide(texts, scores=scores, threshold=threshold)
    return decisions


class Scorer:
    """Add score, flagged, kind, targets and supported to columns, counting as it goes."""

    def __init__(
        self,
        classifier: Any,
        text: str,
        *,
        threshold: float,
        threads: int,
        prefix: str,
        why: bool = False,
    ) -> None:
        self._classifier = classifier
        self._text = text
        self._threshold = threshold
        self._threads = threads
        self.added = {name: prefix + name for name in KINDS if why or name != "why"}
        self.rows = self.flagged = self.nulls = self.unsupported = 0

    @property
    def encoded_share(self) -> float | None:
        """Share of the texts that an encoder read."""
        share: float | None = self._classifier.encoded_share
        return share

    def name_columns(self, taken: Collection[str]) -> list[str]:
        """Settle the names of the new columns where the table has some already.

        :returns: what was renamed, for a note.
        :raises InputError: the other name is taken too.
        """
        renamed = []
        for name, column in self.added.items():
            if column not in taken:
                continue
            other = _OTHER_PREFIX + column
            if other in taken:
                raise InputError(
                    f"the table has columns {column!r} and {other!r} already; "
                    "name the new columns otherwise with --prefix NAME"
                )
            self.added[name] = other
            renamed.append(f"{column!r} is in the table already; the new one is {other!r}")
        return renamed

    def add_scores(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns with the new ones behind them."""
        given = columns[self._text]
        scores = plain_values(self._classifier.score(given, threads=self._threads))
        texts = plain_values(given)
        decisions = decide(self._classifier, texts, scores, self._threshold)
        flagged = [decision.flagged for decision in decisions]
        self.rows += len(decisions)
        self.flagged += flagged.count(True)
        self.nulls += scores.count(None)
        self.unsupported += flagged.count(None) - scores.count(None)
        new: dict[str, list[Any]] = {
            "score": scores,
            "flagged": flagged,
            "kind": [decision.kind for decision in decisions],
            "targets": [None if d.score is None else d.targets for d in decisions],
            "supported": [decision.supported for decision in decisions],
        }
        if "why" in self.added:
            new["why"] = [
                self._reasons(text) if flag else None
                for text, flag in zip(texts, flagged, strict=True)
            ]
        return {**columns, **{self.added[name]: column for name, column in new.items()}}

    def _reasons(self, text: str) -> list[str]:
        """Return the words that raise the score most, the strongest first."""
        spans = self._classifier.explain(text).spans
        strongest = sorted(spans, key=lambda span: -span.weight)[:_MOST_REASONS]
        return [span.text for span in strongest if span.weight > 0]


# --- which are kept ------------------------------------------------------------------------------


class Highest:
    """Hold back the rows with the highest scores and pass them on, highest first, at the end.

    Rows of equal score keep their order. Memory grows with the number of rows kept, not read.
    """

    def __init__(self, writer: TableWriter, count: int, *, by: str) -> None:
        self._writer = writer
        self._count = count
        self._by = by
        self._kept: list[tuple[float, int, dict[str, Any]]] = []
        self._names: list[str] = []
        self._seen = 0

    def write(self, columns: Mapping[str, Any]) -> None:
        """Look at the next rows."""
        self._names = list(columns)
        for row, score in enumerate(columns[self._by]):
            self._seen += 1
            if score is None or (len(self._kept) == self._count and score <= self._kept[0][0]):
                continue
            entry = (score, -self._seen, _row(columns, row))
            if len(self._kept) < self._count:
                heapq.heappush(self._kept, entry)
            else:
                heapq.heappushpop(self._kept, entry)

    def close(self) -> None:
        """Pass on the rows kept, or none, which still prints the header."""
        rows = [row for _, _, row in sorted(self._kept, key=lambda entry: entry[:2], reverse=True)]
        self._writer.write({name: [row[name] for row in rows] for name in self._names})
        self._writer.close()


def _row(columns: Mapping[str, Any], at: int) -> dict[str, Any]:
    return {name: plain_values(column[at : at + 1])[0] for name, column in columns.items()}
