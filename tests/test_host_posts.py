"""Posts from every kind of source: one shape of batch, and every defect counted and shown."""

from __future__ import annotations

import csv
import json
import random
import sys
import time
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hostrisk.errors import HostriskError, InputError
from hostrisk.host.source.columns import Columns, IfThere, load_columns
from hostrisk.host.source.defects import KINDS
from hostrisk.host.source.posts import Posts, open_posts
from hostrisk.host.source.seen import Seen
from hostrisk.host.source.values import Way, convert_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

datasets = pytest.importorskip("datasets")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

AS_OF = datetime(2021, 1, 25, tzinfo=UTC)
MOMENT = pa.timestamp("us", "UTC")
SCHEMA = {
    "id": pa.string(), "host": pa.string(), "time": MOMENT, "url": pa.string(),
    "views": pa.int64(), "reported": MOMENT, "removed": MOMENT, "label": pa.int8(),
}  # fmt: skip
NAMES = ["id", "host", "text", "time", "url", "views", "reported", "removed", "label"]
DEFAULT = Columns()
ALL = Columns(host="site", label="label")

ROWS: list[dict[str, Any]] = [
    {
        "id": "p1", "site": "harbour.example", "text": "they should be shot, all of them",
        "created_at": "2021-01-05T12:00:00Z", "url": "https://harbour.example/p1", "views": 12,
        "reported_at": "2021-01-05T13:00:00Z", "removed_at": "2021-01-07T00:00:00Z", "label": 1,
    },
    {
        "id": "p1", "site": "other.example", "text": "a nice\nday",
        "created_at": "2021-01-06T12:00:00.250Z", "url": None, "views": None,
        "reported_at": None, "removed_at": None, "label": 0,
    },
    {
        "id": "p2", "site": "harbour.example", "text": "é🔪 \u202e",
        "created_at": "2021-01-07T12:00:00+01:00", "url": "x", "views": 0,
        "reported_at": None, "removed_at": "2021-01-08T00:00:00Z", "label": None,
    },
]  # fmt: skip


def day(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


EXPECTED: list[dict[str, Any]] = [
    {
        "id": "p1", "host": "harbour.example", "text": "they should be shot, all of them",
        "time": day(2021, 1, 5, 12), "url": "https://harbour.example/p1", "views": 12,
        "reported": day(2021, 1, 5, 13), "removed": day(2021, 1, 7), "label": 1,
    },
    {
        "id": "p1", "host": "other.example", "text": "a nice\nday",
        "time": day(2021, 1, 6, 12, 0, 0, 250_000), "url": None, "views": None,
        "reported": None, "removed": None, "label": 0,
    },
    {
        "id": "p2", "host": "harbour.example", "text": "é🔪 \u202e",
        "time": day(2021, 1, 7, 11), "url": "x", "views": 0,
        "reported": None, "removed": day(2021, 1, 8), "label": None,
    },
]  # fmt: skip


def read(
    source: Any, columns: Columns = DEFAULT, **options: Any
) -> tuple[list[dict[str, Any]], Posts]:
    posts = open_posts(source, columns, **{"as_of": AS_OF, **options})
    rows: list[dict[str, Any]] = []
    for batch in posts.batches():
        assert batch.schema.names == NAMES
        assert {n: batch.schema.field(n).type for n in NAMES if n != "text"} == SCHEMA
        assert batch.schema.field("text").type in (pa.string(), pa.large_string())
        assert 0 < batch.num_rows <= 65_536
        assert not batch["id"].null_count
        assert not batch["host"].null_count
        batch.validate(full=True)
        rows += batch.to_pylist()
    return rows, posts


def defects(posts: Posts) -> dict[str, int]:
    found = posts.defects.to_list()
    for defect in found:
        assert list(defect) == ["kind", "count", "meaning", "examples"]
        assert defect["meaning"] == KINDS[defect["kind"]]
        assert len(defect["examples"]) == min(defect["count"], 20)
        assert posts.defects[defect["kind"]] == defect["count"]
    return {defect["kind"]: defect["count"] for defect in found}


def examples(posts: Posts, kind: str) -> list[tuple[str, str]]:
    found = {defect["kind"]: defect["examples"] for defect in posts.defects.to_list()}
    return [(example["where"], example["id"]) for example in found[kind]]


def refusal(source: Any, columns: Columns = DEFAULT, **options: Any) -> str:
    """Return the message with which opening or reading fails, which must be one sentence."""
    with pytest.raises(InputError) as caught:
        read(source, columns, **options)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert not message.endswith(".")
    return message


def table_of(times: Any, **more: Any) -> pa.Table:
    rows = len(times)
    return pa.table(
        {"id": [f"p{n}" for n in range(rows)], "text": ["t"] * rows, "created_at": times, **more}
    )


def times_of(times: Any, form: str | None = None) -> tuple[list[datetime | None], dict[str, int]]:
    rows, posts = read(table_of(times), Columns(time_format=form))
    return [row["time"] for row in rows], defects(posts)


# --- sources -------------------------------------------------------------------------------------


def write_csv(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


SOURCES: dict[str, Callable[[], Any]] = {
    "rows": lambda: ROWS,
    "generator": lambda: iter(ROWS),
    "table": lambda: pa.Table.from_pylist(ROWS),
    "reader": lambda: pa.Table.from_pylist(ROWS).to_reader(max_chunksize=2),
    "batch": lambda: pa.RecordBatch.from_pylist(ROWS),
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas times": lambda: pd.DataFrame(ROWS).assign(
        created_at=pd.to_datetime(pd.DataFrame(ROWS)["created_at"], format="ISO8601", utc=True),
        removed_at=pd.to_datetime(pd.DataFrame(ROWS)["removed_at"], utc=True),
    ),
    "pandas objects": lambda: pd.DataFrame(ROWS, dtype=object),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars times": lambda: pl.DataFrame(ROWS).with_columns(
        pl.col("created_at", "removed_at").str.to_datetime(time_zone="UTC"),
        pl.col("site").cast(pl.Categorical),
    ),
    "dataset": lambda: datasets.Dataset.from_list(ROWS),
    "stream": lambda: datasets.IterableDataset.from_generator(lambda: iter(ROWS)),
}
WRITERS = {
    ".csv": write_csv, ".tsv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet,
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_sources_in_memory_give_the_same_posts(name: str) -> None:
    rows, posts = read(SOURCES[name](), ALL)
    assert rows == EXPECTED
    assert defects(posts) == {}
    assert posts.size == 0
    assert posts.columns_present == {"host", "url", "views", "reported", "removed", "label"}
    (source,) = posts.sources
    assert source["rows"] == 3
    assert source["name"].endswith(" in memory")


@pytest.mark.parametrize("extension", WRITERS)
def test_files_give_the_same_posts(extension: str, tmp_path: Path) -> None:
    path = WRITERS[extension](tmp_path / f"posts{extension}")
    rows, posts = read(path, ALL)
    assert rows == EXPECTED
    assert defects(posts) == {}
    assert read(str(path), ALL)[0] == EXPECTED
    assert posts.sources == [{"name": path.name, "rows": 3}]
    assert posts.columns_present == {"host", "url", "views", "reported", "removed", "label"}


def test_progress_ends_at_the_size(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"posts{extension}") for extension, write in WRITERS.items()]
    posts = open_posts(paths, ALL, as_of=AS_OF)
    assert posts.size == sum(path.stat().st_size for path in paths)
    steps: list[int] = []
    assert sum(batch.num_rows for batch in posts.batches(steps.append)) == 3
    assert sum(steps) == posts.size
    assert posts.sources == [{"name": path.name, "rows": 3} for path in paths]
    assert defects(posts) == {"duplicate_id": 9}


