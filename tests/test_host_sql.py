"""Posts from real databases: SQLite files, and a PostgreSQL server that the tests start."""

from __future__ import annotations

import getpass
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pytest

from hostrisk.errors import InputError, MissingExtraError
from hostrisk.host.source.columns import Columns
from hostrisk.host.source.posts import open_posts
from hostrisk.host.source.sql import is_database, read_query

if TYPE_CHECKING:
    from collections.abc import Iterator

SQLITE = pytest.importorskip("adbc_driver_sqlite.dbapi", reason="no driver for SQLite")
AS_OF = datetime(2021, 1, 25, tzinfo=UTC)
ALL = Columns(host="site", label="label")
QUERY = "SELECT * FROM posts ORDER BY n"
ROWS = [
    (1, "p1", "a.example", "they should be shot", "2021-01-05T12:00:00Z", None, 12, None, None, 1),
    (2, "p1", "b.example", "a nice\nday", "2021-01-06", "http://b", None, None, "2021-01-07", 0),
    (3, "p1", "a.example", "again", "2021-01-06", None, 1, None, None, None),
    (4, None, None, None, None, None, None, None, None, None),
]
VALUES = ", ".join(map(str, ROWS)).replace("None", "NULL").replace("\\n", "\n")
REST = ", '' AS text, 1 AS created_at"
NAMES = "n, id, site, text, created_at, url, views, reported_at, removed_at, label"


def read(source: Any, query: str = QUERY, columns: Columns = ALL) -> list[dict[str, Any]]:
    posts = open_posts(source, columns, query=query, as_of=AS_OF)
    return [row for batch in posts.batches() for row in batch.to_pylist()]


