"""Read tables from wherever people keep them, as a stream of columns by name.

1. A source becomes a stream of tables: a file through files.py, a frame through its Arrow stream,
   a dataset through its own batches, rows through lists.
2. Of each table the columns asked for are taken, and those that are welcome if there.
3. Whatever does not fit is one InputError that names the column, and for a value its row.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hostrisk._columns import build_column, decode_dictionary, is_text, plain_values
from hostrisk.errors import InputError
from hostrisk.files import read_batches, table_format

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Table", "Wanted", "distinct", "kind_of", "look_into", "one_array", "read_tables", "reason",
    "take_columns", "text_column",
]  # fmt: skip

_BATCH_ROWS = 16_384

Table = Mapping[str, Any]  # column name to Arrow array, chunked array or list


class Wanted(NamedTuple):
    """The columns asked for, those taken where they are, and the one that must hold text."""

    needed: Sequence[str]
    text: str
    optional: Sequence[str] = ()

    def choose(self, found: Sequence[Any], where: str) -> list[str]:
        """Return the names to read out of those found.

        :raises InputError: a needed column is missing, or one to be read is there twice.
        """
        for name in self.needed:
            if name not in found:
                there = ", ".join(repr(other) for other in found) or "none"
                raise InputError(f"{where} has no column {name!r}; its columns are {there}")
        chosen = [*self.needed, *(name for name in self.optional if name in found)]
        for name in chosen:
            if found.count(name) > 1:
                raise InputError(f"{where} has more than one column named {name!r}")
        return chosen


def read_tables(
    source: Any,
    wanted: Wanted,
    *,
    what: str,
    batch_rows: int = _BATCH_ROWS,
    advance: Callable[[int], object] | None = None,
) -> Iterator[Table]:
    """Read the wanted columns of a table of any kind, in pieces, in order, all rows included.

    :param source: a path, a DataFrame, anything with an Arrow stream, a ``datasets.Dataset``, or
        rows as dicts.
    :param what: ends the sentence "... cannot be read as" about an object of another kind.
    :param batch_rows: most rows in a piece of what has no batches of its own.
    :param advance: called with the bytes of a file done since the last call.
    :raises InputError: the source or a column cannot be used.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(source, wanted, advance)
    if hasattr(source, "with_format") and hasattr(source, "iter"):
        return _read_dataset(source, wanted, batch_rows)
    if (pandas := sys.modules.get("pandas")) and isinstance(source, pandas.DataFrame):
        return _read_frame(source, wanted, batch_rows)
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        return _read_arrow(source, wanted)
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        return _read_rows(source, wanted, batch_rows)
    raise InputError(f"{kind_of(source)} cannot be read as {what}")


def kind_of(value: Any) -> str:
    """Name the type of an object, for a message."""
    return f"an object of type {type(value).__name__}"


