"""Labeled texts from every kind of source, and the sentence each unusable one gets."""

from __future__ import annotations

import builtins
import datetime
import decimal
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hostrisk import labeled
from hostrisk.errors import InputError, MissingExtraError
from hostrisk.labeled import NO_GROUP, describe_source, read_labeled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

datasets = pytest.importorskip("datasets")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

TEXTS = ["kill them, all", "a nice\nday", None, "", "é🔪 \u202e"]
LABELS = [1, 0, 1, None, 0]
GROUPS = ["x", "y", None, "x", ""]
EXPECTED = (TEXTS, [1, 0, 1, -1, 0], ["x", "y", NO_GROUP, "x", NO_GROUP])
COLUMNS: dict[str, Any] = {
    "text": TEXTS,
    "label": LABELS,
    "group": GROUPS,
    "more": [[1], [], None, [2], [3]],
}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
TABLE = pa.table(COLUMNS)


def read(source: Any, **options: Any) -> tuple[list[Any], list[int], list[str] | None]:
    options = {"text": "text", "label": "label", **options}
    batches = list(read_labeled(source, **options))
    for batch in batches:
        assert batch.labels.dtype == np.int8
        assert len(batch.text) == len(batch.labels)
    groups = [name for batch in batches for name in batch.groups or ()]
    return (
        [text for batch in batches for text in batch.text.to_pylist()],
        [label for batch in batches for label in batch.labels.tolist()],
        groups if options.get("group") else None,
    )


def refusal(source: Any, **options: Any) -> str:
    """Return the message with which reading fails, which must be one sentence."""
    with pytest.raises(InputError) as caught:
        read(source, **options)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert not message.endswith(".")
    return message


def labels_of(values: Any) -> list[int]:
    """Read labels from rows, which keep the types of Python, and from Arrow if it has the type."""
    found = read([{"text": "t", "label": value} for value in values])[1]
    try:
        column = pa.array(values)
    except (pa.ArrowException, TypeError):
        return found
    assert read(pa.table({"text": ["t"] * len(values), "label": column}))[1] == found
    return found


# --- sources -------------------------------------------------------------------------------------


def write_csv(folder: Path) -> Path:
    frame = pd.DataFrame({name: COLUMNS[name] for name in ("text", "label", "group")})
    frame.to_csv(folder / "posts.csv", index=False, float_format="%.0f")
    return folder / "posts.csv"


def write_jsonl(folder: Path) -> Path:
    lines = [json.dumps(row) for row in ROWS]
    (folder / "posts.jsonl").write_text("\n".join(lines))
    return folder / "posts.jsonl"


def write_parquet(folder: Path) -> Path:
    parquet.write_table(TABLE, folder / "posts.parquet", row_group_size=2)
    return folder / "posts.parquet"


def categories() -> Any:
    """Give a polars frame of categories, whose Arrow form Arrow cannot decode by itself."""
    frame = pl.DataFrame({"text": TEXTS, "label": ["1", "0", "1", None, "0"], "group": GROUPS})
    return frame.with_columns(
        pl.col("text", "label").cast(pl.Categorical), pl.col("group").cast(pl.Enum(["x", "y", ""]))
    )