def test_files_may_differ_in_format_and_extra_columns(tmp_path: Path) -> None:
    wide = [{**row, "id": f"w{at}", "mood": "calm"} for at, row in enumerate(ROWS)]
    narrow = [
        {"text": "t", "created_at": "2021-01-05", "id": f"n{at}", "site": "s", "lang": "en"}
        for at in range(2)
    ]
    paths = [
        write_jsonl(tmp_path / "narrow.jsonl", narrow),
        write_parquet(tmp_path / "wide.parquet", wide),
        write_csv(tmp_path / "more.csv", [{**row, "id": row["id"] + "m"} for row in narrow]),
    ]
    rows, posts = read(paths, Columns(host="site"))
    assert [row["id"] for row in rows] == ["n0", "n1", "w0", "w1", "w2", "n0m", "n1m"]
    assert [row["views"] for row in rows] == [None, None, 12, None, 0, None, None]
    assert posts.columns_present == {"host", "url", "views", "reported", "removed"}
    assert [source["rows"] for source in posts.sources] == [2, 3, 2]
    message = refusal(paths, Columns(host="site", views="views"))
    assert message.startswith(f"{paths[2]} has no column 'views'; its columns are 'text', ")


def test_the_same_ids_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    paths = [write_csv(tmp_path / "posts.csv"), write_jsonl(tmp_path / "a" / "posts.jsonl")]
    rows, posts = read(paths, ALL)
    assert rows == EXPECTED
    assert defects(posts) == {"duplicate_id": 3}
    assert examples(posts, "duplicate_id") == [
        ("posts.jsonl, row 1", "p1"),
        ("posts.jsonl, row 2", "p1"),
        ("posts.jsonl, row 3", "p2"),
    ]


def test_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    blank = [{**ROWS[0], "id": ""}]
    paths = [
        write_csv(tmp_path / "posts.csv", blank),
        write_csv(tmp_path / "a" / "posts.csv", blank),
    ]
    rows, posts = read(paths, ALL)
    assert [row["id"] for row in rows] == [f"{path}:1" for path in paths]
    assert [source["name"] for source in posts.sources] == [str(path) for path in paths]
    assert defects(posts) == {"no_id": 2}


def test_only_the_columns_wanted_are_read(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    damaged = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    )
    parquet.write_table(table_of(["2021-01-05"], more=damaged), path)
    assert len(read(path)[0]) == 1


def test_one_column_may_serve_twice() -> None:
    rows, _ = read(table_of(["2021-01-05"]), Columns(url="id", host="id"))
    assert (rows[0]["id"], rows[0]["url"], rows[0]["host"]) == ("p0", "p0", "p0")


def test_the_host_is_named_or_has_a_column() -> None:
    assert read(table_of(["2021-01-05"]))[0][0]["host"] == "host"
    assert read(table_of(["2021-01-05"]), host="harbour.example")[0][0]["host"] == "harbour.example"
    assert refusal(ROWS, ALL, host="x") == (
        "the host is named 'x' and taken from the column 'site'; choose one"
    )
    assert refusal(ROWS, host=" ") == "the name of the host is blank"


