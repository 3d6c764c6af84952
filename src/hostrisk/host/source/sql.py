"""Read the result of a query from SQLite or PostgreSQL, as a stream of Arrow record batches.

The databases are read through ADBC (Arrow Database Connectivity), which streams: PostgreSQL by its
binary COPY, SQLite row by row. In SQLite a type belongs to each value, not to a column, while the
driver settles on one per column when it has seen the first rows, and fails at the first text in a
column that began with nulls; so every column of SQLite is asked for as text. Neither database is
written to: SQLite is opened read-only, and PostgreSQL is told that the session is.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hostrisk.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

__all__ = ["database_file", "database_name", "is_database", "read_query"]

_BATCH_ROWS = 16_384
_SUFFIXES = {".db", ".sqlite", ".sqlite3"}
_ADDRESS = re.compile(r"[\w+.-]+://|(postgres(ql)?|sqlite):", re.IGNORECASE)
_POSTGRES = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_SQLITE = "sqlite:///"
_FORMS = (
    "sqlite:///PATH, the path of a file ending in .db or .sqlite, or postgresql://USER@HOST/NAME"
)
# What the drivers put before the sentence of the database itself.
_PREFIX = re.compile(
    r".*\b(?:ERROR|FATAL): +|[A-Z_]+: |\[(?:SQLite|libpq)\] |Failed to (?:prepare|step) query: "
)
_PASSWORD = re.compile(r"(?:password|passwd)=([^&#]*)", re.IGNORECASE)
_RENAMED = re.compile(r"(.+):\d+")


def is_database(source: Any) -> bool:
    """Tell whether a source means a database: an address, or a path with SQLite's extension."""
    if isinstance(source, str) and _ADDRESS.match(source):
        return True
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() in _SUFFIXES


def database_name(uri: str | os.PathLike[str]) -> str:
    """Name a database for people, without its address, which may hold a password."""
    return "PostgreSQL" if _POSTGRES.match(os.fspath(uri)) else database_file(uri).name


def database_file(uri: str | os.PathLike[str]) -> Path:
    """Return the path of an SQLite database: after ``sqlite:///``, or the path as it is.

    :raises InputError: it is the address of a database that cannot be read.
    """
    text = os.fspath(uri)
    if text.startswith(_SQLITE):
        return Path(unquote(text.removeprefix(_SQLITE)))
    if isinstance(uri, str) and _ADDRESS.match(uri):
        raise InputError(f"the address of the database has no known form; give {_FORMS}")
    return Path(uri)


def read_query(uri: str | os.PathLike[str], query: str) -> Iterator[pa.RecordBatch]:
    """Run a query and read its result in batches; at least one comes, all of the same schema.

    :param uri: ``postgresql://...``, ``sqlite:///...``, or the path of an SQLite file. As with
        other tools, a path from the root has four slashes: ``sqlite:////var/posts.db``.
    :param query: one statement that gives rows. Columns of SQLite come as text, null where empty.
    :raises InputError: the database cannot be read or refuses the query; the password of the
        address is in no message.
    :raises MissingExtraError: the driver is not installed.
    """
    query = query.strip().rstrip(";").rstrip()
    if not query:
        raise InputError('the query is empty; give one such as "SELECT id, text FROM posts"')
    if _POSTGRES.match(os.fspath(uri)):
        return _read_postgres(os.fspath(uri), query)
    return _read_sqlite(database_file(uri), query)


def _sqlite_driver() -> Any:
    try:
        import adbc_driver_sqlite.dbapi as driver  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        what, package = "Reading an SQLite database", "adbc-driver-sqlite"
        raise MissingExtraError(what, package=package, extra="host") from error
    return driver


def _postgres_driver() -> Any:
    try:
        import adbc_driver_postgresql.dbapi as driver  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        what, package = "Reading a PostgreSQL database", "adbc-driver-postgresql"
        raise MissingExtraError(what, package=package, extra="host") from error
    return driver


# --- SQLite --------------------------------------------------------------------------------------