def refusal(source: Any, query: str | None = QUERY, columns: Columns = ALL) -> str:
    """Return the message with which opening or reading fails, which must be one sentence."""
    with pytest.raises(InputError) as caught:
        list(open_posts(source, columns, query=query, as_of=AS_OF).batches())
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert not message.endswith(".")
    return message


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Compare with what ROWS say."""
    assert [(row["id"], row["host"], row["text"]) for row in rows] == [
        ("p1", "a.example", "they should be shot"),
        ("p1", "b.example", "a nice\nday"),
        ("row:4", "(no host)", None),
    ]
    assert [row["views"] for row in rows] == [12, None, None]
    assert [row["url"] for row in rows] == [None, "http://b", None]
    assert [row["label"] for row in rows] == [1, 0, None]
    assert [row["time"] for row in rows] == [
        datetime(2021, 1, 5, 12, tzinfo=UTC),
        datetime(2021, 1, 6, tzinfo=UTC),
        None,
    ]
    assert [row["removed"] for row in rows] == [None, datetime(2021, 1, 7, tzinfo=UTC), None]


# --- SQLite --------------------------------------------------------------------------------------


def fill(path: Path, *statements: tuple[str, list[Any]]) -> Path:
    with closing(sqlite3.connect(path)) as opened, opened:
        for statement, rows in statements:
            opened.executemany(statement, rows or [()])
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return fill(
        tmp_path / "posts of ?#%.db",
        (f"CREATE TABLE posts ({NAMES})", []),
        (f"INSERT INTO posts VALUES ({', '.join('?' * 10)})", ROWS),
    )


def test_sqlite_gives_posts(database: Path) -> None:
    posts = open_posts(database, ALL, query=QUERY, as_of=AS_OF)
    assert posts.columns_present == {"host", "url", "views", "reported", "removed", "label"}
    assert posts.size == 0
    check_rows([row for batch in posts.batches() for row in batch.to_pylist()])
    assert posts.sources == [{"name": "posts of ?#%.db", "rows": 4}]
    kinds = {defect["kind"]: defect["examples"] for defect in posts.defects.to_list()}
    assert set(kinds) == {"duplicate_id", "no_id", "no_text", "no_date", "no_host"}
    assert kinds["duplicate_id"] == [{"where": "row 3", "id": "p1"}]


def test_ways_to_name_an_sqlite_file(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(database.parent)
    for source in (
        str(database), Path(database.name), f"sqlite:///{quote(str(database))}",
        f"sqlite:///{quote(database.name)}",
    ):  # fmt: skip
        check_rows(read(source))
    shutil.copy(database, "posts.sqlite3")
    check_rows(read("posts.sqlite3"))
    shutil.copy(database, "posts")
    check_rows(read("sqlite:///posts"))


@pytest.mark.parametrize(
    "query",
    [
        f"{QUERY};",
        f" {QUERY} -- in order",
        f"WITH found AS (SELECT * FROM posts) {QUERY.replace('posts', 'found')} ;\n",
        f"VALUES {VALUES}",
    ],
)
def test_queries_of_many_forms(query: str, database: Path) -> None:
    columns = ALL
    if query.startswith("VALUES"):
        names = [f"column{n}" for n in range(1, 11)]
        columns = Columns(
            id=names[1], host=names[2], text=names[3], time=names[4], url=names[5],
            views=names[6], reported=names[7], removed=names[8], label=names[9],
        )  # fmt: skip
    check_rows(read(database, query, columns))


def test_the_order_of_the_query_is_kept(tmp_path: Path) -> None:
    path = fill(
        tmp_path / "posts.db",
        ("CREATE TABLE posts (id, text, created_at)", []),
        ("INSERT INTO posts VALUES (?, 't', 1609848000)", [(n,) for n in range(50_000)]),
    )
    rows = read(path, "SELECT * FROM posts ORDER BY id DESC", Columns())
    assert [row["id"] for row in rows] == [str(n) for n in range(49_999, -1, -1)]


def test_a_column_of_sqlite_may_begin_with_nulls_and_mix_types(tmp_path: Path) -> None:
    rows = 40_000
    removed = [None] * (rows - 3) + ["2021-01-07", 1609977600, 1609977600.0]
    path = fill(
        tmp_path / "posts.db",
        ("CREATE TABLE posts (id, text, created_at, views, removed_at)", []),
        (
            "INSERT INTO posts VALUES (?, 't', ?, ?, ?)",
            [
                (str(n) if n % 2 else n, 1609848000 + n / 4, n / 2, removed[n])
                for n in range(rows)
            ],
        ),
    )  # fmt: skip
    posts = open_posts(path, query="SELECT * FROM posts", as_of=AS_OF)
    batches = list(posts.batches())
    assert len(batches) > 1
    found = [row for batch in batches for row in batch.to_pylist()]
    assert [row["id"] for row in found] == [str(n) for n in range(rows)]
    assert {row["removed"] for row in found[:-3]} == {None}
    assert {row["removed"] for row in found[-3:]} == {datetime(2021, 1, 7, tzinfo=UTC)}
    assert [row["views"] for row in found[:5]] == [0, None, 1, None, 2]
    assert found[1]["time"] == datetime(2021, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC)
    assert posts.defects["bad_views"] == rows // 2


def test_columns_of_sqlite_come_as_text(database: Path) -> None:
    (batch,) = read_query(database, 'SELECT n, views / 8.0 AS "odd "" name", \'\' AS e FROM posts')
    assert batch.to_pydict() == {
        "n": ["1", "2", "3", "4"],
        'odd " name': ["1.5", None, "0.125", None],
        "e": [None] * 4,
    }
    (empty,) = read_query(database, "SELECT n, id FROM posts WHERE n > 9")
    assert empty.num_rows == 0
    assert empty.schema.types == [pa.string()] * 2
    assert read(database, "SELECT * FROM posts WHERE n > 9") == []


def test_sqlite_is_not_written_to(database: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.db"
    assert refusal(gone) == f"{gone} does not exist"
    assert not gone.exists()
    before = database.read_bytes()
    for query in ("DELETE FROM posts RETURNING *", "DROP TABLE posts", "SELECT 1; SELECT 2"):
        assert "cannot be read with this query: " in refusal(database, query)
    assert database.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [database.name]


def test_a_relative_path_that_is_missing_hints_at_the_slashes() -> None:
    assert refusal("sqlite:///var/gone.db") == (
        "var/gone.db does not exist; a path from the root has four slashes, sqlite:////"
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM gone", "no such table: gone"),
        ("SELECT gone FROM posts", "no such column: gone"),
        ("SELEC * FROM posts", 'near "*": syntax error'),
        ("SELECT * FROM posts -- ;\n) --", 'near "'),
    ],
)
def test_queries_that_sqlite_refuses(query: str, message: str, database: Path) -> None:
    assert refusal(database, query).startswith(
        f"{database} cannot be read with this query: {message}"
    )


def test_queries_with_the_wrong_columns(database: Path) -> None:
    assert refusal(database, "SELECT id, text FROM posts") == (
        "the query's result has no column 'created_at'; its columns are 'id', 'text'"
    )
    nothing = "SELECT id, text FROM posts WHERE 0"
    assert refusal(database, nothing).startswith("the query's result has no column 'created_at'")
    assert refusal(database, "SELECT p.*, q.id FROM posts p JOIN posts q USING (n)") == (
        "the query's result has more than one column named 'id'"
    )
    assert refusal(database, " ; ").startswith("the query is empty; give one such as ")
    assert refusal(database, None).startswith("a database needs a query, such as ")
    assert refusal([database], None) == (
        "a list holds files; read a database by itself, with a query"
    )


def test_files_that_are_no_databases(tmp_path: Path) -> None:
    path = tmp_path / "posts.db"
    path.touch()
    assert refusal(path) == f"{path} is empty"
    path.write_bytes(b"id,text,created_at\n" * 100)
    assert refusal(path) == f"{path} cannot be read with this query: file is not a database"
    (tmp_path / "folder.db").mkdir()
    assert refusal(tmp_path / "folder.db").endswith("folder.db is not a plain file")


def test_a_damaged_database(tmp_path: Path) -> None:
    path = fill(
        tmp_path / "posts.db",
        ("CREATE TABLE posts (id, text, created_at)", []),
        ("INSERT INTO posts VALUES (?, ?, 1609848000)", [(n, "t" * 99) for n in range(9_000)]),
    )
    content = bytearray(path.read_bytes())
    content[40_000:600_000] = b"\xff" * 560_000
    path.write_bytes(content)
    message = refusal(path, "SELECT * FROM posts", Columns())
    assert message == f"{path} cannot be read with this query: database disk image is malformed"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = fill(
        tmp_path / "posts.db",
        ("CREATE TABLE posts (id, text, created_at)", []),
        ("INSERT INTO posts VALUES (1, ?, 1609848000)", [(b"\xff\xfe",)]),
    )
    assert refusal(path, "SELECT * FROM posts", Columns()).startswith("column 'text' is damaged: ")


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_a_driver_that_is_missing(
    name: str, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"adbc_driver_{name}.dbapi", None)
    source = database if name == "sqlite" else "postgresql://localhost/x"
    with pytest.raises(MissingExtraError, match=rf"package adbc-driver-{name}.*hostrisk\[host\]"):
        open_posts(source, query=QUERY)


def test_what_means_a_database() -> None:
    for source in ("postgres://h/d", "postgresql://h", "sqlite:///x", "mysql://h", Path("x.DB")):
        assert is_database(source)
    for other in ("posts.csv", Path("posts.parquet"), "C:/posts.csv", 5, None, ["x.db"], b"x.db"):
        assert not is_database(other)
    for unknown in ("mysql://me:hush@h/x.db", "sqlite:x.db", "postgresql:me:hush@h", "sqlite://x"):
        message = refusal(unknown)
        assert message.startswith("the address of the database has no known form; give sqlite:///")
        assert "hush" not in message


# --- PostgreSQL ----------------------------------------------------------------------------------


def find_server() -> Path | None:
    """Return the folder of PostgreSQL's programs, if the machine has them."""
    places = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    if config := shutil.which("pg_config"):
        done = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        places.append(Path(done.stdout.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = (place for place in places if all((place / n).exists() for n in ("initdb", "pg_ctl")))
    return next(found, None)


def choose_user() -> str:
    """Return who may run the server, which refuses to be run by root."""
    if os.getuid() != 0:
        return getpass.getuser()
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """A PostgreSQL server of its own, on a socket in a temporary folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self._user = programs, folder, choose_user()
        if os.getuid() == 0:
            shutil.chown(folder, self._user)
        self._run("initdb", "-U", "tester", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8",
                  "--locale=C", "--pwfile", self._write("password", "hu/sh@1"))  # fmt: skip
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")

    def _write(self, name: str, content: str) -> str:
        (self._folder / name).write_text(content)
        return str(self._folder / name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        root = {"user": self._user, "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run(
            command, cwd=self._folder, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **root,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop")

    def uri(self, account: str = "tester:hu%2Fsh%401") -> str:
        return f"postgresql://{account}@/postgres?host={quote(str(self._folder), safe='')}"

    def do(self, *statements: str) -> None:
        import adbc_driver_postgresql.dbapi as driver

        with driver.connect(self.uri(), autocommit=True) as opened, opened.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("adbc_driver_postgresql.dbapi", reason="no driver for PostgreSQL")
    programs = find_server()
    if programs is None:
        pytest.skip("there is no PostgreSQL server: neither initdb nor pg_ctl was found")
    # The folder of pytest is closed to other users, and too long for the name of a socket.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        started = Server(programs, Path(folder))
        try:
            started.do(
                "CREATE TABLE posts (n int, id text, site varchar, text text, "
                "created_at timestamptz, url text, views bigint, reported_at timestamp, "
                "removed_at date, label smallint)",
                "SET timezone = 'UTC'",
                f"INSERT INTO posts VALUES {VALUES}",
            )
            yield started
        finally:
            started.stop()


def test_postgresql_gives_posts(server: Server) -> None:
    posts = open_posts(server.uri(), ALL, query=QUERY, as_of=AS_OF)
    check_rows([row for batch in posts.batches() for row in batch.to_pylist()])
    assert posts.sources == [{"name": "PostgreSQL", "rows": 4}]
    assert posts.columns_present == {"host", "url", "views", "reported", "removed", "label"}
    assert posts.defects["duplicate_id"] == 1
    for query in (f"{QUERY} ;\n", f"WITH x AS ({QUERY}) SELECT * FROM x", "TABLE posts"):
        check_rows(read(server.uri().replace("postgresql:", "postgres:"), query))


def test_types_of_postgresql(server: Server) -> None:
    query = """
        SELECT 'c7a7bb9e-1ad5-4a68-9a0f-0242ac120002'::uuid AS id, 'grin'::mood AS site,
            'x'::char(3) AS text, 1609848000.25::numeric AS created_at, 12.0::numeric AS views,
            'infinity'::timestamptz AS reported_at, '-infinity'::date AS removed_at, true AS label
        UNION ALL SELECT NULL, NULL, NULL, 'NaN', 'NaN', NULL, NULL, NULL
    """
    server.do("CREATE TYPE mood AS ENUM ('grin', 'frown')")
    posts = open_posts(server.uri(), ALL, query=query, as_of=AS_OF)
    first, second = [row for batch in posts.batches() for row in batch.to_pylist()]
    assert first == {
        "id": "c7a7bb9e-1ad5-4a68-9a0f-0242ac120002", "host": "grin", "text": "x  ",
        "time": datetime(2021, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC), "url": None, "views": 12,
        "reported": None, "removed": None, "label": 1,
    }  # fmt: skip
    assert second["id"] == "row:2"
    assert posts.defects["no_date"] == posts.defects["removed_early"] == 1
    # The driver turns a moment without end into one long past; either way it is told.
    assert posts.defects["unreadable_reported"] + posts.defects["reported_early"] == 1
    assert refusal(server.uri(), "SELECT 1 AS id, '{}'::jsonb AS text, 1 AS created_at", Columns())


def await_others(server: Server) -> int:
    """Count the other connections that the server still has after a moment."""
    query = "SELECT count(*) AS n FROM pg_stat_activity WHERE backend_type = 'client backend'"
    for _ in range(50):
        others = next(read_query(server.uri(), query))["n"][0].as_py() - 1
        if not others:
            break
        time.sleep(0.1)
    return others


def test_postgresql_is_streamed(server: Server) -> None:
    query = """
        SELECT n AS id, repeat('x', 100) AS text, to_timestamp(1600000000 + n) AS created_at
        FROM generate_series(1, 400000) n
    """
    posts = open_posts(server.uri(), query=query, as_of=AS_OF)
    batches = posts.batches()
    assert next(batches).num_rows <= 65_536
    assert posts.sources[0]["rows"] <= 65_536
    batches.close()
    assert await_others(server) == 0
    rows = sum(batch.num_rows for batch in open_posts(server.uri(), query=query).batches())
    assert rows == 400_000


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT gone FROM posts", 'column "gone" does not exist'),
        ("SELECT * FROM gone", 'relation "gone" does not exist'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "cannot insert multiple commands into a prepared statement"),
        ("DELETE FROM posts RETURNING *", "cannot execute DELETE in a read-only transaction"),
        ("SELECT 1 / 0 AS id", "division by zero"),
        (
            f"SELECT 1 / (100000 - n) AS id{REST} FROM generate_series(1, 200000) n",
            "division by zero",
        ),
    ],
)
def test_queries_that_postgresql_refuses(query: str, message: str, server: Server) -> None:
    problem = f"the PostgreSQL database cannot be read with this query: {message}"
    assert refusal(server.uri(), query, Columns()) == problem
    assert len(read(server.uri())) == 3


def test_queries_of_postgresql_with_the_wrong_columns(server: Server) -> None:
    for query in ("SELECT id, text FROM posts", "SELECT id, text FROM posts WHERE n > 9"):
        assert refusal(server.uri(), query) == (
            "the query's result has no column 'created_at'; its columns are 'id', 'text'"
        )
    assert read(server.uri(), f"SELECT * FROM ({QUERY}) x WHERE n > 9") == []
    twice = "SELECT id, text, id, created_at FROM posts"
    assert refusal(server.uri(), twice, Columns()).endswith("more than one column named 'id'")


def test_no_message_tells_the_password(server: Server) -> None:
    wrong = server.uri("tester:hushhush")
    message = refusal(wrong)
    assert message.endswith('password authentication failed for user "tester"')
    word = "hushhush"
    for uri in (
        f"postgresql://me:{word}@127.0.0.1:1/x",
        f"postgresql://me:{word}@127.0.0.1:port/x",
        f"postgresql://me:{word}/more@127.0.0.1/x",
        f"postgresql://me:a{word}:{word}@127.0.0.1/x",
        f"postgresql://me:a@{word}@127.0.0.1/x",
        f"postgresql://me:%zz{word}@127.0.0.1:1/x",
        f"postgresql://me:?{word}@127.0.0.1:1/x",
        f"postgresql://me:#{word}@127.0.0.1:1/x",
        f"postgresql://127.0.0.1:1/x?password={word}%zz",
        f"postgresql://127.0.0.1:1/x?user=me&password={word}&{word}=1",
        f"postgresql://me:{word.replace('u', '%75')}@127.0.0.1:1/{word}?sslmode={word}",
    ):
        message = refusal(uri)
        assert word not in message
        assert word.upper() not in message.upper()