def test_pandas_is_not_imported_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.Table.from_pylist([*ROWS, {**ROWS[0], "id": None, "views": -1}, ROWS[0]])
    monkeypatch.delitem(sys.modules, "pandas")
    assert len(read(table, ALL)[0]) == 4
    assert len(read(table)[0]) == 3
    assert len(read(iter(ROWS), ALL)[0]) == 3
    assert "pandas" not in sys.modules


def test_posts_are_read_once_and_as_they_are_needed() -> None:
    given = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal given
        while True:
            given += 1
            yield {"text": "a", "created_at": "2021-01-05", "id": given}

    posts = open_posts(endless(), as_of=AS_OF)
    assert given < 70_000
    batches = posts.batches()
    first, second = next(batches), next(batches)
    assert first.num_rows + second.num_rows == posts.sources[0]["rows"] == given
    with pytest.raises(InputError, match="have been read already"):
        posts.batches()


def test_a_long_table_comes_in_pieces() -> None:
    rows = 150_000
    times = pa.array(np.arange(rows) + 1_600_000_000)
    table = pa.table({"id": np.arange(rows), "text": ["t"] * rows, "created_at": times})
    assert table["id"].num_chunks == 1
    ids = [row["id"] for row in read(table)[0]]
    assert ids == [str(n) for n in range(rows)]


# --- names of columns ----------------------------------------------------------------------------


def test_columns_default_and_asked_for() -> None:
    plain = [{"text": "t", "created_at": "2021-01-05", "id": 1}]
    rows, posts = read(plain)
    assert posts.columns_present == frozenset()
    assert rows[0]["views"] is rows[0]["removed"] is rows[0]["label"] is None
    for key in ("views", "url", "reported", "removed", "host", "label"):
        name = getattr(Columns(), key) or "gone"
        assert f"has no column '{name}'" in refusal(plain, Columns()._replace(**{key: str(name)}))
    assert read(plain, Columns(label=IfThere("gold")))[1].columns_present == frozenset()
    gold = [{**plain[0], "gold": 1}]
    assert read(gold, Columns(label=IfThere("gold")))[1].columns_present == {"label"}
    assert read([{**gold[0], "views": 5}], Columns(views=None))[0][0]["views"] is None


def test_rows_may_lack_what_is_not_needed() -> None:
    rows = [
        {"text": "t", "created_at": "2021-01-05", "id": 1},
        {"text": "t", "created_at": "2021-01-05", "id": 2, "views": 7},
    ]
    assert [row["views"] for row in read(rows)[0]] == [None, 7]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("key", ["text", "time", "id", "host", "label"])
def test_missing_column_names_those_there_are(name: str, key: str) -> None:
    source = SOURCES[name]()
    with pytest.raises(InputError, match="has no column 'gone'; its columns are '") as caught:
        open_posts(source, ALL._replace(**{key: "gone"}))
    assert "'created_at'" in str(caught.value)


@pytest.mark.parametrize("extension", WRITERS)
def test_missing_column_of_a_file(extension: str, tmp_path: Path) -> None:
    path = WRITERS[extension](tmp_path / f"posts{extension}")
    there = ", ".join(map(repr, ROWS[0]))
    expected = f"{path} has no column 'gone'; its columns are {there}"
    assert refusal(path, Columns(text="gone")) == expected
    good = write_csv(tmp_path / "good.csv")
    assert refusal([good, path], ALL._replace(host="gone")).startswith(f"{good} has no column ")


def test_later_files_are_looked_into_first(tmp_path: Path) -> None:
    good, bad = write_csv(tmp_path / "good.csv"), tmp_path / "bad.parquet"
    parquet.write_table(pa.table({"text": ["t"]}), bad)
    with pytest.raises(InputError, match=r"bad\.parquet has no column 'created_at'"):
        open_posts([good, bad])


