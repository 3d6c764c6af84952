"""Posts of one or more hosts, from wherever they are kept, as a stream of batches of one shape.

1. ``open_posts`` looks into the source, refuses what cannot be read, and gives ``Posts``.
2. ``Posts.batches`` reads once from front to end, in little memory. Whatever is wrong with a single
   post is counted and listed in ``Posts.defects`` and never ends the reading.
"""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk.errors import InputError
from hostrisk.host.source.columns import NEEDED, OPTIONAL, Columns, IfThere, check_columns
from hostrisk.host.source.defects import Defects
from hostrisk.host.source.sql import database_name, is_database, read_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from hostrisk.tables import Table, Wanted

__all__ = ["Defects", "Posts", "open_posts"]

_MOST_ROWS = 65_536
_WHAT = (
    "posts; give a path, a list of paths, a database with a query, a DataFrame, an Arrow table, a "
    "datasets.Dataset or a list of dicts"
)


class _Part(NamedTuple):
    """One file, or the one table, that posts come from."""

    name: str
    file: str | None  # for messages: None where rows have no file
    size: int
    tables: Callable[[Callable[[int], object] | None], Iterator[Table]]


def open_posts(
    source: Any,
    columns: Columns = Columns(),  # noqa: B008  # immutable
    *,
    host: str | None = None,
    query: str | None = None,
    as_of: datetime | None = None,
) -> Posts:
    """Open a source of posts, without reading more of it than its beginning.

    :param source: a path or a list of paths to CSV, JSON Lines or Parquet; a pandas or polars
        DataFrame, an Arrow table or reader or anything with an Arrow stream, a
        ``datasets.Dataset``, rows as dicts; or the address of a database with a ``query``.
    :param columns: how the source calls its columns.
    :param host: name of the host, where no column names it; ``host`` if not given.
    :param query: what to ask the database for.
    :param as_of: the moment of the figures, in UTC unless it says otherwise; now if not given.
        A post that is more than a day younger has an absurd date.
    :raises InputError: the source cannot be used; of several files each that has a header (all but
        JSON Lines) is looked into first.
    :raises MissingExtraError: a database, but its driver is not installed.
    """
    check_columns(columns)
    if host is not None and columns.host is not None:
        raise InputError(
            f"the host is named {host!r} and taken from the column {columns.host!r}; choose one"
        )
    if host is not None and not host.strip():
        raise InputError("the name of the host is blank")
    moment = datetime.now(UTC) if as_of is None else as_of
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    parts, present = _find_parts(source, _wanted(columns), query)
    return Posts(columns, parts=parts, present=present, host=host or "host", as_of=moment)


def _wanted(columns: Columns) -> Wanted:
    from hostrisk.tables import Wanted

    names = [getattr(columns, key) for key in (*NEEDED, *OPTIONAL)]
    needed = [name for name in names if name is not None and not isinstance(name, IfThere)]
    optional = [name for name in names if isinstance(name, IfThere) and name not in needed]
    unique = [list(dict.fromkeys(map(str, each))) for each in (needed, optional)]
    return Wanted(unique[0], columns.text, unique[1])