def _read_sqlite(path: Path, query: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    driver = _sqlite_driver()
    _check_file(path)
    what = f"{path} cannot be read with this query"
    # Opened read-only, a missing file is an error and no new file.
    with _sentences(what, driver), driver.connect(f"{path.resolve().as_uri()}?mode=ro") as opened:
        with opened.cursor() as cursor:
            cursor.execute(f"SELECT * FROM (\n{query}\n) LIMIT 0")  # noqa: S608  # the user's own
            names = _check_names(cursor.fetch_record_batch().schema.names)
        with opened.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
            cursor.execute(_as_text(query, names))
            for batch in _batches(cursor):
                columns = [_null_where_empty(column) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(columns, names=names)


def _check_file(path: Path) -> None:
    if not path.exists():
        hint = "" if path.is_absolute() else "; a path from the root has four slashes, sqlite:////"
        raise InputError(f"{path} does not exist{hint}")
    if not path.is_file():
        raise InputError(f"{path} is not a plain file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")


def _check_names(names: list[str]) -> list[str]:
    """Refuse a column that the query gives twice: SQLite renames the second one."""
    for name in names:
        renamed = _RENAMED.fullmatch(name)
        if renamed and renamed[1] in names:
            raise InputError(f"the query's result has more than one column named {renamed[1]!r}")
    return names


def _as_text(query: str, names: list[str]) -> str:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    columns = ", ".join(f"coalesce(CAST({name} AS TEXT), '') AS {name}" for name in quoted)
    return f"SELECT {columns} FROM (\n{query}\n)"  # noqa: S608  # the user's own


def _null_where_empty(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.cast(pa.string())  # without rows the driver gives another type
    return pc.if_else(pc.equal(texts, pa.scalar("")), pa.scalar(None, pa.string()), texts)


# --- PostgreSQL ----------------------------------------------------------------------------------


def _read_postgres(uri: str, query: str) -> Iterator[pa.RecordBatch]:
    driver = _postgres_driver()
    if uri.count("@") > 1:  # drivers end the password at the first one, and tell the rest
        raise InputError(
            "the address of the database has more than one @; write an @ within the user, the "
            "password or a setting as %40"
        )
    what = "the PostgreSQL database cannot be read with this query"
    with (
        _sentences(what, driver, _secrets(uri)),
        driver.connect(uri, autocommit=True) as opened,
        opened.cursor() as cursor,
    ):
        cursor.execute("SET default_transaction_read_only = on")
        cursor.execute(query)
        yield from _batches(cursor)


def _secrets(uri: str) -> list[str]:
    """Return what no message may hold: the password and its parts, longest first."""
    account = uri.partition("://")[2].rpartition("@")[0]
    passwords = [account.partition(":")[2], *_PASSWORD.findall(uri)]
    parts = {part for word in passwords for part in (word, *re.split(r"[/?#:&=]", word))}
    parts |= {unquote(part) for part in parts}
    return sorted(filter(None, parts), key=len, reverse=True)


# --- both ----------------------------------------------------------------------------------------


def _batches(cursor: Any) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    reader = cursor.fetch_record_batch()
    empty = True
    for batch in reader:
        empty = False
        yield batch
    if empty:
        columns = [column.combine_chunks() for column in reader.schema.empty_table().columns]
        yield pa.RecordBatch.from_arrays(columns, schema=reader.schema)


@contextmanager
def _sentences(what: str, driver: Any, secrets: Sequence[str] = ()) -> Iterator[None]:
    """Turn whatever a driver raises into one sentence that tells no secret."""
    import pyarrow as pa

    try:
        yield
    except (driver.Error, pa.ArrowException, OSError, UnicodeError) as error:
        problem = _reason(str(error))
        for secret in secrets:
            problem = problem.replace(secret, "***")
        # The driver's own error would show the password in a traceback.
        raise InputError(f"{what}: {problem}") from None


def _reason(message: str) -> str:
    words = (message.strip().splitlines() or ["no reason given"])[0]
    while prefix := _PREFIX.match(words):
        words = words[prefix.end() :]
    return words.rstrip(".")