SOURCES: dict[str, Callable[[], Any]] = {
    "rows": lambda: ROWS,
    "generator": lambda: iter(ROWS),
    "table": lambda: TABLE,
    "reader": lambda: TABLE.to_reader(max_chunksize=2),
    "batch": lambda: TABLE.combine_chunks().to_batches()[0],
    "slice": lambda: pa.concat_tables([TABLE, TABLE]).slice(5),
    "dictionaries": lambda: pa.table(
        {n: pa.array(COLUMNS[n]).dictionary_encode() for n in ("text", "label", "group")}
    ),
    "pandas": lambda: pd.DataFrame(COLUMNS, index=[9, 9, 7, 7, 5]),
    "pandas objects": lambda: pd.DataFrame(COLUMNS, dtype=object),
    "pandas categories": lambda: (
        pd.DataFrame(COLUMNS)
        .astype({"label": "Int8"})
        .astype({"text": "category", "label": "category", "group": "category"})
    ),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars categories": categories,
    "dataset": lambda: datasets.Dataset.from_dict(COLUMNS),
    "dataset of numpy": lambda: datasets.Dataset.from_dict(COLUMNS).with_format("numpy"),
    "dataset dict": lambda: datasets.DatasetDict(test=datasets.Dataset.from_dict(COLUMNS)),
    "stream": lambda: datasets.Dataset.from_dict(COLUMNS).to_iterable_dataset(),
    "stream without features": lambda: datasets.IterableDataset.from_generator(lambda: iter(ROWS)),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("batch_rows", [2, 16_384])
def test_sources_in_memory_give_the_same_rows(
    name: str, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeled, "_BATCH_ROWS", batch_rows)
    assert read(SOURCES[name](), group="group") == EXPECTED


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_files_give_the_same_rows(write: Callable[[Path], Path], tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read(path, group="group") == EXPECTED
    assert read(str(path), group="group") == EXPECTED


def test_csv_has_no_nulls(tmp_path: Path) -> None:
    texts, labels, groups = EXPECTED
    found = read(write_csv(tmp_path), group="group")
    assert found == ([text or "" for text in texts], labels, groups)


def test_one_column_may_serve_twice() -> None:
    assert read(pa.table({"x": ["1", "0"]}), text="x", label="x", group="x") == (
        ["1", "0"],
        [1, 0],
        ["1", "0"],
    )


def test_named_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def load(name: str, *, split: str) -> Any:
        asked.append((name, split))
        return datasets.Dataset.from_dict(COLUMNS)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read("owner/posts-2.0", group="group") == EXPECTED
    assert read("posts", split="train", group="group") == EXPECTED
    assert asked == [("owner/posts-2.0", "test"), ("posts", "train")]
    assert "holds" in refusal("posts", text="more")


def test_dataset_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach the Hub.\nTraceback follows\n...")

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert refusal("owner/posts", split="dev") == (
        "'owner/posts' is no file, and its split 'dev' cannot be loaded as a dataset: "
        "Couldn't reach the Hub"
    )


def test_named_dataset_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **options: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"'posts' is no file.*hostrisk\[train\]"):
        read("posts")


def test_pandas_is_not_imported_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pandas")
    assert read(TABLE, group="group") == EXPECTED
    assert "pandas" not in sys.modules


def test_split_of_a_dataset_dict() -> None:
    splits = datasets.DatasetDict(
        train=datasets.Dataset.from_dict(COLUMNS), dev=datasets.Dataset.from_dict({"text": ["a"]})
    )
    assert read(splits, split="train", group="group") == EXPECTED
    assert refusal(splits) == "there is no split 'test'; the dataset's splits are 'train', 'dev'"
    assert refusal(splits, split="dev") == (
        "the dataset has no column 'label'; its columns are 'text'"
    )


# --- labels and groups ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, -1, None],
        [1.0, 0.0, -1.0, None],
        [1.0, -0.0, float("nan"), float("nan")],
        ["1", "0", "-1", ""],
        [" True ", "FALSE", None, " "],
        ["1.0", "0.0", "-1.0", None],
        [True, False, None, None],
        [decimal.Decimal(1), decimal.Decimal("0.00"), decimal.Decimal(-1), None],
        [np.int64(1), np.float32(0), np.float64("nan"), np.int8(-1)],
        [np.bool_(True), np.bool_(False), None, None],
        [True, "0", float("nan"), -1],
        [1 + 0j, 0j, None, -1],
    ],
    ids=str,
)
def test_ways_to_write_a_label(values: Any) -> None:
    assert labels_of(values) == [1, 0, -1, -1]