def test_load_columns(tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(
        '[columns]\ntext = "body"\nhost = "site"\nviews = false\ntime_format = "%d.%m.%Y"\n'
    )
    columns = load_columns(path)
    expected = Columns(text="body", host="site", views=None, time_format="%d.%m.%Y")
    assert columns == expected
    assert isinstance(columns.url, IfThere)
    assert not isinstance(columns.host, IfThere)
    path.write_text('[columns]\nviews = "views"\n')
    assert not isinstance(load_columns(path).views, IfThere)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[columns]\nbody = "b"', ", table [columns], has the unknown key 'body'; known are "),
        ("[columns]\n[more]\na = 1", " has the unknown key 'more'; known are columns"),
        ('text = "body"', " has no table [columns] with lines such as text = "),
        ("columns = 3", " has no table [columns] with"),
        ("[columns]\ntext = 3", ": text must be the name of a column, not 3"),
        ("[columns]\ntext = false", ": text must be the name of a column, not False"),
        ('[columns]\nviews = ""', ": views must be the name of a column, or false for none, not "),
        ("[columns]\nviews = true", ": views must be the name of a column, or false for none, not"),
        ('[columns]\ntime_format = "%Q"', "the time format '%Q' cannot be used: "),
        ('[columns]\ntime_format = "%Y %Y"', "the time format '%Y %Y' cannot be used: "),
        ('[columns]\ntime_format = "date"', "the time format 'date' has no fields, such as "),
        ("[columns", " is not TOML: "),
        (b"\xff\xfe", " is not TOML: "),
    ],
)  # fmt: skip
def test_column_files_that_are_refused(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        load_columns(path)
    assert str(caught.value).removeprefix(str(path)).startswith(message)
    assert "\n" not in str(caught.value)


def test_column_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_columns(tmp_path / "gone.toml")


# --- dates ---------------------------------------------------------------------------------------

NOON = day(2021, 1, 5, 12)


@pytest.mark.parametrize(
    "values",
    [
        ["2021-01-05T12:00:00Z", "2021-01-05 12:00:00", "2021-01-05T13:00:00+01:00"],
        ["2021-01-05T12", "2021-01-05 12:00", " 2021-01-05T12:00:00.000000Z\n"],
        ["2021-01-05T12:00:00.0000000Z", "2021-01-05T12:00:00.000000000", "2021-01-05T12Z"],
        ["2021-01-05t12:00:00", "2021-01-05T12:00:00+0000", "2021-W01-2T12:00"],
        ["1609848000", "1609848000000", "1609848000000000"],
        ["1609848000", "2021-01-05T12:00:00Z", "1609848000.0"],
        ["1609848000000000000", "1.609848e9", "+1609848000"],
        [1609848000, 1609848000000, 1609848000000000],
        [1609848000000000000, 1609848000, 1609848000],
        [1609848000.0, 1609848000e3, 1609848000e6],
        [Decimal(1609848000), Decimal(1609848000000), Decimal("1609848000.000")],
        [NOON, NOON.astimezone(timezone(timedelta(hours=5))), NOON],
        [NOON.replace(tzinfo=None)] * 3,
        pa.array([1609848000] * 3, pa.timestamp("s")),
        pa.array([1609848000000] * 3, pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1609848000000000000] * 3, pa.timestamp("ns")),
        pa.array([1609848000000] * 3, pa.date64()).cast(pa.timestamp("ms")),
        pa.array([1609848000] * 3, pa.uint64()),
        pa.array([1609848000] * 3, pa.uint32()),
        pa.array(["2021-01-05T12:00"] * 3, pa.large_string()),
        pa.array(["2021-01-05T12:00"] * 3, pa.string_view()),
        pa.array(["2021-01-05T12:00"] * 3).dictionary_encode(),
    ],
    ids=str,
)
def test_ways_to_write_a_time(values: Any) -> None:
    found, problems = times_of(values)
    assert found == [NOON] * 3
    assert problems == {}
    as_rows = values.to_pylist() if isinstance(values, pa.Array) else values
    rows = [{"id": n, "text": "t", "created_at": value} for n, value in enumerate(as_rows)]
    assert [row["time"] for row in read(rows)[0]] == found


