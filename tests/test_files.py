"""Tables in and out: what is kept, where an error lies, that nothing is half-written."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import os
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from hostrisk import _lines, files
from hostrisk._columns import build_column, plain_values
from hostrisk._scoring import _EXTENSIONS
from hostrisk._writers import CsvWriter, JsonLinesWriter, open_table
from hostrisk.errors import InputError
from hostrisk.files import atomic_writer, read_batches

if TYPE_CHECKING:
    from pathlib import Path

HARD_TEXTS = [
    "",
    " ",
    "NULL",
    "nan",
    "007",
    "1.0",
    'say "no", now',
    "a\nb\r\nc\rd",
    "=1+1",
    "é🔪\0",
]


def rows_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    batches = list(read_batches(path, **options))
    assert len({str(batch.schema) for batch in batches}) == 1
    columns = {
        name: [value for batch in batches for value in plain_values(batch.column(name))]
        for name in batches[0].schema.names
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def refusal(path: Path, **options: Any) -> str:
    """Return the message with which reading fails, which must be one sentence on the file."""
    with pytest.raises(InputError) as caught:
        list(read_batches(path, **options))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- formats -------------------------------------------------------------------------------------


def test_format_comes_from_the_extension_in_any_case() -> None:
    assert files.table_format("a/POSTS.CSV") == "csv"
    assert [files.table_format("x" + end) for end in (".tsv", ".json", ".ndjson", ".parquet")] == [
        "tsv", "jsonl", "jsonl", "parquet",
    ]  # fmt: skip


def test_command_line_knows_the_same_extensions() -> None:
    assert files.known_formats() == ", ".join(_EXTENSIONS)


@pytest.mark.parametrize("name", ["posts.xlsx", "posts", "posts.csv.gz"])
def test_unknown_format_names_the_known_ones(table: Any, name: str) -> None:
    message = refusal(table(name, "text\na\n"))
    assert files.known_formats() in message


def test_files_that_are_no_tables(tmp_path: Path, table: Any) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert refusal(tmp_path / "missing.csv") == " does not exist"
    assert refusal(tmp_path / "folder.csv") == " is a folder, not a table"
    assert refusal(table("empty.jsonl", "")) == " is empty"
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is not a plain file" in refusal(tmp_path / "pipe.csv")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(table: Any) -> None:
    path = table("a.csv", "text\na\n")
    path.chmod(0)
    assert refusal(path) == " cannot be read: Permission denied"


# --- CSV -----------------------------------------------------------------------------------------


def test_csv_text_is_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(HARD_TEXTS)])
    assert [row["text"] for row in rows_of(path)] == HARD_TEXTS
    assert rows_of(path)[1] == {"id": "1", "text": " "}


def test_csv_byte_order_mark_blank_lines_and_missing_last_line_end(table: Any) -> None:
    path = table("a.csv", "\ufefftext,n\r\n\r\na,1\r\n\r\nb,2")
    assert rows_of(path) == [{"text": "a", "n": "1"}, {"text": "b", "n": "2"}]


def test_tsv(table: Any) -> None:
    assert rows_of(table("a.tsv", "text\tn\na, b\t1\n")) == [{"text": "a, b", "n": "1"}]


def test_columns_come_in_the_order_asked_for(table: Any) -> None:
    path = table("a.csv", "a,b,c\n1,2,3\n")
    assert rows_of(path, columns=["c", "a"]) == [{"c": "3", "a": "1"}]
    assert list(rows_of(path, columns=["c", "a"])[0]) == ["c", "a"]


def test_header_alone_gives_one_batch_without_rows(table: Any) -> None:
    (batch,) = read_batches(table("a.csv", "id,text\n"), text=["text"])
    assert (batch.num_rows, batch.schema.names) == (0, ["id", "text"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("text,n\na,1\nb\n", ", line 3 has 1 field, the header 2"),
        ('text,n\n"a\nb",1\nc,2,3\n', ", line 4 has 3 fields, the header 2"),
        ('text,n\na,1\n"b\n,2\nc,3\n', ", line 3 opens a quotation mark that is never closed"),
        ('text\n"a"b\n', ", line 2 has text after a closing quotation mark; "),
        ("text\ra\rb\r", ", line 1 has a bare carriage return outside quotation marks; "),
        ("\n\n", " is empty"),
        ("text,text\na,b\n", " has more than one column named 'text'"),
        (b"text\nok\nna\xefve\n", ", line 3 is not UTF-8: byte 0xef at byte 10"),
        ("text\na\n".encode("utf-16"), ", line 1 is UTF-16, not UTF-8; "),
        (b"\x80PNG\0\0\n", ", line 1 is not UTF-8 at byte 0 and holds zero bytes"),
    ],
)
def test_bad_csv_says_where(table: Any, content: str | bytes, problem: str) -> None:
    assert refusal(table("a.csv", content)).startswith(problem)


def test_missing_column_lists_the_columns_there_are(table: Any) -> None:
    message = refusal(table("a.csv", "id,body\n1,a\n"), text=["text"])
    assert message == " has no column 'text'; its columns are 'id', 'body'"
    assert "'x'" in refusal(table("b.jsonl", '{"id": 1}\n'), columns=["x"])


def test_long_field_passes_and_an_endless_one_is_refused(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = csv.field_size_limit()
    assert len(rows_of(table("a.csv", "text\n" + "x" * 1_000_000 + "\n"))[0]["text"]) == 1_000_000
    monkeypatch.setattr(files, "LONGEST", 1000)
    message = refusal(table("b.csv", 'text\n"' + "x\n" * 1000))
    assert message.startswith(", line 2 begins a field of over 1,000 characters")
    monkeypatch.setattr(_lines, "LONGEST", 500)
    assert refusal(table("c.csv", "text\n" + "x" * 600)) == ", line 2 is longer than 500 bytes"
    assert csv.field_size_limit() == before


# --- JSON Lines ----------------------------------------------------------------------------------


def test_jsonl_types_hold_over_the_whole_file(table: Any) -> None:
    rows = [
        {"id": 2**60, "x": 1, "text": "a", "ok": True, "tags": ["p"], "mix": "1", "big": 2**70},
        {"id": None, "x": 2.5, "text": None, "tags": {"q": [1]}, "mix": 1, "big": 1},
        {"text": "007", "late": "here", "never": None},
    ]
    path = table("a.jsonl", "\n".join(map(json.dumps, rows)))
    names = ["id", "x", "text", "ok", "tags", "mix", "big", "late", "never"]
    expected = [{name: row.get(name) for name in names} for row in rows]
    for size in (1, 100):
        assert rows_of(path, batch_rows=size) == expected
    types = {field.name: str(field.type) for field in next(read_batches(path)).schema}
    assert types["id"] == "int64"
    assert types["x"] == "double"
    assert types["ok"] == "bool"
    assert types["late"] == types["never"] == "string"
    assert types["tags"] == types["mix"] == types["big"] == "extension<arrow.json>"


def test_jsonl_keeps_whole_numbers_that_a_float_cannot_hold(table: Any) -> None:
    path = table("a.jsonl", f'{{"n": {2**53 + 1}}}\n{{"n": 0.5}}\n')
    assert rows_of(path) == [{"n": 2**53 + 1}, {"n": 0.5}]


def test_jsonl_null_blank_lines_and_nan(table: Any) -> None:
    path = table("a.jsonl", '{"text": null}\n\n  \r\n{"text": NaN}\n{"text": ""}\n')
    assert [row["text"] for row in rows_of(path, text=["text"])] == [None, None, ""]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"text": "a"}\n{"text": \n', ", line 2 is not JSON: Expecting value at character 1"),
        ('{"text": "a"}\n["a"]\n', ", line 2 holds a list, not an object; "),
        ('[\n{"text": "a"}\n]\n', ", line 1 is not JSON by itself; "),
        ('{"text": "a"}\n{"text": 5}\n', ", line 2 has a number in the text column 'text'"),
        ('{"text": ["a"]}\n', ", line 1 has a list in the text column 'text'"),
        ('{"text": "a"}\n{"t": "\\ud83d"}\n', ", line 2 holds half a character (\\ud83d)"),
        ('{"n": ' + "9" * 5000 + "}\n", ", line 1 is not usable JSON: "),
        ('{"n": ' + "[" * 500_000 + "\n", ", line 1 is "),
        ("\n \n", " holds no rows"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', ", line 2 is not UTF-8: byte 0xff at byte 24"),
    ],
)
def test_bad_jsonl_says_where(table: Any, content: str | bytes, problem: str) -> None:
    assert refusal(table("a.jsonl", content), text=["text"]).startswith(problem)


def test_whole_characters_written_as_escapes_are_fine(table: Any) -> None:
    assert rows_of(table("a.jsonl", '{"text": "\\ud83d\\udd2a"}\n')) == [{"text": "🔪"}]


# --- Parquet -------------------------------------------------------------------------------------


def write_parquet(path: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_parquet_text_types(tmp_path: Path, kind: pa.DataType) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=pa.array(["a", None, ""], kind), n=[1, 2, 3])
    assert [row["text"] for row in rows_of(path, text=["text"])] == ["a", None, ""]


def test_parquet_dictionaries_and_null_columns_are_text(tmp_path: Path) -> None:
    coded = pa.array(["a", None, "a"]).dictionary_encode()
    path = write_parquet(tmp_path / "a.parquet", text=coded, none=pa.nulls(3))
    batch = next(read_batches(path, text=["text", "none"]))
    assert [str(field.type) for field in batch.schema] == ["string", "string"]
    assert rows_of(path, text=["text"])[2] == {"text": "a", "none": None}


def test_parquet_batches_follow_the_width_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    column = pa.array([f"{n} " + "x" * 1000 for n in range(1000)])
    parquet.write_table(pa.table({"text": column}), path, use_dictionary=False, compression="none")
    monkeypatch.setattr(files, "_BATCH_BYTES", 100_000)
    sizes = [batch.num_rows for batch in read_batches(path)]
    assert sum(sizes) == 1000
    assert max(sizes) <= 100


def test_parquet_without_rows(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=pa.array([], pa.string()))
    (batch,) = read_batches(path, text=["text"])
    assert (batch.num_rows, batch.schema.names) == (0, ["text"])


def test_bad_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=["some text"] * 10_000, n=list(range(10_000)))
    assert "has no column 'body'; its columns are 'text', 'n'" in refusal(path, text=["body"])
    assert refusal(path, text=["n"]) == ", column 'n' holds int64, not text"
    whole = path.read_bytes()
    for size in (3, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert refusal(path).startswith(" is damaged, cut short or not Parquet: ")
    path.write_bytes(b"PAR1" + os.urandom(1000) + b"PAR1")
    assert refusal(path).startswith(" is damaged, cut short or not Parquet: ")


def test_parquet_text_that_is_not_utf8_names_the_row(tmp_path: Path) -> None:
    raw = pa.array([b"fine"] * 5 + [b"na\xefve"])
    bad = pa.Array.from_buffers(pa.string(), 6, raw.buffers())
    path = write_parquet(tmp_path / "a.parquet", text=bad)
    message = refusal(path, text=["text"], batch_rows=4)
    assert message.startswith(", row 6, column 'text' is not UTF-8")


# --- batches, progress, memory -------------------------------------------------------------------


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"large.{request.param}"
    with open_table(path) as writer:
        for start in range(0, 50_000, 10_000):
            texts = [f"post number {n}, " + "words " * 10 for n in range(start, start + 10_000)]
            writer.write({"text": texts})
    return path


def test_every_row_once_and_every_byte_reported(large: Path) -> None:
    done: list[int] = []
    sizes = [batch.num_rows for batch in read_batches(large, batch_rows=7000, advance=done.append)]
    assert sum(sizes) == 50_000
    assert max(sizes) <= 7000
    assert sum(done) == large.stat().st_size
    assert min(done) >= 0


def test_memory_does_not_grow_with_the_file(large: Path) -> None:
    def peak(batch_rows: int) -> int:
        tracemalloc.start()
        for batch in read_batches(large, batch_rows=batch_rows):
            del batch
        highest = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes()
        tracemalloc.stop()
        return highest

    peak(1000)  # the first run pays for imports
    assert peak(1000) < 2_500_000


def test_strings_are_built_without_pandas(table: Any) -> None:
    path = table("a.jsonl", '{"text": "a", "n": 1, "x": 1.5, "ok": true, "tags": ["b"]}\n')
    code = (
        "import sys; from hostrisk.files import read_batches; "
        f"print(len(list(read_batches({str(path)!r}))), 'pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "1 False\n"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", ["a", None, "", "é🔪"]),
        ("int64", [1, None, -(2**63), 2**63 - 1]),
        ("double", [0.1, None, -0.0]),
        ("bool", [True, None, False] * 7),
        ("strings", [("a", "b"), None, ()]),
        ("json", [{"a": [1, None]}, None, "x", 2**80]),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 8, 9])
def test_built_columns_are_valid_and_hold_the_values(
    kind: str, values: list[Any], count: int
) -> None:
    column = build_column(values * 3 if count > len(values) else values[:count], kind)
    column.validate(full=True)
    expected = [list(value) if isinstance(value, tuple) else value for value in values]
    expected = expected * 3 if count > len(values) else expected[:count]
    assert plain_values(column) == expected


def test_dates_and_decimals_become_text() -> None:
    moment = datetime.datetime(2021, 1, 6, 12, 0, 1)  # noqa: DTZ001  # Arrow has naive times too
    assert plain_values(pa.array([moment, None], pa.timestamp("ns"))) == [
        "2021-01-06 12:00:01.000000000", None,
    ]  # fmt: skip
    assert plain_values(pa.array([decimal.Decimal("1.50")])) == ["1.50"]
    assert plain_values(pa.array([datetime.timedelta(seconds=3)]))[0] is not None


# --- writing -------------------------------------------------------------------------------------


class Collected(list[str]):
    """A text stream that keeps what is written."""

    def write(self, text: str, /) -> None:
        self.append(text)


any_texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5)


@given(any_texts)
def test_written_csv_reads_back_as_any_text(texts: list[str]) -> None:
    out = Collected()
    CsvWriter(out).write({"id": list(range(len(texts))), "text": texts})
    rows = csv.reader(io.StringIO("".join(out), newline=""), strict=True)
    assert [row[1] for row in rows] == ["text", *texts]


@given(any_texts)
def test_written_jsonl_reads_back_as_any_text(texts: list[str]) -> None:
    out = Collected()
    JsonLinesWriter(out).write({"text": texts})
    assert [json.loads(line)["text"] for line in "".join(out).split("\n")[:-1]] == texts


def test_csv_cells() -> None:
    out = Collected()
    writer = CsvWriter(out)
    values = [True, None, 0.1, "", ("police", "media"), ["a", {"b": None}], b"\0\1", 2**70]
    writer.write({"x": values, "y": ["é"] * len(values)})
    writer.write({"x": ["end"], "y": ["\r"]})
    assert "".join(out).split("\n") == [
        "x,y", "true,é", ",é", "0.1,é", ",é", '"police,media",é', '"[""a"", {""b"": null}]",é',
        "AAE=,é", "1180591620717411303424,é", 'end,"\r"', "",
    ]  # fmt: skip


def test_jsonl_has_no_nan_and_no_unseen_characters() -> None:
    out = Collected()
    rows: dict[str, Any] = {
        "x": [float("nan")],
        "y": [{"z": [float("inf")]}],
        "t": ["\x9b\u202e\U000e0041"],
    }
    JsonLinesWriter(out).write(rows)
    assert json.loads(out[0]) == {"x": None, "y": {"z": [None]}, "t": "\x9b\u202e\U000e0041"}
    assert out[0].isascii()


@pytest.mark.parametrize("ends", [("csv", "csv"), ("jsonl", "jsonl"), ("parquet", "jsonl")])
def test_tables_survive_a_way_through(tmp_path: Path, ends: tuple[str, str]) -> None:
    source, target = tmp_path / f"a.{ends[0]}", tmp_path / f"b.{ends[1]}"
    with open_table(source) as writer:
        writer.write({"id": ["1", "2"], "text": ["a\r", "ü,"]})
    with open_table(target, {"n": "int64"}) as writer:
        for batch in read_batches(source):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            writer.write({**columns, "n": [7] * batch.num_rows})
    seven = "7" if ends[1] == "csv" else 7
    assert rows_of(target) == [
        {"id": "1", "text": "a\r", "n": seven}, {"id": "2", "text": "ü,", "n": seven},
    ]  # fmt: skip


def test_json_columns_keep_their_shape_through_parquet(table: Any, tmp_path: Path) -> None:
    source = table("a.jsonl", '{"tags": ["a", {"b": 1}]}\n{"tags": "c"}\n')
    with open_table(tmp_path / "b.parquet") as writer:
        for batch in read_batches(source):
            writer.write({"tags": batch.column("tags")})
    assert rows_of(tmp_path / "b.parquet") == [{"tags": ["a", {"b": 1}]}, {"tags": "c"}]


def test_parquet_writer_gathers_row_groups_and_refuses_other_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with open_table(path, {"n": "int64"}) as writer:
        for n in range(20):
            writer.write({"n": [n] * 100})
    assert parquet.ParquetFile(path).metadata.num_row_groups == 1
    with (
        pytest.raises(InputError, match="do not fit"),
        open_table(tmp_path / "b.parquet") as writer,
    ):
        writer.write({"n": pa.array([1])})
        writer.write({"n": pa.array(["x"])})
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_atomic_writer_replaces_whole_and_keeps_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    with atomic_writer(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_writer_leaves_nothing_after_an_error(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_writer(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_atomic_writer_follows_links_and_refuses_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with atomic_writer(tmp_path / "link.txt") as file:
        file.write(b"new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    with pytest.raises(InputError, match="not a plain file"), atomic_writer(tmp_path):
        pass
    with pytest.raises(InputError, match="No such file"), atomic_writer(tmp_path / "no" / "a"):
        pass