def test_labels_of_classes_and_of_extension_types() -> None:
    classes = datasets.ClassLabel(names=["peace", "violence"])
    features = datasets.Features(text=datasets.Value("string"), label=classes)
    made = datasets.Dataset.from_dict({"text": list("abc"), "label": [1, 0, -1]}, features=features)
    assert read(made)[1] == [1, 0, -1]
    frame = pd.DataFrame({"text": list("abc"), "label": pd.array([True, False, None], "boolean")})
    assert read(frame)[1] == [1, 0, -1]
    stored = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", "false", None]))
    assert read(pa.table({"text": list("abc"), "label": stored}))[1] == [1, 0, -1]
    assert read(pa.table({"text": list("abc"), "label": pa.nulls(3)}))[1] == [-1, -1, -1]


@pytest.mark.parametrize(
    "value",
    ["maybe", "yes", "2", 2, 0.5, -2, float("inf"), b"1", [1], {"a": 1}, datetime.date(2021, 1, 6)],
    ids=str,
)
def test_bad_label_names_row_column_and_value(value: Any) -> None:
    rows = [{"text": "t", "label": each} for each in (None, value, value)]
    assert refusal(rows) == (
        f"row 2, column 'label' is {value!r}; a label must be 0, 1, true or false, or -1 or empty "
        "where it is not known"
    )
    table = pa.table({"text": ["t"] * 3, "label": [None, value, value]})
    assert refusal(table).startswith(f"row 2, column 'label' is {value!r}; ")


def test_bad_label_far_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["0"] * 40_000
    values[39_998] = "x" * 500 + "\n"
    path = tmp_path / "posts.parquet"
    parquet.write_table(pa.table({"body": ["t"] * 40_000, "bad": values}), path)
    message = refusal(path, text="body", label="bad")
    assert message.startswith("row 39999, column 'bad' is 'xxx")
    assert len(message) < 200
    monkeypatch.setattr(labeled, "_BATCH_ROWS", 7)
    frame = pd.DataFrame({"text": ["t"] * 30, "label": [0] * 29 + [3]})
    assert refusal(frame).startswith("row 30, column 'label' is 3; ")


def test_categories_that_no_row_has_are_no_labels() -> None:
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["1", "0", "maybe"]))
    assert read(pa.table({"text": list("abc"), "label": encoded}))[1] == [1, 0, -1]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2, None], ["1", "2", NO_GROUP]),
        ([True, False, None], ["True", "False", NO_GROUP]),
        (["", "a", "a"], [NO_GROUP, "a", "a"]),
        ([[1], [2, 3], None], ["[1]", "[2, 3]", NO_GROUP]),
        ([datetime.date(2021, 1, 6), None, None], ["2021-01-06", NO_GROUP, NO_GROUP]),
    ],
)
def test_groups_are_named_by_their_values(values: list[Any], names: list[str]) -> None:
    table = pa.table({"text": list("abc"), "label": [1, 0, 1], "g": values})
    assert read(table, group="g")[2] == names
    assert read(table.to_pylist(), group="g")[2] == names


# --- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in ("rows", "generator")])
@pytest.mark.parametrize("option", ["text", "label", "group"])
def test_missing_column_names_those_there_are(name: str, option: str) -> None:
    message = refusal(SOURCES[name](), **{"group": "group", option: "gone"})
    assert " has no column 'gone'; its columns are 'text', 'label', 'group'" in message


def test_missing_column_of_rows_and_files(tmp_path: Path) -> None:
    assert refusal([*ROWS, {"text": "a"}]) == "row 6 has no column 'label'; its columns are 'text'"
    assert refusal([{}]) == "row 1 has no column 'text'; its columns are none"
    path = write_csv(tmp_path)
    assert refusal(path, label="gone") == (
        f"{path} has no column 'gone'; its columns are 'text', 'label', 'group'"
    )
    assert refusal(tmp_path / "gone.csv") == f"{tmp_path / 'gone.csv'} does not exist"


