"""A CSV file of which some cells are set while all others keep their bytes.

The file is cut into the raw fields of its records, quotation marks and line ends included, and is
put together from them again. Reading it as values and writing those back would change what a value
does not hold: which fields were quoted, how lines end, a byte order mark.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from hostrisk._lines import reason
from hostrisk.errors import InputError
from hostrisk.files import atomic_writer, check_table, read_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Sheet", "open_sheet"]

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_MARK = "\ufeff"


class _Stamp(NamedTuple):
    """What tells that another program has written a file."""

    modified: int
    size: int
    inode: int


class _Record(NamedTuple):
    """The raw fields of a line of the table, and what ends it."""

    fields: list[str]
    end: str


class Sheet:
    """A table in memory; made by :func:`open_sheet`."""

    def __init__(self, path: Path, content: str, delimiter: str, stamp: _Stamp | None) -> None:
        self.path = path
        self._delimiter = delimiter
        self._stamp = stamp
        self._mark = _MARK if content.startswith(_MARK) else ""
        self._records = _cut(content[len(self._mark) :], delimiter)
        # An empty line is no row to anyone who reads CSV, but stays where it is.
        header, *rows = (record for record in self._records if record.fields != [""])
        self._header, self._rows = header.fields, rows
        self._places = {_value(raw): place for place, raw in enumerate(header.fields)}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self._places)

    def get(self, row: int, column: str) -> str:
        """Return the value of a cell; empty where there is no such column."""
        place = self._places.get(column)
        return "" if place is None else _value(self._rows[row].fields[place])

    def put(self, row: int, values: Mapping[str, str]) -> None:
        """Set cells of a row; those that have the value already keep their bytes."""
        for column, value in values.items():
            if self.get(row, column) != value:
                self._rows[row].fields[self._places[column]] = _raw(value, self._delimiter)

    def add_columns(self, names: Iterable[str]) -> None:
        """Append empty columns, but those that are there."""
        for name in names:
            if name not in self._places:
                self._places[name] = len(self._header)
                self._header.append(_raw(name, self._delimiter))
                for record in self._rows:
                    record.fields.append("")

    def save(self) -> None:
        """Write the file, whole or not at all.

        :raises InputError: another program has written or removed it since it was read, or it
            cannot be written.
        """
        if _stamp(self.path) != self._stamp:
            raise InputError(
                f"{self.path} was changed by another program, so nothing was saved over it; stop "
                "this review and start it again to go on from what the file holds now"
            )
        lines = (self._delimiter.join(record.fields) + record.end for record in self._records)
        content = self._mark + "".join(lines)
        try:
            with atomic_writer(self.path) as file:
                file.write(content.encode())
                file.flush()
                stamp = _stamp(file.fileno())
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {reason(error)}") from error
        self._stamp = stamp


def open_sheet(path: str | os.PathLike[str], *, text: Iterable[str]) -> Sheet:
    """Read a CSV or TSV file.

    :param text: names of columns that it must have.
    :raises InputError: the file cannot be used; the message says where and why.
    """
    checked, form = check_table(path)
    if form not in _DELIMITERS:
        raise InputError(
            f"{path} cannot be labeled in place; save it as .csv, which keeps what others wrote"
        )
    stamp = _stamp(checked)
    # Read once to refuse what is damaged, with the line, and once for the bytes.
    wanted = list(text)
    rows = sum(batch.num_rows for batch in read_batches(checked, wanted, text=wanted))
    try:
        content = checked.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error
    sheet = Sheet(checked, content, _DELIMITERS[form], stamp)
    if rows != len(sheet):
        raise InputError(f"{path} was changed while it was read; try again")
    if not rows:
        raise InputError(f"{path} has a header but no rows; draw a sample that has posts")
    return sheet


def _stamp(file: Path | int) -> _Stamp | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _cut(content: str, delimiter: str) -> list[_Record]:
    """Cut text that is known to be CSV into records of raw fields."""
    field = re.compile(
        rf'("[^"]*(?:""[^"]*)*"|[^{delimiter}\r\n]*)({delimiter}|\r\n|\r|\n|\Z)'
    )  # a quoted field, or a plain one, and what ends it
    records, fields = [], []
    for raw, end in field.findall(content):
        fields.append(raw)
        if end != delimiter:
            records.append(_Record(fields, end))
            fields = []
    return records


def _value(raw: str) -> str:
    return raw[1:-1].replace('""', '"') if raw.startswith('"') else raw


def _raw(value: str, delimiter: str) -> str:
    if any(letter in value for letter in (delimiter, '"', "\r", "\n")):
        return '"' + value.replace('"', '""') + '"'
    return value