def test_days_are_their_midnight() -> None:
    for values in (
        ["2021-01-05"],
        [date(2021, 1, 5)],
        pa.array([date(2021, 1, 5)], pa.date64()),
    ):
        assert times_of(values) == ([day(2021, 1, 5)], {})
    mixed = [date(2021, 1, 5), np.datetime64("2021-01-05"), "2021-01-05", 1609804800, NOON]
    mixed += [pd.Timestamp("2021-01-05", tz="Europe/Berlin"), np.int64(1609804800), "05/01/21"]
    mixed += [None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT"), " ", True, "\ud83d", [1]]
    rows = [{"id": n, "text": "t", "created_at": value} for n, value in enumerate(mixed)]
    found, posts = read(rows)
    midnight = day(2021, 1, 5)
    assert [row["time"] for row in found] == [
        midnight, midnight, midnight, midnight, NOON, day(2021, 1, 4, 23), midnight,
    ] + [None] * 10  # fmt: skip
    assert defects(posts) == {"no_date": 6, "unreadable_date": 4}


def test_unix_times_keep_their_fractions() -> None:
    expected = [day(2021, 1, 5, 12, 0, 0, 250_000), day(2021, 1, 5, 12, 0, 0, 1_000)]
    assert times_of([1609848000.25, 1609848000001.0])[0] == expected
    assert times_of(["1609848000.25", "1609848000001"])[0] == expected
    assert times_of([1609848000001000999, 1609848000001])[0] == [expected[1]] * 2


def test_a_column_in_which_every_date_is_bad(tmp_path: Path) -> None:
    rows = [{"id": n, "text": "t", "created_at": f"day {n}"} for n in range(2_000)]
    found, posts = read(write_csv(tmp_path / "posts.csv", rows))
    assert len(found) == 2_000
    assert {row["time"] for row in found} == {None}
    assert defects(posts) == {"unreadable_date": 2_000}
    assert examples(posts, "unreadable_date")[::19] == [
        ("posts.csv, row 1", "0"),
        ("posts.csv, row 20", "19"),
    ]


def test_bad_dates_among_many_good_ones() -> None:
    rng = random.Random(5)
    good = [NOON + timedelta(seconds=rng.randrange(10**6)) for _ in range(40_000)]
    texts = [
        rng.choice([str(moment.timestamp()), moment.isoformat(), moment.isoformat()[:-6]])
        if at % 7 == 0
        else moment.isoformat()
        for at, moment in enumerate(good)
    ]
    bad = rng.sample(range(len(good)), 300)
    for at in bad:
        texts[at] = rng.choice(["2021-02-30", "13:00", "yesterday", "2021-13-01T00:00:00Z", "inf"])
    found, problems = times_of(texts)
    assert found == [None if at in set(bad) else moment for at, moment in enumerate(good)]
    assert problems == {"unreadable_date": 300}


def test_words_for_no_date() -> None:
    words = ["", "  ", "NULL", "None", "NaN", "NaT", "\\N", "0000-00-00 00:00:00", None]
    assert times_of(words) == ([None] * 9, {"no_date": 9})
    assert times_of(pa.nulls(3)) == ([None] * 3, {"no_date": 3})
    assert times_of([float("nan"), 1609848000.0]) == ([None, NOON], {"no_date": 1})


def test_absurd_dates() -> None:
    def stated(*moments: Any) -> tuple[list[datetime | None], dict[str, int]]:
        return times_of([moment.isoformat() for moment in moments])

    first, last = day(1990, 1, 1), day(2021, 1, 26)
    step = timedelta(microseconds=1)
    assert stated(first, last) == ([first, last], {})
    assert stated(first - step, last + step) == ([None, None], {"absurd_date": 2})
    assert times_of(["0001-01-01", "9999-12-31"]) == ([None, None], {"absurd_date": 2})
    extremes = [-(1 << 63), (1 << 63) - 1, 0, 1 << 62]
    for kind in (pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.int64()):
        assert times_of(pa.array(extremes, kind)) == ([None] * 4, {"absurd_date": 4})
    assert times_of(pa.array([2**31 - 1, -(2**31)], pa.date32())) == (
        [None, None],
        {"absurd_date": 2},
    )
    assert times_of([1e300, -1e300, float("inf")]) == (
        [None] * 3,
        {"absurd_date": 2, "unreadable_date": 1},
    )
    assert times_of(pa.array([2**64 - 1], pa.uint64())) == ([None], {"absurd_date": 1})


def test_now_is_the_moment_if_none_is_given() -> None:
    now = datetime.now(UTC)
    times = [now + timedelta(hours=20), now + timedelta(hours=30)]
    posts = open_posts(table_of(times))
    assert abs(posts.as_of - now) < timedelta(minutes=1)
    assert [row["time"] for row in next(posts.batches()).to_pylist()] == [times[0], None]
    naive = open_posts(table_of(times), as_of=datetime(2021, 1, 25))  # noqa: DTZ001
    assert naive.as_of == AS_OF


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d.%m.%Y %H:%M", "05.01.2021 12:00"),
        ("%d.%m.%Y %H:%M", "5.1.2021 12:00"),
        ("%d %b %y %I %p", "05 Jan 21 12 PM"),
        ("%a %b %d %H:%M:%S %z %Y", "Tue Jan 05 13:00:00 +0100 2021"),
        ("%Y%m%d%H", "2021010512"),
        ("%Y-%m-%d %H:%M:%S.%f", "2021-01-05 12:00:00.0"),
    ],
)
def test_time_format(form: str, text: str) -> None:
    others = ["31.02.2021 12:00", "2021", "x", "2021-01-05T12:00:00Z", ""]
    found, problems = times_of([text, *others, text], form)
    assert found == [NOON, *[None] * 5, NOON]
    assert problems == {"no_date": 1, "unreadable_date": 4}
    if text.isdigit():
        assert times_of([int(text)], form) == ([NOON], {})
    assert times_of([NOON], form) == ([NOON], {})


@pytest.mark.parametrize(
    "values",
    [[True], [b"x"], [[1]], [{"a": 1}], pa.array([1], pa.duration("s"))],
    ids=str,
)
def test_columns_that_hold_no_dates(values: Any) -> None:
    message = refusal(table_of(values))
    assert message.startswith("column 'created_at' holds ")
    assert message.endswith("not dates; name the column that holds them")


# --- other columns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ([1, 2, 3], ["1", "2", "3"]),
        ([1.0, 2.0, 3.5], ["1", "2", "3.5"]),
        ([1.0, None, 3.0], ["1", "row:2", "3"]),
        ([1.0, float("nan"), 3.0], ["1", "row:2", "3"]),
        (["a", "", " \t"], ["a", "row:2", "row:3"]),
        (["a", None, " a"], ["a", "row:2", " a"]),
        ([b"\x01\xff", None, b""], ["01ff", "row:2", "row:3"]),
        (pa.array(["b", "a", "c"]).dictionary_encode(), ["b", "a", "c"]),
        (pa.array(["b", "a", "c"], pa.string_view()), ["b", "a", "c"]),
        (pa.array(["b", "a", "c"], pa.large_string()), ["b", "a", "c"]),
        (pa.array([uuid.UUID(int=n).bytes for n in range(3)], pa.uuid()),
         [str(uuid.UUID(int=n)) for n in range(3)]),
        (pa.nulls(3), ["row:1", "row:2", "row:3"]),
    ],
    ids=str,
)  # fmt: skip
def test_ids_of_many_types(values: Any, ids: list[str]) -> None:
    table = pa.table({"text": ["t"] * 3, "created_at": ["2021-01-05"] * 3, "id": values})
    rows, posts = read(table)
    assert [row["id"] for row in rows] == ids
    made = sum(name.startswith("row:") for name in ids)
    assert defects(posts) == ({"no_id": made} if made else {})
    if not pa.types.is_nested(table.schema.field("id").type):
        assert [row["id"] for row in read(table.to_pylist())[0]] == ids


