"""Tables on disk: CSV, JSON Lines and Parquet in and out, in batches, larger than memory.

Reading, in steps:

1. The format comes from the extension; the file must exist, be a plain file and not be empty.
2. CSV and JSON Lines are read line by line as bytes and decoded strictly, so that an error can
   name the line and the byte. Every CSV column is text and stays as it was written. A JSON Lines
   file is read twice: once for its columns and their types, once for its rows; a column that mixes
   types is kept as JSON.
3. Parquet is streamed page by page, in batches small enough for the width of its rows.
4. Whatever is wrong becomes one InputError, one sentence.

Writing goes to a temporary file in the folder of the target, which takes the target's name only
when all of it is on disk.
"""

from __future__ import annotations

import csv
import json
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from hostrisk._columns import build_column, is_text
from hostrisk._lines import LONGEST, Lines, open_file, reason
from hostrisk.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

__all__ = ["atomic_writer", "check_table", "known_formats", "read_batches", "table_format"]

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_BATCH_ROWS = 16_384
_BATCH_BYTES = 16 << 20
_EXACT_FLOAT = 1 << 53


class _Request(NamedTuple):
    """What a reader was asked for."""

    path: Path
    columns: list[str] | None
    text: tuple[str, ...]
    batch_rows: int
    advance: Callable[[int], object]


def known_formats() -> str:
    """Name the file extensions that tables can have, for messages."""
    return ", ".join(_FORMATS)


def table_format(path: str | os.PathLike[str]) -> str:
    """Tell the format of a table from its extension: ``csv``, ``tsv``, ``jsonl`` or ``parquet``.

    :raises InputError: the extension is none of the known ones.
    """
    extension = Path(path).suffix.lower()
    if extension not in _FORMATS:
        shown = f"the extension {extension}" if extension else "no extension"
        raise InputError(f"{path} has {shown}; a table must end in one of {known_formats()}")
    return _FORMATS[extension]


