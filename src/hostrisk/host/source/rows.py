"""Turn pieces of a source into batches of one shape, and note what is wrong with which row.

1. Each column wanted becomes an Arrow array of its one type; what cannot be read becomes null.
2. Posts whose host and id were there before are left out of the batch, and nothing else is.
3. Defects are noted for the posts that stay; of a post that is left out only that it was.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hostrisk._columns import build_column
from hostrisk.host.source.dates import MOMENT, micros, read_times
from hostrisk.host.source.defects import Rows
from hostrisk.host.source.seen import Seen, hash_ids
from hostrisk.host.source.values import (
    Found,
    blank,
    bools,
    make_array,
    read_labels,
    read_names,
    read_views,
    unwrap,
)
from hostrisk.tables import text_column

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hostrisk.host.source.columns import Columns
    from hostrisk.host.source.defects import Defects
    from hostrisk.tables import Table

    Note = Callable[[str, NDArray[np.bool_]], None]

__all__ = ["NO_HOST", "RowReader"]

NO_HOST = "(no host)"

_FIRST = 631_152_000 * 1_000_000  # 1990-01-01; the web began then
_END = micros(datetime.max.replace(tzinfo=UTC))  # no later time can be shown
_DAY = 86_400 * 1_000_000


class RowReader:
    """Reads piece after piece, and remembers hosts and ids across them.

    :param host: name of the host of all posts, where no column names it.
    :param as_of: the moment of the figures; a post may be a day younger, for zones and clocks.
    """

    def __init__(self, columns: Columns, *, host: str, as_of: datetime, defects: Defects) -> None:
        self._columns = columns
        self._host = host
        self._last = micros(as_of) + _DAY
        self._defects = defects
        self._seen = Seen()
        self._codes: dict[str, int] = {}

    def read(self, table: Table, file: str | None, before: int) -> pa.RecordBatch:
        """Turn a piece into a batch.

        :param file: name of the file for messages, None where there is none.
        :param before: rows of the source before this piece.
        :raises InputError: a column holds another kind of thing than it should.
        """
        text = self._read_text(table, before)
        ids, no_id = self._read_ids(table, file or "row", before)
        hosts, no_host = self._read_hosts(table, len(ids))
        again = self._seen.add(hash_ids(ids, self._number(hosts)))
        rows = Rows(ids, file, before)
        self._defects.note("duplicate_id", again, rows)
        note = partial(self._note, rows, ~again)
        note("no_id", no_id)
        note("no_host", no_host)
        note("no_text", blank(text))
        arrays = [ids, hosts, text, *self._read_rest(table, len(ids), note)]
        batch = pa.RecordBatch.from_arrays(arrays, names=_NAMES)
        return batch.filter(bools(~again)) if again.any() else batch

    def _note(self, rows: Rows, kept: NDArray[np.bool_], kind: str, bad: NDArray[np.bool_]) -> None:
        self._defects.note(kind, bad & kept, rows)

    def _read_text(self, table: Table, before: int) -> Any:
        name = self._columns.text
        text = text_column(unwrap(table[name]), name, before)
        # Arrow cannot take rows out of a view, as frames of polars hold.
        return text.cast(pa.large_string()) if pa.types.is_string_view(text.type) else text

    def _read_ids(self, table: Table, file: str, before: int) -> Any:
        ids = read_names(unwrap(table[self._columns.id]), self._columns.id)
        missing = blank(ids)
        if missing.any():
            places = np.flatnonzero(missing).tolist()
            made = build_column([f"{file}:{before + at + 1}" for at in places], "string")
            ids = pc.replace_with_mask(ids, bools(missing), made)
        return ids, missing

    def _read_hosts(self, table: Table, rows: int) -> Any:
        if self._columns.host is None:
            return pa.repeat(pa.scalar(self._host, pa.string()), rows), np.zeros(rows, np.bool_)
        hosts = read_names(unwrap(table[self._columns.host]), self._columns.host)
        missing = blank(hosts)
        if missing.any():
            hosts = pc.if_else(bools(missing), pa.scalar(NO_HOST, pa.string()), hosts)
        return hosts, missing

    def _number(self, hosts: Any) -> NDArray[np.uint64]:
        """Give each host a number, in the order in which they come."""
        if self._columns.host is None:
            return np.zeros(len(hosts), dtype=np.uint64)
        encoded = hosts.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = [self._codes.setdefault(name, len(self._codes)) for name in names]
        numbers: NDArray[np.uint64] = np.array(codes, dtype=np.uint64)[encoded.indices.to_numpy()]
        return numbers

    def _read_rest(self, table: Table, rows: int, note: Note) -> list[pa.Array[Any]]:
        time = self._read_time(table, note)
        views = self._optional(table, self._columns.views, read_views, rows)
        labels = self._optional(table, self._columns.label, read_labels, rows)
        note("bad_views", views.bad)
        note("bad_label", labels.bad)
        return [
            make_array(MOMENT, time.values, time.known),
            self._read_urls(table, rows),
            make_array(pa.int64(), views.values, views.known),
            self._read_event(table, "reported", time, note),
            self._read_event(table, "removed", time, note),
            make_array(pa.int8(), labels.values.astype(np.int8), labels.known),
        ]

    @staticmethod
    def _optional(table: Table, name: str | None, read: Callable[[Any], Found], rows: int) -> Found:
        return (
            Found.nothing(rows) if name is None or name not in table else read(unwrap(table[name]))
        )

    def _times(self, table: Table, name: str) -> Found:
        return read_times(unwrap(table[name]), name, self._columns.time_format)

    def _read_time(self, table: Table, note: Note) -> Found:
        time = self._times(table, self._columns.time)
        absurd = time.known & ((time.values < _FIRST) | (time.values > self._last))
        note("no_date", ~time.known & ~time.bad)
        note("unreadable_date", time.bad)
        note("absurd_date", absurd)
        return time._replace(known=time.known & ~absurd)

    def _read_event(self, table: Table, what: str, time: Found, note: Note) -> pa.Array[Any]:
        """Read when posts were reported or removed, which cannot be before they were posted."""
        name = getattr(self._columns, what)
        if name not in table:
            return pa.nulls(len(time.known), MOMENT)
        event = self._times(table, name)
        earliest = np.where(time.known, time.values, _FIRST)
        early = event.known & (event.values < earliest)
        endless = event.known & (event.values > _END)
        note(f"unreadable_{what}", event.bad | endless)
        note(f"{what}_early", early)
        return make_array(MOMENT, event.values, event.known & ~early & ~endless)

    def _read_urls(self, table: Table, rows: int) -> Any:
        name = self._columns.url
        if name is None or name not in table:
            return pa.nulls(rows, pa.string())
        urls = read_names(unwrap(table[name]), name)
        missing = blank(urls)
        if not missing.any():
            return urls
        return pc.if_else(bools(missing), pa.scalar(None, pa.string()), urls)


_NAMES = ["id", "host", "text", "time", "url", "views", "reported", "removed", "label"]
