"""Write tables of columns as CSV, JSON Lines or Parquet, to a file or to a text stream.

Every writer takes mappings of column name to column (a Python list or an Arrow array, all of one
length) and wants the same names each time.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from hostrisk._columns import build_column, plain_values
from hostrisk.errors import InputError, MissingExtraError
from hostrisk.files import atomic_writer, table_format

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

__all__ = [
    "CsvWriter",
    "JsonLinesWriter",
    "ParquetWriter",
    "TableWriter",
    "escape_unseen",
    "open_table",
]

_ROW_GROUP_BYTES = 32 << 20
# JSON may hold these as they are, but terminals obey some of them and show none: each is written
# as its escape, which means the same to every reader of JSON.
_UNSEEN = re.compile(
    "[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


class _Output(Protocol):
    def write(self, text: str, /) -> object: ...


class TableWriter(Protocol):
    """What takes the columns of a table, piece by piece."""

    def write(self, columns: Mapping[str, Any]) -> None:
        """Take the next rows."""

    def close(self) -> None:
        """Write what is still held back; the stream itself stays open."""


@contextmanager
def open_table(
    path: str | os.PathLike[str], kinds: Mapping[str, str] | None = None
) -> Iterator[TableWriter]:
    """Open a table for writing, in the format of its extension, whole or not at all.

    :param kinds: for columns that come as Python lists, what ``build_column`` should make of them
        in Parquet; text if not told.
    :raises InputError: the extension is unknown or the file cannot be written.
    """
    form = table_format(path)
    with atomic_writer(path) as file:
        if form == "parquet":
            with _parquet_writer(file, kinds or {}) as writer:
                yield writer
            return
        out = io.TextIOWrapper(file, "utf-8", newline="")
        delimiter = "\t" if form == "tsv" else ","
        yield JsonLinesWriter(out) if form == "jsonl" else CsvWriter(out, delimiter=delimiter)
        out.detach()


# --- CSV -----------------------------------------------------------------------------------------


class CsvWriter:
    """Rows as CSV: null is an empty field, truth values ``true`` and ``false``.

    A tuple becomes its members joined by commas (target groups), any other nested value its JSON.
    """

    def __init__(self, out: _Output, *, delimiter: str = ",") -> None:
        # The csv module quotes carriage returns only if its own line end holds one.
        lines = _NewlineEnds(out)
        self._writer = csv.writer(lines, delimiter=delimiter, lineterminator="\r\n")
        self._started = False

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write the next rows, before the first of them the header."""
        if not self._started:
            self._writer.writerow(columns)
            self._started = True
        cells = [_csv_cells(plain_values(column)) for column in columns.values()]
        self._writer.writerows(zip(*cells, strict=True))

    def close(self) -> None:
        """Do nothing: every row is written at once."""


class _NewlineEnds:
    def __init__(self, out: _Output) -> None:
        self._out = out

    def write(self, row: str) -> None:
        self._out.write(row[:-2] + "\n")


def _csv_cells(values: list[Any]) -> list[Any]:
    if all(type(value) is str for value in values):
        return values
    return [_csv_cell(value) for value in values]


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, list | dict):
        return json.dumps(_finite(value), ensure_ascii=False, default=_json_value)
    return _json_value(value) if isinstance(value, bytes) else value


# --- JSON Lines ----------------------------------------------------------------------------------


class JsonLinesWriter:
    """Rows as JSON objects, one a line; characters that cannot be seen are escaped."""

    def __init__(self, out: _Output) -> None:
        self._out = out
        self._encode = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, default=_json_value
        ).encode

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write the next rows."""
        names = list(columns)
        values = [plain_values(column) for column in columns.values()]
        for row in zip(*values, strict=True):
            self._out.write(self._line(dict(zip(names, row, strict=True))))

    def _line(self, row: dict[str, Any]) -> str:
        try:
            line = self._encode(row)
        except ValueError:  # NaN and infinity, which JSON does not have
            line = self._encode(_finite(row))
        return escape_unseen(line) + "\n"

    def close(self) -> None:
        """Do nothing: every row is written at once."""


def escape_unseen(text: str) -> str:
    """Write the characters of a JSON text that cannot be seen as their escapes."""
    return _UNSEEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _json_value(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


# --- Parquet -------------------------------------------------------------------------------------


@contextmanager
def _parquet_writer(file: BinaryIO, kinds: Mapping[str, str]) -> Iterator[ParquetWriter]:
    writer = ParquetWriter(file, kinds)
    try:
        yield writer
    except BaseException:
        writer.abandon()
        raise
    writer.close()


class ParquetWriter:
    """Rows as Parquet, gathered into row groups of about 32 MiB."""

    def __init__(self, file: BinaryIO, kinds: Mapping[str, str]) -> None:
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise MissingExtraError("Writing Parquet", package="pyarrow") from error
        self._parquet = parquet
        self._file = file
        self._kinds = kinds
        self._held: list[pa.RecordBatch] = []
        self._writer: Any = None

    def write(self, columns: Mapping[str, Any]) -> None:
        """Take the next rows; all must have the column types of the first ones."""
        import pyarrow as pa

        arrays = [self._arrow(name, column) for name, column in columns.items()]
        batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._file, batch.schema, compression="zstd")
        self._held.append(self._fitted(batch))
        if sum(held.nbytes for held in self._held) > _ROW_GROUP_BYTES:
            self._flush()

    def _arrow(self, name: str, column: Any) -> Any:
        if hasattr(column, "type"):
            return column
        return build_column(column, self._kinds.get(name, "string"))

    def _fitted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        try:
            return batch.cast(self._writer.schema)
        except (pa.ArrowException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"The files do not fit into one Parquet file: {reason}") from error

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held))
            self._held = []

    def close(self) -> None:
        """Write the rows still held and the footer."""
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Let go of the file without minding what becomes of it."""
        self._held = []
        if self._writer is not None:
            self._writer.close()