def reason(error: BaseException) -> str:
    """Give the first line of what an error of another library says."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


# --- sources -------------------------------------------------------------------------------------


def _read_file(
    path: str | os.PathLike[str], wanted: Wanted, advance: Callable[[int], object] | None
) -> Iterator[Table]:
    names = look_into(path, wanted) if wanted.optional else list(wanted.needed)
    for batch in read_batches(path, names, text=(wanted.text,), advance=advance):
        found = batch.schema.names
        yield {name: batch.column(found.index(name)) for name in wanted.choose(found, str(path))}


def look_into(path: str | os.PathLike[str], wanted: Wanted) -> list[str] | None:
    """Return which columns to read of a file; None for JSON Lines, which have no header.

    :raises InputError: the file cannot be read, or lacks a needed column.
    """
    if table_format(path) == "jsonl":
        return None
    return wanted.choose(_header(path), str(path))


def _header(path: str | os.PathLike[str]) -> list[str]:
    if table_format(path) == "parquet":
        with suppress(pa.ArrowException, OSError):  # read_batches says it in a sentence
            return list(parquet.read_schema(os.fspath(path)).names)
    return list(next(read_batches(path, batch_rows=1)).schema.names)


def _read_arrow(source: Any, wanted: Wanted) -> Iterator[Table]:
    try:
        if hasattr(source, "__arrow_c_stream__"):
            batches: Any = pa.RecordBatchReader.from_stream(source)
            found = batches.schema.names
        else:
            batches = [pa.record_batch(source)]
            found = batches[0].schema.names
        wanted.choose(found, type(source).__name__)
        for batch in batches:
            yield take_columns(batch, wanted, type(source).__name__)
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"{kind_of(source)} cannot be read as a table: {reason(error)}") from error


def take_columns(batch: pa.RecordBatch, wanted: Wanted, where: str) -> Table:
    """Return the wanted columns of a batch.

    :raises InputError: a column is missing, there twice, or damaged.
    """
    names = wanted.choose(batch.schema.names, where)
    return {name: _checked(batch.column(name), name) for name in names}


def _checked(column: Any, name: str) -> Any:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name!r} is damaged: {reason(error)}") from error
    return column


def _read_frame(frame: Any, wanted: Wanted, batch_rows: int) -> Iterator[Table]:
    names = wanted.choose(list(frame.columns), "the DataFrame")
    for start in range(0, max(len(frame), 1), batch_rows):
        rows = frame.iloc[start : start + batch_rows]
        yield {name: _series_column(rows[name]) for name in names}


def _series_column(series: Any) -> Any:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Values of several types: taken one by one, so that an error can name the row.
        return series.astype(object).where(series.notna(), None).tolist()


def _read_dataset(dataset: Any, wanted: Wanted, batch_rows: int) -> Iterator[Table]:
    known = getattr(dataset, "column_names", None)
    if known is not None:
        dataset = dataset.select_columns(wanted.choose(known, "the dataset"))
    # A stream without declared features would guess Arrow types row by row, and fail at a null.
    form = None if getattr(dataset, "features", None) is None else "arrow"
    for table in dataset.with_format(form).iter(batch_size=batch_rows):
        found = table.column_names if form else list(table)
        yield {name: table[name] for name in wanted.choose(found, "the dataset")}


def _read_rows(source: Iterable[Any], wanted: Wanted, batch_rows: int) -> Iterator[Table]:
    rows, start = iter(source), 0
    while chunk := list(islice(rows, batch_rows)):
        names = dict.fromkeys(wanted.needed)
        for at, row in enumerate(chunk, start + 1):
            if not isinstance(row, Mapping):
                raise InputError(
                    f"row {at} is {kind_of(row)}, not a dict of column names to values"
                )
            names |= dict.fromkeys(wanted.choose(list(row), f"row {at}"))
        yield {name: [row.get(name) for row in chunk] for name in names}
        start += len(chunk)


# --- columns -------------------------------------------------------------------------------------


def text_column(column: Any, name: str, before: int) -> Any:
    """Give a column of texts as an Arrow array of one of the three string types, null kept.

    :param before: rows before the first one of this piece, for messages.
    :raises InputError: the column, or a value of it, is no text.
    """
    if isinstance(column, list):
        return _text_from_list(column, name, before)
    column = one_array(column)
    if column.null_count == len(column):  # of any type: that of a column without values is a guess
        return pa.nulls(len(column), pa.string())
    if not is_text(column.type):
        raise InputError(f"column {name!r} holds {column.type}, not text")
    return column


def _text_from_list(values: list[Any], name: str, before: int) -> pa.Array[Any]:
    for row, value in enumerate(values, before + 1):
        if not isinstance(value, str | None):
            raise InputError(f"row {row}, column {name!r} is {kind_of(value)}, not text")
    try:
        return build_column(values, "string")
    except UnicodeEncodeError as error:
        raise InputError(f"column {name!r} holds half a character, which no text has") from error


def distinct(column: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Give the distinct values of a column, null as None, and each row's place among them."""
    if not isinstance(column, list):
        column = one_array(column)
        try:
            encoded = column.dictionary_encode()
        except pa.ArrowNotImplementedError:  # lists, records, JSON
            column = plain_values(column)
        else:
            values = encoded.dictionary.to_pylist()
            return [*values, None], encoded.indices.fill_null(len(values)).to_numpy()
    places: dict[Any, int] = {}
    values = []
    codes = np.empty(len(column), dtype=np.int64)
    for row, value in enumerate(column):
        codes[row] = place = places.setdefault((type(value), repr(value)), len(values))
        if place == len(values):
            values.append(value)
    return values, codes


def one_array(column: Any) -> Any:
    """Join chunks, and undo an encoding as a dictionary, which may hold values no row has."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return decode_dictionary(column) if pa.types.is_dictionary(column.type) else column