class Posts:
    """Posts that can be read once, from front to end.

    ``size`` is the size of the source in bytes, 0 where it is not known, and ``as_of`` the moment
    of the figures in UTC. ``sources`` (each with its name and the rows read of it, those left out
    included) and ``defects`` fill while batches are read.
    """

    def __init__(
        self, columns: Columns, *, parts: list[_Part], present: set[str], host: str, as_of: datetime
    ) -> None:
        self.size = sum(part.size for part in parts)
        self.as_of = as_of
        self.sources: list[dict[str, Any]] = []
        self.defects = Defects()
        self._columns = columns
        self._parts = parts
        self._names = set(present)
        self._host = host
        self._begun = False

    @property
    def columns_present(self) -> frozenset[str]:
        """Which optional columns there are: out of host, url, views, reported, removed and label.

        Known from the start, but for JSON Lines and rows as dicts only when all has been read.
        """
        there = {key for key in OPTIONAL if getattr(self._columns, key) in self._names}
        return frozenset(there)

    def batches(self, advance: Callable[[int], object] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the posts in batches of at most 65,536 rows; none comes where there is no post.

        The columns are id (string), host (string), text (string or large_string), time
        (microseconds, UTC), url (string), views (int64), reported and removed (as time), and label
        (int8: 0 or 1). All but id and host may be null.

        :param advance: called with the bytes of files done since the last call; in the end their
            sum is ``size``.
        :raises InputError: the source turns out to be damaged, or was read before.
        """
        if self._begun:
            raise InputError("these posts have been read already; open their source again")
        self._begun = True
        return self._read(advance)

    def _read(self, advance: Callable[[int], object] | None) -> Iterator[pa.RecordBatch]:
        from hostrisk.host.source.rows import RowReader

        reader = RowReader(self._columns, host=self._host, as_of=self.as_of, defects=self.defects)
        for part in self._parts:
            record: dict[str, Any] = {"name": part.name, "rows": 0}
            self.sources.append(record)
            for piece in self._pieces(part, advance):
                rows = len(piece[self._columns.text])
                batch = reader.read(piece, part.file, record["rows"])
                record["rows"] += rows
                if batch.num_rows:
                    yield batch

    def _pieces(self, part: _Part, advance: Callable[[int], object] | None) -> Iterator[Table]:
        """Cut tables that are too long to hold all their columns twice."""
        for table in part.tables(advance):
            self._names |= set(table)
            rows = len(table[self._columns.text])
            if rows <= _MOST_ROWS:
                yield table
                continue
            for start in range(0, rows, _MOST_ROWS):
                end = start + _MOST_ROWS
                yield {name: column[start:end] for name, column in table.items()}


# --- sources -------------------------------------------------------------------------------------


def _find_parts(source: Any, wanted: Wanted, query: str | None) -> tuple[list[_Part], set[str]]:
    if is_database(source):
        return _open_database(source, wanted, query)
    if query is not None:
        raise InputError(
            "a query is for a database: sqlite:///PATH, the path of a file ending in .db or "
            ".sqlite, or postgresql://USER@HOST/NAME"
        )
    if isinstance(source, str | os.PathLike):
        return _open_files([source], wanted)
    if isinstance(source, list | tuple) and source:
        paths = [isinstance(item, str | os.PathLike) for item in source]
        if all(paths):
            return _open_files(list(source), wanted)
        if any(paths):
            raise InputError("a list must hold either paths or rows as dicts, not both")
    return _open_table(source, wanted)


def _open_files(
    paths: list[str | os.PathLike[str]], wanted: Wanted
) -> tuple[list[_Part], set[str]]:
    from hostrisk.files import check_table
    from hostrisk.tables import look_into, read_tables

    names = [Path(path).name for path in paths]
    parts: list[_Part] = []
    present: set[str] = set()
    for path, name in zip(paths, names, strict=True):
        if is_database(path):
            raise InputError("a list holds files; read a database by itself, with a query")
        size = check_table(path)[0].stat().st_size
        present |= set(look_into(path, wanted) or ())
        shown = name if names.count(name) == 1 else str(path)

        def tables(
            advance: Callable[[int], object] | None, path: str | os.PathLike[str] = path
        ) -> Iterator[Table]:
            return read_tables(path, wanted, what=_WHAT, advance=advance)

        parts.append(_Part(shown, shown, size, tables))
    return parts, present


def _open_table(source: Any, wanted: Wanted) -> tuple[list[_Part], set[str]]:
    from hostrisk.tables import read_tables

    tables = read_tables(source, wanted, what=_WHAT)
    return _begun(f"{type(source).__name__} in memory", tables)


def _open_database(
    uri: str | os.PathLike[str], wanted: Wanted, query: str | None
) -> tuple[list[_Part], set[str]]:
    from hostrisk.tables import take_columns

    if query is None:
        raise InputError(
            'a database needs a query, such as "SELECT id, text, created_at FROM posts"'
        )
    batches = read_query(uri, query)
    tables = (take_columns(batch, wanted, "the query's result") for batch in batches)
    return _begun(database_name(uri), tables)


def _begun(name: str, tables: Any) -> tuple[list[_Part], set[str]]:
    """Take the first table now, so that a source that cannot be read is refused early."""
    first = list(islice(tables, 1))
    present = {column for table in first for column in table}

    def go_on(_: Callable[[int], object] | None) -> Iterator[Table]:
        with closing(tables):  # also where reading ends early: a connection hangs on it
            yield from first
            first.clear()
            yield from tables

    return [_Part(name, None, 0, go_on)], present