def test_columns_of_a_frame_are_found_by_their_own_names() -> None:
    frame = pd.DataFrame([["a", 1]])
    assert refusal(frame, text="0", label="1") == (
        "the DataFrame has no column '0'; its columns are 0, 1"
    )
    twice = pd.DataFrame([["a", "b", 1]], columns=["text", "text", "label"])
    assert refusal(twice) == "the DataFrame has more than one column named 'text'"
    assert "more than one" in refusal(TABLE.append_column("label", TABLE["label"]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (5, "an object of type int cannot be read as labeled texts; give a path, "),
        (None, "an object of type NoneType cannot"),
        (b"posts.csv", "an object of type bytes cannot"),
        ({"text": ["a"], "label": [1]}, "an object of type dict cannot"),
        (["a", "b"], "row 1 is an object of type str, not a dict of column names to values"),
        (pa.array(["a"]), "an object of type StringArray cannot be read as a table: "),
        (pl.Series(["a"]), "an object of type Series cannot be read as a table: "),
        ("no such name", "no such name does not exist"),
        ("gone.csv", "gone.csv does not exist"),
    ],
    ids=str,
)
def test_what_is_no_source(source: Any, message: str) -> None:
    assert refusal(source).startswith(message)


def test_split_of_what_has_none() -> None:
    assert refusal("a/gone.csv", split="dev") == (
        "split='dev' is only for datasets; gone.csv has none"
    )
    assert refusal(TABLE, split="dev").endswith("Table in memory has none")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", 5], "row 2, column 'text' is an object of type int, not text"),
        (["a", float("nan")], "row 2, column 'text' is an object of type float, not text"),
        (["a", b"b"], "row 2, column 'text' is an object of type bytes, not text"),
        (["a", "\ud83d"], "column 'text' holds half a character, which no text has"),
    ],
)
def test_rows_without_text(texts: list[Any], message: str) -> None:
    assert refusal([{"text": text, "label": 1} for text in texts]) == message


def test_columns_without_text() -> None:
    numbers = pa.table({"text": [1, 2], "label": [1, 0]})
    assert refusal(numbers) == "column 'text' holds int64, not text"
    mixed = pd.DataFrame({"text": ["a", 5, np.nan], "label": [1, 0, 1]})
    assert refusal(mixed) == "row 2, column 'text' is an object of type int, not text"
    damaged = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    )
    assert refusal(pa.table({"text": damaged, "label": [1]})).startswith(
        "column 'text' is damaged: "
    )


def test_null_texts_and_nothing_at_all() -> None:
    for nulls in (pa.nulls(2), pa.nulls(2, pa.float64()), pa.nulls(2, pa.large_string())):
        assert read(pa.table({"text": nulls, "label": [1, 0]}))[:2] == ([None, None], [1, 0])
    assert read(pd.DataFrame({"text": [np.nan], "label": [1]}))[:2] == ([None], [1])
    empty: list[Any] = [
        [],
        TABLE.slice(0, 0),
        pd.DataFrame({"text": [], "label": []}),
        pl.DataFrame({"text": [], "label": []}),
        datasets.Dataset.from_dict({"text": [], "label": []}),
    ]
    for source in empty:
        assert read(source) == ([], [], None)


def test_rows_are_read_as_they_are_needed() -> None:
    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield {"text": "a", "label": 1}

    assert len(next(read_labeled(endless(), text="text", label="label")).labels) > 1_000


def test_sources_have_names(tmp_path: Path) -> None:
    assert describe_source(write_csv(tmp_path)) == "posts.csv"
    assert describe_source("owner/posts") == "owner/posts (test)"
    assert describe_source("posts", "dev") == "posts (dev)"
    assert describe_source(pd.DataFrame()) == "DataFrame in memory"
    assert describe_source(ROWS) == "list in memory"