def read_batches(
    path: str | os.PathLike[str],
    columns: list[str] | None = None,
    *,
    text: Iterable[str] = (),
    batch_rows: int = _BATCH_ROWS,
    advance: Callable[[int], object] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a CSV, JSON Lines or Parquet file as a stream of record batches.

    At least one batch comes, with no rows where the file has none; all have the same schema.

    :param columns: names of the columns wanted, in this order; None for all.
    :param text: names of columns that must hold text; they come as a string type, UTF-8 checked.
    :param batch_rows: most rows in a batch; wide rows come in smaller batches.
    :param advance: called with the number of bytes done since the last call; in the end their sum
        is the size of the file.
    :raises InputError: the file cannot be used; the message says where and why.
    :raises MissingExtraError: pyarrow is not installed.
    """
    checked, form = check_table(path)
    try:
        import pyarrow as pa  # noqa: F401  # only to say early which extra is missing
    except ImportError as error:
        raise MissingExtraError("Reading a table", package="pyarrow") from error
    request = _Request(checked, columns, tuple(text), batch_rows, advance or _ignore)
    if form == "parquet":
        return _read_parquet(request)
    return _read_jsonl(request) if form == "jsonl" else _read_csv(request, _DELIMITERS[form])


def _ignore(_: int) -> None:
    pass


def check_table(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return path and format of a table after refusing what cannot be one.

    :raises InputError: the file is missing, empty, no plain file, or of an unknown format.
    """
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} is a folder, not a table")
    form = table_format(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a plain file; save what it gives to a file first")
    if status.st_size == 0:
        raise InputError(f"{path} is empty")
    return Path(path), form


def _check_columns(request: _Request, names: Sequence[str]) -> list[str]:
    """Return the columns to read, after refusing missing and repeated ones."""
    repeated = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if repeated is not None:
        raise InputError(f"{request.path} has more than one column named {repeated!r}")
    wanted = list(names) if request.columns is None else request.columns
    for name in (*wanted, *request.text):
        if name not in names:
            there = ", ".join(map(repr, names))
            raise InputError(f"{request.path} has no column {name!r}; its columns are {there}")
    return wanted


# --- CSV -----------------------------------------------------------------------------------------


def _read_csv(request: _Request, delimiter: str) -> Iterator[pa.RecordBatch]:
    with open_file(request.path) as file:
        lines = Lines(file, request.path)
        rows = _csv_rows(lines, delimiter)
        header = next(_chunk(rows, lines, 1))
        if not header:
            raise InputError(f"{request.path} is empty")
        wanted = _check_columns(request, header[0])
        places = [header[0].index(name) for name in wanted]
        done = 0
        for chunk in _chunk(rows, lines, request.batch_rows):
            yield _csv_batch(wanted, places, chunk)
            request.advance(lines.bytes - done)
            done = lines.bytes


def _chunk(rows: Iterator[Any], lines: Lines, most: int) -> Iterator[list[Any]]:
    """Gather rows into lists of at most ``most`` rows or 16 MiB; at least one list comes."""
    first = True
    while True:
        limit, chunk = lines.bytes + _BATCH_BYTES, []
        with _long_fields():
            for row in rows:
                chunk.append(row)
                if len(chunk) == most or lines.bytes > limit:
                    break
        if not (chunk or first):
            return
        first = False
        yield chunk


@contextmanager
def _long_fields() -> Iterator[None]:
    # The limit belongs to the whole process, so it is put back before anyone else runs.
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_rows(lines: Lines, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width, start = 0, 1
    try:
        for row in reader:
            if len(row) != width and row:
                if width:
                    fields = f"{len(row)} field" + "s" * (len(row) != 1)
                    raise lines.error(f"has {fields}, the header {width}", start)
                width = len(row)
            start = lines.number + 1
            if row:
                yield row
    except csv.Error as error:
        raise lines.error(_csv_problem(str(error)), start) from error


def _csv_problem(message: str) -> str:
    if "end of data" in message:
        return "opens a quotation mark that is never closed"
    if "field limit" in message:
        return f"begins a field of over {LONGEST:,} characters; is a quotation mark left open?"
    if "expected after" in message:
        return "has text after a closing quotation mark; quotation marks inside must be doubled"
    if "new-line character" in message:
        return "has a bare carriage return outside quotation marks; end lines with a newline"
    return f"is not CSV: {message}"


def _csv_batch(names: list[str], places: list[int], rows: list[list[str]]) -> pa.RecordBatch:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) if rows else [()] * (max(places, default=0) + 1)
    arrays = [build_column(columns[place], "string") for place in places]
    return pa.RecordBatch.from_arrays(arrays, names=names)


# --- JSON Lines ----------------------------------------------------------------------------------


def _read_jsonl(request: _Request) -> Iterator[pa.RecordBatch]:
    kinds = _scan_jsonl(request)
    wanted = _check_columns(request, list(kinds))
    with open_file(request.path) as file:
        lines = Lines(file, request.path)
        done = 0
        for chunk in _chunk(_json_rows(lines), lines, request.batch_rows):
            yield _json_batch({name: kinds[name] for name in wanted}, chunk)
            request.advance(lines.bytes // 2 - done)
            done = lines.bytes // 2


def _scan_jsonl(request: _Request) -> dict[str, str]:
    """Read the file once for the names of its columns and the kind of each."""
    seen: dict[str, set[object]] = {}
    with open_file(request.path) as file:
        lines = Lines(file, request.path)
        done = 0
        for row in _json_rows(lines):
            for name, value in row.items():
                found = type(value)
                seen.setdefault(name, set()).add(_size(value) if found is int else found)
            for name in request.text:
                if not isinstance(row.get(name), str | None):
                    raise lines.error(f"has {_called(row[name])} in the text column {name!r}")
            if lines.number % request.batch_rows == 0:
                request.advance((lines.bytes - done) // 2)
                done += (lines.bytes - done) // 2 * 2
        # The second pass reports half of the bytes rounded down; this one reports all the rest.
        request.advance(lines.bytes - lines.bytes // 2 - done // 2)
    if not seen:
        raise InputError(f"{request.path} holds no rows")
    return {name: _column_kind(types - {type(None)}) for name, types in seen.items()}


def _size(number: int) -> object:
    """Sort whole numbers by what holds them exactly: any number type, 64 bits, or text only."""
    if -_EXACT_FLOAT <= number <= _EXACT_FLOAT:
        return int
    return "int64" if -(1 << 63) <= number < 1 << 63 else "longer"


def _column_kind(types: set[object]) -> str:
    if types <= {str}:
        return "string"
    if types == {bool}:
        return "bool"
    if types <= {int, "int64"}:
        return "int64"
    return "double" if types <= {int, float} else "json"


def _called(value: object) -> str:
    names = {bool: "a truth value", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object")


def _json_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    # NaN and Infinity are not JSON; Python writes them for missing values, so they mean null.
    decode = json.JSONDecoder(parse_constant=_ignore_constant).decode
    for line in lines:
        try:
            row = decode(line)
        except (ValueError, RecursionError) as error:
            if line.isspace():
                continue
            raise lines.error(_json_problem(line, error)) from error
        if not isinstance(row, dict):
            raise lines.error(f"holds {_called(row)}, not an object; write one object a line")
        if "\\u" in line:
            _check_surrogates(row, lines)
        yield row


def _ignore_constant(_: str) -> None:
    return None


def _json_problem(line: str, error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        if line.strip() in ("[", "{"):
            return "is not JSON by itself; write one whole object a line, without line breaks"
        return f"is not JSON: {error.msg} at character {error.pos + 1}"
    if isinstance(error, RecursionError):
        return "is nested too deep"
    return f"is not usable JSON: {reason(error)}"


def _check_surrogates(row: dict[str, Any], lines: Lines) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise lines.error(f"holds half a character (\\u{half:04x}), which no text has") from error


def _json_batch(kinds: dict[str, str], rows: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [build_column([row.get(name) for row in rows], kind) for name, kind in kinds.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


# --- Parquet -------------------------------------------------------------------------------------


def _read_parquet(request: _Request) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Without read-ahead only the pages of the present batch are in memory.
        with parquet.ParquetFile(request.path, pre_buffer=False, buffer_size=1 << 20) as file:
            schema, size = file.schema_arrow, request.path.stat().st_size
            wanted = _check_columns(request, schema.names)
            for name in request.text:
                _check_text_type(request.path, schema.field(name))
            rows, done, total = 0, 0, file.metadata.num_rows
            for batch in file.iter_batches(_parquet_rows(file, request.batch_rows), columns=wanted):
                yield _parquet_batch(request, batch.select(wanted), rows)
                rows += batch.num_rows
                request.advance(size * rows // total - done)
                done = size * rows // total
            if rows == 0:
                empty = schema.remove_metadata().empty_table().select(wanted)
                yield _parquet_batch(request, _only_batch(empty), 0)
    except (pa.ArrowException, OSError) as error:
        problem = f"{request.path} is damaged, cut short or not Parquet: {reason(error)}"
        raise InputError(problem) from error


def _only_batch(table: pa.Table) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def _parquet_rows(file: Any, most: int) -> int:
    """Choose how many rows a batch may have so that it stays near 16 MiB."""
    meta = file.metadata
    held = sum(meta.row_group(at).total_byte_size for at in range(meta.num_row_groups))
    fitting: int = _BATCH_BYTES * meta.num_rows // max(held, 1)
    return max(1, min(most, fitting))


def _check_text_type(path: Path, field: pa.Field[Any]) -> None:
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if not (is_text(kind) or types.is_null(kind)):
        raise InputError(f"{path}, column {field.name!r} holds {kind}, not text")


def _parquet_batch(request: _Request, batch: pa.RecordBatch, before: int) -> pa.RecordBatch:
    """Check the text of a batch and give its text columns a string type."""
    import pyarrow as pa

    for place, field in enumerate(batch.schema):
        column = batch.column(place)
        if field.name in request.text and not is_text(field.type):
            column = column.cast(pa.string())
            batch = batch.set_column(place, field.with_type(pa.string()), column)
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            row = before + _bad_row(column) + 1
            where = f"{request.path}, row {row}, column {field.name!r}"
            raise InputError(f"{where} is not UTF-8 or damaged: {reason(error)}") from error
    return batch.replace_schema_metadata(None)


def _bad_row(column: pa.Array[Any]) -> int:
    for row in range(len(column)):
        try:
            column[row].as_py()
        except UnicodeDecodeError:
            return row
    return 0


# --- writing -------------------------------------------------------------------------------------


@contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the name ``path`` only when the block ends without an error.

    Until then a file of that name keeps its old content; after an error nothing is left behind.

    :raises InputError: the folder is missing or closed to writing, or ``path`` is no plain file.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not a plain file and cannot be replaced")
    temporary = target.with_name(f".hostrisk-{os.urandom(6).hex()}.tmp")
    try:
        file = temporary.open("xb")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {reason(error)}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