def test_ids_of_json_lines_that_mix_types(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    ids = [1, "1", 2.0, None, 10**30, [1]]
    write_jsonl(path, [{"id": each, "text": "t", "created_at": each} for each in ids])
    rows, posts = read(path)
    assert [row["id"] for row in rows] == [
        "1", "2", "posts.jsonl:4", "1000000000000000000000000000000", "[1]",
    ]  # fmt: skip
    assert defects(posts) == {
        "no_id": 1, "duplicate_id": 1, "no_date": 1, "unreadable_date": 2, "absurd_date": 2,
    }  # fmt: skip


def test_half_a_character_is_refused_in_a_name() -> None:
    rows = [{"id": "\ud83d", "text": "t", "created_at": "2021-01-05"}]
    assert refusal(rows) == "column 'id' holds half a character, which no text has"


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_texts_are_kept_as_they_are(kind: pa.DataType) -> None:
    texts = [None, "", " \u3000\n", "a", "a", " a "]
    table = pa.table(
        {
            "id": list("abccde"),
            "text": pa.array(texts, pa.string()).cast(kind) if kind.num_fields else texts,
            "created_at": ["2021-01-05"] * 6,
        }
    )
    if not kind.num_fields and not pa.types.is_dictionary(kind):
        table = table.set_column(1, "text", pa.array(texts, kind))
    posts = open_posts(table, as_of=AS_OF)
    (batch,) = posts.batches()
    assert batch["text"].to_pylist() == [None, "", " \u3000\n", "a", " a "]
    large = kind in (pa.large_string(), pa.string_view())
    assert batch["text"].type == (pa.large_string() if large else pa.string())
    assert defects(posts) == {"no_text": 3, "duplicate_id": 1}


def test_text_columns_without_text(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    numbers = table_of(["2021-01-05"]).set_column(1, "text", pa.array([5]))
    parquet.write_table(numbers, path)
    assert refusal(numbers) == "column 'text' holds int64, not text"
    assert refusal(path) == f"{path}, column 'text' holds int64, not text"
    rows = [{"id": 1, "text": "t", "created_at": 1}, {"id": 2, "text": 5, "created_at": 1}]
    assert refusal(rows) == "row 2, column 'text' is an object of type int, not text"
    lines = write_jsonl(tmp_path / "posts.jsonl", rows)
    assert "line 2 has a number in the text column 'text'" in refusal(lines)


def test_hosts() -> None:
    sites = ["a", None, "", "b", " ", "a"]
    rows, posts = read(table_of(["2021-01-05"] * 6, site=sites), Columns(host="site"))
    assert [row["host"] for row in rows] == ["a", *["(no host)"] * 2, "b", "(no host)", "a"]
    assert defects(posts) == {"no_host": 3}
    assert examples(posts, "no_host")[0] == ("row 2", "p1")
    assert read(table_of(["2021-01-05"], n=[7]), Columns(host="n"))[0][0]["host"] == "7"


@pytest.mark.parametrize(
    "values",
    [
        [12, None, -1, 0],
        [12.0, None, 0.5, 0.0],
        [12.0, float("nan"), float("inf"), -0.0],
        ["12", "", "1,200", "0"],
        ["12", " ", "-3", "0"],
        ["12.0", "NULL", "1.5", "0"],
        ["12", "", "many", "0.0"],
        [Decimal(12), None, Decimal("0.5"), Decimal(0)],
        pa.array([12, None, 2**64 - 1, 0], pa.uint64()),
        pa.array([12, None, -1, 0], pa.int8()),
        pa.array(["12", None, "1e400", "0e5"], pa.large_string()),
    ],
    ids=str,
)
def test_views(values: Any) -> None:
    table = table_of(["2021-01-05"] * 4, views=values)
    for source in (table, table.to_pylist()):
        rows, posts = read(source)
        assert [row["views"] for row in rows] == [12, None, None, 0]
        assert defects(posts) == {"bad_views": 1}
        assert examples(posts, "bad_views") == [("row 3", "p2")]


def test_views_of_other_types() -> None:
    for values in ([True], ["x"], [[1]], [b"1"], [date(2021, 1, 5)], [2**63], ["9" * 40]):
        rows, posts = read([{"id": 1, "text": "t", "created_at": NOON, "views": values[0]}])
        assert rows[0]["views"] is None
        assert defects(posts) == {"bad_views": 1}
        if values != [2**63]:
            assert defects(read(table_of(["2021-01-05"], views=values))[1]) == {"bad_views": 1}
    exact = [2**63 - 1, 2**53 + 1]
    assert [row["views"] for row in read(table_of(["2021-01-05"] * 2, views=exact))[0]] == exact
    texts = list(map(str, exact))
    assert [row["views"] for row in read(table_of(["2021-01-05"] * 2, views=texts))[0]] == exact


def test_views_of_json_lines_that_mix_types(tmp_path: Path) -> None:
    values = [12, "13", None, [1], -1, 2**64]
    rows = [{"id": n, "text": "", "created_at": 0, "views": each} for n, each in enumerate(values)]
    found, posts = read(write_jsonl(tmp_path / "posts.jsonl", rows))
    assert [row["views"] for row in found] == [12, 13, None, None, None, None]
    assert posts.defects["bad_views"] == 3


def test_labels() -> None:
    values = ["1", "0", "", "-1", "true", "maybe", None]
    table = table_of(["2021-01-05"] * 7, gold=values)
    for source in (table, table.to_pylist()):
        rows, posts = read(source, Columns(label="gold"))
        assert [row["label"] for row in rows] == [1, 0, None, None, 1, None, None]
        assert defects(posts) == {"bad_label": 1}
        assert examples(posts, "bad_label") == [("row 6", "p5")]
    mixed = [1, False, 0.0, None, float("nan"), pd.NA, 2]
    rows = [{"id": n, "text": "", "created_at": 0, "y": value} for n, value in enumerate(mixed)]
    found, posts = read(rows, Columns(label="y"))
    assert [row["label"] for row in found] == [1, 0, 0, None, None, None, None]
    assert posts.defects["bad_label"] == 1


@pytest.mark.parametrize("what", ["reported", "removed"])
def test_times_of_reports_and_removals(what: str) -> None:
    posted = ["2021-01-05", "2021-01-05", "2021-01-05", "2021-01-05", None, None, "1970-01-01", ""]
    event = ["2021-01-05", "2021-01-04", "soon", "", "2021-01-04", "1970-01-01", "2021-01-01", "0"]
    rows, posts = read(table_of(posted, **{f"{what}_at": event}))
    assert [row[what] for row in rows] == [
        day(2021, 1, 5), None, None, None, day(2021, 1, 4), None, day(2021, 1, 1), None,
    ]  # fmt: skip
    found = defects(posts)
    assert found.pop("no_date") == 3
    assert found == {"absurd_date": 1, f"{what}_early": 3, f"unreadable_{what}": 1}
    assert examples(posts, f"{what}_early") == [("row 2", "p1"), ("row 6", "p5"), ("row 8", "p7")]
    assert examples(posts, f"unreadable_{what}") == [("row 3", "p2")]


def test_a_removal_may_be_later_than_the_figures() -> None:
    rows, posts = read(table_of(["2021-01-05"], removed_at=["2021-06-01"]))
    assert rows[0]["removed"] == day(2021, 6, 1)
    assert defects(posts) == {}


def test_urls() -> None:
    rows, _ = read(table_of(["2021-01-05"] * 3, url=["https://x.example", "", None]))
    assert [row["url"] for row in rows] == ["https://x.example", None, None]


# --- defects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet", "rows", "pandas", "polars"])
def test_nulls_in_every_column(extension: str, tmp_path: Path) -> None:
    rows = [*ROWS, dict.fromkeys(ROWS[0])]
    if extension in WRITERS:
        source: Any = WRITERS[extension](tmp_path / f"posts{extension}", rows)
        where, made = f"posts{extension}, row 4", f"posts{extension}:4"
    else:
        make = {"rows": list, "pandas": pd.DataFrame, "polars": pl.DataFrame}[extension]
        source, where, made = make(rows), "row 4", "row:4"
    found, posts = read(source, ALL)
    assert found[:3] == EXPECTED
    last = dict.fromkeys(NAMES) | {"id": made, "host": "(no host)"}
    assert found[3] | {"text": found[3]["text"] or None} == last
    assert defects(posts) == {"no_id": 1, "no_text": 1, "no_date": 1, "no_host": 1}
    assert examples(posts, "no_id") == [(where, made)]


def test_of_a_post_left_out_only_that_is_noted() -> None:
    again = {**ROWS[0], "created_at": "never", "views": -1, "text": None, "label": "x"}
    rows, posts = read([*ROWS, again, {**again, "site": "third.example"}], ALL)
    assert rows[:3] == EXPECTED
    assert rows[3]["host"] == "third.example"
    assert defects(posts) == {
        "duplicate_id": 1, "no_text": 1, "unreadable_date": 1, "bad_views": 1, "bad_label": 1,
    }  # fmt: skip
    assert posts.sources[0]["rows"] == 5


def test_the_first_of_the_same_ids_stays() -> None:
    rng = random.Random(3)
    ids = [rng.randrange(30_000) for _ in range(60_000)]
    table = pa.table(
        {"id": ids, "text": [str(n) for n in range(60_000)], "created_at": ["x"] * 60_000}
    )
    rows, posts = read(table.to_reader(max_chunksize=7_001))
    first: dict[str, str] = {}
    for at, each in enumerate(ids):
        first.setdefault(str(each), str(at))
    assert {row["id"]: row["text"] for row in rows} == first
    assert len(rows) == len(first)
    assert posts.defects["duplicate_id"] == 60_000 - len(first)


def test_defects_far_down_name_their_row(tmp_path: Path) -> None:
    rows = [{"id": n, "text": "t", "created_at": "2021-01-05"} for n in range(40_000)]
    rows[39_998]["text"] = ""
    path = write_csv(tmp_path / "posts.csv", rows)
    posts = read([write_csv(tmp_path / "first.csv", [{**rows[0], "id": "x"}]), path])[1]
    assert examples(posts, "no_text") == [("posts.csv, row 39999", "39998")]


def test_every_kind_has_a_meaning_of_one_line() -> None:
    posts = Posts(Columns(), parts=[], present=set(), host="h", as_of=AS_OF)
    assert posts.defects.to_list() == []
    for kind, meaning in KINDS.items():
        assert kind.isidentifier()
        assert meaning
        assert "\n" not in meaning
        assert len(meaning) < 130


# --- what cannot be read -------------------------------------------------------------------------


def test_sources_without_posts(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert refusal(empty) == f"{empty} is empty"
    assert refusal([write_csv(tmp_path / "posts.csv"), empty]) == f"{empty} is empty"
    header = tmp_path / "header.csv"
    header.write_text("id,text,created_at\n")
    for source in (header, [], iter([]), table_of(pa.array([], pa.string())), pl.DataFrame(
        {"id": [], "text": [], "created_at": []}
    )):  # fmt: skip
        rows, posts = read(source)
        assert rows == []
        assert posts.sources[0]["rows"] == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (5, "an object of type int cannot be read as posts; give a path, a list of paths, "),
        (None, "an object of type NoneType cannot"),
        (b"posts.csv", "an object of type bytes cannot"),
        ({"text": ["a"]}, "an object of type dict cannot"),
        ([1, 2], "row 1 is an object of type int, not a dict"),
        (["a.csv", {"id": 1}], "a list must hold either paths or rows as dicts, not both"),
        ("gone.csv", "gone.csv does not exist"),
        (["gone.csv"], "gone.csv does not exist"),
        ("posts.xlsx", "posts.xlsx does not exist"),
        (pa.array(["a"]), "an object of type StringArray cannot be read as a table: "),
        ([{"id": 1, "text": "t", "created_at": 1}, {"id": 2}], "row 2 has no column 'text'; "),
    ],
    ids=str,
)
def test_what_is_no_source(source: Any, message: str) -> None:
    assert refusal(source).startswith(message)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    path.write_bytes(b"PAR1 not really PAR1")
    assert refusal(path).startswith(f"{path} is damaged, cut short or not Parquet: ")
    path = tmp_path / "posts.csv"
    path.write_bytes(b"id,text,created_at\n1,\xff,2021-01-05\n")
    assert refusal(path).startswith(f"{path}, line 2 is not UTF-8")
    assert refusal(tmp_path) == f"{tmp_path} is a folder, not a table"


def test_names_that_cannot_be() -> None:
    assert refusal(ROWS, Columns(text="")) == "the column of the text must have a name"
    assert refusal(ROWS, Columns(time_format="%")).startswith("the time format '%' cannot be used")
    assert refusal(ROWS, query="SELECT 1").startswith("a query is for a database: ")
    twice = table_of(["2021-01-05"]).append_column("id", pa.array(["x"]))
    assert refusal(twice).endswith("has more than one column named 'id'")


def test_every_error_is_one_of_ours() -> None:
    rng = random.Random(11)
    junk = ["", "x", 0, -1, 1.5, float("nan"), None, True, b"x", [1], {"a": 1}, NOON, "2021-01-05",
            "\ud83d", 10**30, Decimal("NaN"), np.float32(2), pd.NA, pd.NaT]  # fmt: skip
    for _ in range(300):
        rows = [{key: rng.choice(junk) for key in ROWS[0]} | {"text": "t"} for _ in range(4)]
        try:
            found, posts = read(rows, ALL)
        except HostriskError:
            continue
        assert len(found) + posts.defects["duplicate_id"] == 4


# --- ids seen before -----------------------------------------------------------------------------


def test_seen_is_a_set() -> None:
    rng = np.random.default_rng(7)
    seen, known = Seen(), set()
    for size in (0, 1, 5, 1_000, 1, 0, 16_384, 3, 16_384, 16_384, 20_000, 2):
        hashes = rng.integers(0, 60_000, size).astype(np.uint64) * np.uint64(1 << 48)
        expected = []
        for each in hashes.tolist():
            expected.append(each in known)
            known.add(each)
        assert seen.add(hashes).tolist() == expected
        assert len(seen) == len(known)
    extremes = np.array([0, 2**64 - 1, 0, 2**64 - 1], dtype=np.uint64)
    fresh = Seen()
    assert fresh.add(extremes).tolist() == [False, False, True, True]
    assert fresh.add(extremes).all()


def test_seen_takes_eight_bytes_a_post() -> None:
    seen, rng = Seen(), np.random.default_rng(1)
    for _ in range(200):
        seen.add(rng.integers(0, 2**63, 5_000).astype(np.uint64))
    assert sum(run.nbytes for run in seen._runs) == 8 * len(seen) == 8 * 1_000_000
    assert all(run.base is None for run in seen._runs)
    assert len(seen._runs) <= 6


def test_few_texts_are_converted_one_by_one() -> None:
    alone: list[str] = []

    def whole(texts: Any) -> Any:
        values = texts.cast(pa.int64()).to_numpy()
        return values, values >= 0

    def one(text: str) -> int | None:
        alone.append(text)
        return int(text) if len(text) < 9 and text.isdigit() else None

    texts = [str(n) for n in range(10_000)]
    texts[1_234], texts[7_000] = "x", "9" * 30
    values, held = convert_texts(pa.array(texts), (Way(r"\d+", whole),), one)
    assert np.flatnonzero(~held).tolist() == [1_234, 7_000]
    assert values[held].tolist() == [n for n in range(10_000) if n not in {1_234, 7_000}]
    assert {"x", "9" * 30} <= set(alone)
    assert len(alone) <= 65


def test_reading_costs_little_beside_the_file(tmp_path: Path) -> None:
    rows = 200_000
    table = pa.table(
        {
            "id": [f"{n:016x}" for n in range(rows)],
            "text": ["a short post about nothing"] * rows,
            "created_at": ["2021-01-05T12:00:00Z"] * rows,
            "site": [f"host{n % 20}.example" for n in range(rows)],
        }
    )
    path = tmp_path / "posts.parquet"
    parquet.write_table(table, path)
    start = time.process_time()
    posts = open_posts(path, Columns(host="site"), as_of=AS_OF)
    assert sum(batch.num_rows for batch in posts.batches()) == rows
    # About 0.1 s; ten times that on a busy machine, and far less than row by row.
    assert time.process_time() - start < 1.0
