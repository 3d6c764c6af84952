"""The one call from posts to an assessment, against a made-up host whose truth is known."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import random
import re
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

import hostrisk
from hostrisk.errors import HostriskError, InputError, PolicyError
from hostrisk.host import Columns, HostAssessment, assess, load_host_policy, sample
from hostrisk.host.letters.packet import canonical_json, verify_packet
from hostrisk.host.source.defects import KINDS as DEFECTS
from hostrisk.policy import KINDS, TARGETS

for needed in ("scipy", "statsmodels", "matplotlib"):
    pytest.importorskip(needed, reason='needs pip install "hostrisk[host]"')

DEMO = Path(__file__).parents[1] / "data" / "demo"
POSTS, LABELS = DEMO / "host.csv", DEMO / "host_labels.csv"
NAME = "harbour.example"
BEGIN, CHANGE = date(2025, 9, 1), 6  # the week from which on the host is worse, from 0
SEEDS = range(5)
VIOLENT = "We should hang them all and shoot every one of them"
URGENT = "We will hang every one of them on Saturday at noon, bring your rifles"
CALM = "We baked a cake for the school party"
DETAILS = "Write to ann.lee@example.org or @ann_lee99: we will shoot them all on Saturday at noon"
RUSSIAN = "Сегодня мы испекли пирог для школьного праздника и пошли гулять в парк"


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only(found):
    (host,) = found.record["hosts"]
    return host


def posts(*texts, **more):
    return [
        {"id": f"p{at}", "text": text, "created_at": f"2025-09-{1 + at % 28:02d}T10:00:00Z", **more}
        for at, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def rows():
    return read(POSTS)


@pytest.fixture(scope="module")
def truth(rows):
    return {row["id"]: row for row in reversed(rows)}  # of equal ids the first is kept


@pytest.fixture(scope="module")
def share(truth):
    return sum(row["violent"] == "1" for row in truth.values()) / len(truth)


@pytest.fixture(scope="module")
def bare():
    """Nobody reviewed anything."""
    return assess(POSTS)


@pytest.fixture(scope="module")
def full(bare):
    """All that there is to say."""
    return assess(POSTS, LABELS, name=NAME, notice="2025-10-20", since=bare.to_dict())


@pytest.fixture(scope="module")
def reviewed(truth):
    """Five samples of 300, labeled by the truth."""
    found = []
    for seed in SEEDS:
        drawn = sample(POSTS, 300, seed=seed).to_pylist()
        labels = [{**row, "label": truth[row["id"]]["violent"]} for row in drawn]
        found.append(assess(POSTS, labels))
    return found


@pytest.fixture(scope="module")
def several(rows):
    """Twenty hosts, of very different sizes."""
    dice = random.Random(0)
    some = [
        {**{key: row[key] for key in ("id", "text", "created_at", "views")},
         "site": f"h{min(int(dice.expovariate(0.2)), 19):02d}"}
        for row in rows
    ]  # fmt: skip
    assert len({row["site"] for row in some}) == 20
    return assess(some, host="site", exemplars=2)


@pytest.fixture(scope="module")
def undated():
    return assess([{**one, "created_at": ""} for one in posts(*[CALM] * 30, VIOLENT, URGENT)])


# --- the shape of assessment.json ----------------------------------------------------------------


class Maybe:
    """What may be null instead."""

    def __init__(self, shape):
        self.shape = shape


NUMBER, WHOLE, TEXT, FLAG = (int, float), int, str, bool
INTERVAL = {"low": Maybe(NUMBER), "high": Maybe(NUMBER)}
PREVALENCE = {
    "posts": WHOLE, "flagged": WHOLE, "prevalence": Maybe(NUMBER), **INTERVAL, "method": TEXT,
    "reviewed": WHOLE, "positives": WHOLE,
}  # fmt: skip
TREND = {
    "ratio": NUMBER, "low": NUMBER, "high": NUMBER, "p_value": NUMBER, "p_adjusted": NUMBER,
    "weeks": WHOLE, "from": NUMBER, "to": NUMBER, "of": TEXT, "sentence": TEXT,
    "change_point": Maybe({"date": TEXT, "before": NUMBER, "after": NUMBER, "p_value": NUMBER}),
}  # fmt: skip
REMOVED = {"posts": WHOLE, "removed": WHOLE, "share": Maybe(NUMBER), **INTERVAL}
HANDLED = {"posts": WHOLE, "handled": WHOLE, "share": Maybe(NUMBER), **INTERVAL}
REPORTED = {**REMOVED, "flagged": WHOLE, "handled_24h": Maybe(HANDLED)}
COMPARED = {"removed_7d": Maybe(REMOVED), "handled_24h": Maybe(HANDLED)}
DIFFERENCE = Maybe({"difference": NUMBER, "low": NUMBER, "high": NUMBER})
RESPONSE = {
    "flagged": Maybe(REMOVED), "reported": Maybe(REPORTED), "reported_flagged": Maybe(REPORTED),
    "violent": Maybe({**REMOVED, "reported": Maybe(REPORTED)}),
    "time_to_removal": Maybe({
        "from": TEXT, "posts": WHOLE, "removed": WHOLE, "median_hours": Maybe(NUMBER),
        "low_hours": Maybe(NUMBER), "high_hours": Maybe(NUMBER),
        "curve": [{"hours": NUMBER, "open": NUMBER, "low": NUMBER, "high": NUMBER}],
    }),
    "backlog": [{"date": TEXT, "open": WHOLE, "flagged": WHOLE}],
    "notice": Maybe({
        "date": TEXT, "from": TEXT, "before": COMPARED, "after": COMPARED,
        "difference": {"removed_7d": DIFFERENCE, "handled_24h": DIFFERENCE},
        "p_value": Maybe(NUMBER),
    }),
}  # fmt: skip
EXEMPLAR = {
    "id": TEXT, "time": Maybe(TEXT), "url": Maybe(TEXT), "score": NUMBER, "kind": Maybe(TEXT),
    "targets": [TEXT], "text": TEXT, "redacted": FLAG, "sha256": TEXT, "urgent": FLAG,
    "spans": [{"start": WHOLE, "end": WHOLE, "weight": NUMBER}],
    "marks": [{"mark": TEXT, "words": TEXT, "start": WHOLE, "end": WHOLE}],
    "reported_at": Maybe(TEXT), "removed_at": Maybe(TEXT), "label": Maybe(WHOLE),
}  # fmt: skip
GROUP = {"name": TEXT, **PREVALENCE, "trend": Maybe(TREND)}
HOST = {
    "host": TEXT, "summary": TEXT, "tier": TEXT, "overall": PREVALENCE,
    "views": Maybe({**PREVALENCE, "views": WHOLE, "flagged_views": WHOLE}),
    "rules": [{"tier": TEXT, "rule": TEXT, "text": TEXT, "figures": {...: NUMBER}}],
    "unjudged": [{"tier": TEXT, "rule": TEXT, "text": TEXT, "missing": [TEXT]}],
    "weeks": [{"start": TEXT, **PREVALENCE}], "trend": Maybe(TREND), "kinds": [GROUP],
    "targets": [GROUP], "responsiveness": Maybe(RESPONSE),
    "unsupported": {"posts": WHOLE, "share": NUMBER}, "urgent": WHOLE, "exemplars": [EXEMPLAR],
}  # fmt: skip
RECORD = {
    "version": TEXT, "model": TEXT, "policy": TEXT, "level": NUMBER, "threshold": NUMBER,
    "threshold_name": Maybe(TEXT), "simultaneous": FLAG, "rows": WHOLE, "as_of": Maybe(TEXT),
    "period": {"start": Maybe(TEXT), "end": Maybe(TEXT)}, "hosts": [HOST],
    "sources": [{"name": TEXT, "rows": WHOLE}],
    "defects": [{"kind": TEXT, "count": WHOLE, "meaning": TEXT,
                 "examples": [{"where": TEXT, "id": TEXT}]}],
    "labels": Maybe({"reviewed": WHOLE, "positives": WHOLE, "unlabeled": WHOLE,
                     "unknown_ids": WHOLE, "design": TEXT, "stand_for": Maybe(WHOLE)}),
    "since": Maybe({
        "from": {"period": {"start": Maybe(TEXT), "end": Maybe(TEXT)}, "model": TEXT,
                 "version": TEXT},
        "same_terms": FLAG,
        "hosts": [{"host": TEXT, "changes": [{"what": TEXT, "before": any, "after": any,
                                              "text": TEXT}]}],
    }),
}  # fmt: skip


def faults(value, shape, where="record"):
    """Yield what differs from a shape: keys that are missing or too many, values of other types."""
    if isinstance(shape, Maybe):
        if value is not None:
            yield from faults(value, shape.shape, where)
    elif isinstance(shape, dict):
        keys = set(value) if ... in shape else set(shape)
        if set(value) != keys:
            yield f"{where}: {sorted(set(value) ^ keys)}"
        for key in keys & set(value):
            yield from faults(value[key], shape.get(key, shape.get(...)), f"{where}.{key}")
    elif isinstance(shape, list):
        assert type(value) is list, where
        for at, item in enumerate(value):
            yield from faults(item, shape[0], f"{where}[{at}]")
    elif shape is not any:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        if type(value) not in kinds or (type(value) is float and not math.isfinite(value)):
            yield f"{where}: {value!r}"


@pytest.fixture(params=["bare", "full", "several", "undated"])
def record(request):
    return request.getfixturevalue(request.param).to_dict()


def test_the_record_has_the_keys_and_types_that_it_should(record) -> None:
    assert list(faults(record, RECORD)) == []


def test_the_checker_finds_what_is_wrong(full) -> None:
    broken = json.loads(json.dumps(full.record))
    broken["hosts"][0]["weeks"][3]["low"] = float("nan")
    broken["hosts"][0]["overall"]["posts"] = 1.0
    del broken["hosts"][0]["urgent"]
    broken["labels"]["more"] = 1
    assert len(list(faults(broken, RECORD))) == 4


def test_the_record_is_json_of_plain_values(record) -> None:
    text = json.dumps(record, allow_nan=False, ensure_ascii=False)
    assert json.loads(text) == record
    assert json.loads(canonical_json(record)) == record


def test_every_interval_holds_its_estimate(record) -> None:
    def walk(value):
        if isinstance(value, dict):
            for key in ("prevalence", "share"):
                if value.get(key) is not None and "low" in value:
                    assert 0 <= value["low"] <= value[key] <= value["high"] <= 1
            if "ratio" in value:
                assert 0 < value["low"] <= value["ratio"] <= value["high"]
            value = [*value.values()]
        for item in value if isinstance(value, list) else ():
            walk(item)

    walk(record["hosts"])


def test_sums_add_up(record) -> None:
    dated = {"no_date", "unreadable_date", "absurd_date"}
    left = sum(found["count"] for found in record["defects"] if found["kind"] in dated)
    again = sum(found["count"] for found in record["defects"] if found["kind"] == "duplicate_id")
    everything = [host["overall"] for host in record["hosts"]]
    weeks = [week for host in record["hosts"] for week in host["weeks"]]
    assert sum(found["posts"] for found in everything) == record["rows"] - again
    assert sum(week["posts"] for week in weeks) + left == record["rows"] - again
    assert sum(source["rows"] for source in record["sources"]) == record["rows"]
    for host in record["hosts"]:
        in_weeks = sum(week["flagged"] for week in host["weeks"])
        assert 0 <= host["overall"]["flagged"] - in_weeks <= left
        assert sum(kind["flagged"] for kind in host["kinds"]) == host["overall"]["flagged"]
        assert sum(target["flagged"] for target in host["targets"]) >= host["overall"]["flagged"]
        assert host["unsupported"]["share"] == pytest.approx(
            host["unsupported"]["posts"] / host["overall"]["posts"]
        )
        for found in (*host["kinds"], *host["targets"]):
            assert found["posts"] == host["overall"]["posts"]


def test_names_are_those_of_the_policy(record) -> None:
    for host in record["hosts"]:
        assert {kind["name"] for kind in host["kinds"]} <= set(KINDS)
        assert {target["name"] for target in host["targets"]} <= set(TARGETS)
        assert host["tier"] in {"low", "watch", "notice", "act"}
        assert host["tier"] == next((rule["tier"] for rule in host["rules"]), "low")
        assert {rule["rule"] for rule in host["rules"]}.isdisjoint(
            rule["rule"] for rule in host["unjudged"]
        )


def test_where_the_figures_come_from_is_said(full, bare) -> None:
    record = full.record
    assert record["version"] == hostrisk.__version__
    assert record["model"] == hostrisk.load().model_id
    assert record["policy"] == load_host_policy().id
    assert (record["level"], record["threshold_name"]) == (0.95, "balanced")
    assert record["period"] == {"start": "2025-09-01", "end": "2025-11-23"}
    assert record["as_of"].startswith("2025-11-23T")
    assert record["sources"] == [{"name": "host.csv", "rows": 6033}]
    assert bare.record["labels"] is None
    assert record["labels"] == {
        "reviewed": 400, "positives": sum(row["label"] == "1" for row in read(LABELS)),
        "unlabeled": 0, "unknown_ids": 0, "design": "stratified", "stand_for": 6028,
    }  # fmt: skip


def test_a_sample_of_other_posts_is_said_to_be_one() -> None:
    rows = read(DEMO / "host.csv")
    truth = {row["id"]: row["violent"] for row in rows}
    drawn = sample(rows[:3000], 300, seed=0).to_pylist()
    labels = [{**row, "label": truth[row["id"]]} for row in drawn]
    caution = "Draw a sample from them"
    found = assess(rows, labels)
    assert abs(found.record["labels"]["stand_for"] - 3000) < 10
    assert all(caution in shown for shown in (found.to_html(), found.to_markdown()))
    assert caution not in assess(rows[:3000], labels).to_markdown()
    elsewhere = assess(rows[3000:], labels)
    assert elsewhere.record["labels"]["reviewed"] == 0
    assert "nobody has read any of them" in elsewhere.to_text()


def test_the_assessment_shows_as_one_line(full, several) -> None:
    assert repr(full) == "<HostAssessment harbour.example: act>"
    assert repr(several).endswith(", ...>")
    assert isinstance(full, HostAssessment)
    assert full.to_dict() is full.record


# --- against the truth ---------------------------------------------------------------------------


def test_intervals_hold_the_truth(reviewed, share) -> None:
    overall = [only(found)["overall"] for found in reviewed]
    assert {found["method"] for found in overall} == {"reviewed sample"}
    assert {found["reviewed"] for found in overall} == {300}
    assert sum(found["low"] <= share <= found["high"] for found in overall) >= 4
    assert all(found["high"] < 0.08 for found in overall)


def test_the_rise_is_found(reviewed, rows) -> None:
    violent, everything = Counter(), Counter()
    for row in rows:
        if row["created_at"].startswith("2025"):
            week = (date.fromisoformat(row["created_at"][:10]) - BEGIN).days // 7
            everything[week] += 1
            violent[week] += row["violent"] == "1"
    ratio = (violent[11] / everything[11]) / (violent[0] / everything[0])
    assert ratio > 3
    for found in reviewed:
        trend = only(found)["trend"]
        assert trend["of"] == "violent posts"
        assert trend["weeks"] == 12
        assert 1 < trend["low"] < ratio < trend["high"]
        assert trend["p_adjusted"] < 0.05
        assert trend["sentence"].startswith("rose from ")


def test_the_change_is_found_where_it_was(reviewed) -> None:
    for found in reviewed:
        change = only(found)["trend"]["change_point"]
        week = (date.fromisoformat(change["date"]) - BEGIN).days / 7
        assert abs(week - CHANGE) <= 2 or change["p_value"] > 0.05
        assert change["after"] > 2 * change["before"]


def test_a_host_that_leaves_it_up_is_for_acting(reviewed, full) -> None:
    for found in (*reviewed, full):
        assert only(found)["tier"] == "act"
        assert "much_and_left_up" in {rule["rule"] for rule in only(found)["rules"]}


def test_without_labels_all_is_said_to_be_by_the_model(bare, several, undated) -> None:
    for found in (bare, several, undated):
        for host in found.record["hosts"]:
            parts = [host["overall"], *host["weeks"], *host["kinds"], *host["targets"]]
            parts += [host["views"]] if host["views"] else []
            assert {part["method"] for part in parts} == {"model-based"}
            assert {(part["reviewed"], part["positives"]) for part in parts} == {(0, 0)}
            assert host["tier"] != "act"
            assert "act" not in {rule["tier"] for rule in host["rules"]}
            if host["trend"]:
                assert host["trend"]["of"] == "flagged posts"
    assert "act" in {rule["tier"] for rule in only(bare)["unjudged"]}
    assert "by the model alone, nobody read posts" in only(bare)["summary"]
    for page in (bare.to_html(), bare.to_markdown(), bare.to_text()):
        assert "model-based" in page


def test_a_model_alone_never_reaches_act_however_bad_it_looks() -> None:
    found = assess([{**one, "reported_at": one["created_at"], "removed_at": None}
                    for one in posts(*[f"{URGENT} {at}" for at in range(300)])])  # fmt: skip
    assert only(found)["tier"] == "notice"


def test_kinds_and_targets_are_those_of_the_truth(full, truth) -> None:
    labeled = [truth[row["id"]] for row in read(LABELS)]
    kinds = Counter(row["kind"] for row in labeled if row["violent"] == "1")
    assert {one["name"]: one["positives"] for one in only(full)["kinds"]} == kinds
    named = Counter(
        name for row in labeled if row["violent"] == "1" for name in row["target"].split(",")
    )
    found = {one["name"]: one["positives"] for one in only(full)["targets"]}
    assert {name: count for name, count in found.items() if count} == named


def test_unsupported_posts_are_counted(bare) -> None:
    foreign = {row["text"] for row in read(DEMO / "material" / "other_languages.csv")}
    known = sum(row["text"] in foreign for row in read(POSTS))
    assert only(bare)["unsupported"]["posts"] >= 0.8 * known > 50


# --- the same posts give the same figures --------------------------------------------------------


def figures(found):
    """Return what may not hang on where posts come from."""
    record = json.loads(json.dumps(found.record))
    del record["sources"]
    for defect in record["defects"]:
        del defect["examples"]
    return record


def assert_same(one, other, where="record"):
    """Compare numbers to the last digits but two, as sums hang on the order of their parts."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for at, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{at}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-9), where
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def table():
    from pyarrow import csv as arrow_csv

    text = {"id", "created_at", "text", "url", "reported_at", "removed_at", "kind", "target"}
    options = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(text, "string"), strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )  # fmt: skip
    return arrow_csv.read_csv(
        POSTS, parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )  # fmt: skip


def as_parquet(table, folder):
    from pyarrow import parquet

    parquet.write_table(table, folder / "posts.parquet", row_group_size=1000)
    return folder / "posts.parquet"


def as_lines(table, folder):
    path = folder / "posts.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()), encoding="utf-8")
    return str(path)


def as_batches(table, _):
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=97))


def as_pandas(_, __):
    return pytest.importorskip("pandas").read_csv(POSTS)


def as_pandas_with_times(_, __):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(POSTS)
    for name in ("created_at", "reported_at", "removed_at"):
        frame[name] = pandas.to_datetime(frame[name], utc=True)
    return frame


def as_polars(_, __):
    return pytest.importorskip("polars").read_csv(POSTS, infer_schema_length=10_000)


def as_rows(table, _):
    return table.to_pylist()


def as_files(table, folder):
    paths = []
    for at, rows in enumerate((table[:10], table[10:2500], table[2500:6000], table[6000:])):
        (folder / str(at)).mkdir()
        paths.append(as_parquet(rows, folder / str(at)))
    return paths


@pytest.mark.parametrize(
    "form",
    [as_parquet, as_lines, as_batches, as_pandas, as_pandas_with_times, as_polars, as_rows,
     as_files],
)  # fmt: skip
def test_every_form_of_the_posts_gives_the_same(form, table, full, bare, tmp_path) -> None:
    found = assess(form(table, tmp_path), LABELS, name=NAME, notice="2025-10-20", since=bare.record)
    assert_same(figures(found), figures(full))


def test_the_order_of_rows_changes_nothing(rows, truth, bare) -> None:
    counts = Counter(row["id"] for row in rows)
    single = [row for row in rows if counts[row["id"]] == 1]  # of equal ids the first is kept
    labels = read(LABELS)
    one = assess(single, labels, name=NAME, since=bare.record)
    random.Random(1).shuffle(single)
    random.Random(2).shuffle(labels)
    assert_same(figures(assess(single, labels, name=NAME, since=bare.record)), figures(one))


def test_a_second_run_gives_the_same_bytes(full, bare, tmp_path) -> None:
    again = assess(POSTS, LABELS, name=NAME, notice="2025-10-20", since=bare.to_dict(), threads=2)
    roots = []
    for folder, found in ((tmp_path / "one", full), (tmp_path / "two", again)):
        paths = found.write(folder)
        assert set(paths) == {"report.html", "report.md", "assessment.json"}
        roots.append(found.write_packet(folder / "packet.zip"))
    assert roots[0] == roots[1]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert len(list((tmp_path / "two").iterdir())) == 4


def test_the_files_hold_what_the_object_gives(full, tmp_path) -> None:
    paths = {name: Path(path) for name, path in full.write(tmp_path / "a" / "b").items()}
    assert json.loads(paths["assessment.json"].read_text(encoding="utf-8")) == full.record
    assert paths["report.html"].read_text(encoding="utf-8") == full.to_html()
    assert paths["report.md"].read_text(encoding="utf-8") == full.to_markdown()


def test_nothing_is_written_where_a_file_cannot_be(undated, tmp_path) -> None:
    (tmp_path / "report.md").mkdir()
    with pytest.raises(InputError, match=r"report\.md is not a plain file"):
        undated.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        undated.write(tmp_path / "file" / "folder")


def test_a_loaded_model_and_a_loaded_policy_are_the_same(rows) -> None:
    some = rows[:200]
    found = assess(some, model=hostrisk.load(), policy=load_host_policy())
    assert found.record == assess(some).record


def test_the_accurate_model_works(rows, truth) -> None:
    pytest.importorskip("onnxruntime", reason='needs pip install "hostrisk[accurate]"')
    some = [row for row in rows if row["violent"] == "1"][:15] + rows[:45]
    labels = [{"id": row["id"], "label": row["violent"]} for row in some[::2]]
    found = assess(some, labels, model="accurate", exemplars=3)
    assert found.record["model"].startswith("accurate-")
    assert list(faults(found.record, RECORD)) == []
    assert only(found)["overall"]["flagged"] >= 5
    assert only(found)["overall"]["method"] == "prediction-powered"


# --- labels --------------------------------------------------------------------------------------


def as_drawn(truth, seed=0, count=300, **more):
    drawn = sample(POSTS, count, seed=seed, **more)
    return drawn.append_column(
        "label", [[int(truth[ident]["violent"]) for ident in drawn["id"].to_pylist()]]
    )


def test_labels_in_every_form_give_the_same(truth, reviewed, tmp_path) -> None:
    from pyarrow import csv as arrow_csv

    labels = as_drawn(truth)
    arrow_csv.write_csv(labels, tmp_path / "review.csv")
    for source in (labels, tmp_path / "review.csv", labels.to_pylist()):
        found = only(assess(POSTS, source, exemplars=0))
        assert found["overall"] == pytest.approx(only(reviewed[0])["overall"])
        assert found["weeks"][5] == pytest.approx(only(reviewed[0])["weeks"][5])


def test_a_plain_sample_is_prediction_powered(rows, share) -> None:
    drawn = random.Random(5).sample(rows, 500)
    labels = [{"id": row["id"], "label": row["violent"]} for row in drawn]
    found = assess(POSTS, labels, exemplars=0)
    overall = only(found)["overall"]
    assert overall["method"] == "prediction-powered"
    assert overall["low"] <= share <= overall["high"] < 0.1
    assert found.record["labels"]["design"] == "plain random"


def test_rows_without_label_are_counted_and_made_up_for(truth) -> None:
    labels = as_drawn(truth).to_pylist()
    fewer = [{**row, "label": None if at % 3 == 0 else row["label"]}
             for at, row in enumerate(labels)]  # fmt: skip
    found = assess(POSTS, fewer, exemplars=0)
    assert found.record["labels"]["unlabeled"] == 100
    assert found.record["labels"]["reviewed"] == 200
    # The sum over the labels of each stratum, times those drawn over those labeled of it.
    drawn = Counter(row["stratum"] for row in labels)
    kept = Counter(row["stratum"] for row in fewer if row["label"] is not None)
    expected = sum(
        row["label"] / row["inclusion_probability"] * drawn[row["stratum"]] / kept[row["stratum"]]
        for row in fewer
        if row["label"] is not None
    )
    assert only(found)["overall"]["prevalence"] == pytest.approx(expected / len(truth))
    assert "100 drawn but not labeled" in found.to_text()


def test_labels_of_unknown_posts_are_counted_and_nothing_more(truth) -> None:
    labels = as_drawn(truth).to_pylist()
    more = [*labels, *({**labels[at], "id": f"gone{at}"} for at in range(20))]
    found, without = assess(POSTS, more, exemplars=0), assess(POSTS, labels, exemplars=0)
    assert found.record["labels"]["unknown_ids"] == 20
    assert found.record["labels"]["reviewed"] == 300
    assert only(found)["overall"] == pytest.approx(only(without)["overall"])
    assert "20 labels of unknown posts left out" in found.to_text()


def test_a_part_of_the_posts_takes_its_part_of_the_labels(rows, truth) -> None:
    """Labels drawn from all posts stand for those of a month as they do for all."""
    some = rows[:3000]
    known = sum(row["violent"] == "1" for row in some) / len(some)
    found = []
    for seed in SEEDS:
        labels = as_drawn(truth, seed=seed, count=600)
        found.append(only(assess(some, labels, exemplars=0))["overall"])
    assert all(240 < one["reviewed"] < 360 for one in found)
    assert sum(one["low"] <= known <= one["high"] for one in found) >= 4
    mean = sum(one["prevalence"] for one in found) / len(found)
    assert mean == pytest.approx(known, rel=0.35)


def test_no_label_of_these_posts(rows) -> None:
    found = assess(rows[:300], [{"id": "elsewhere", "label": 1}], exemplars=0)
    assert found.record["labels"]["unknown_ids"] == 1
    assert found.record["labels"]["reviewed"] == 0
    assert only(found)["overall"]["method"] == "model-based"


@pytest.fixture(scope="module")
def two_hosts(rows):
    return [{**row, "id": str(at // 2), "site": "ab"[at % 2]} for at, row in enumerate(rows)]


def test_labels_of_several_hosts(two_hosts) -> None:
    """Ids are unique on their host only, so that labels count by host and id."""
    known = {(row["site"], row["id"]): row["violent"] for row in two_hosts}
    drawn = sample(two_hosts, 400, seed=2, host="site").to_pylist()
    assert Counter(row["host"] for row in drawn) == {"a": 200, "b": 200}
    labels = [{**row, "label": known[row["host"], row["id"]]} for row in drawn]
    found = assess(two_hosts, labels, host="site", exemplars=0).record
    assert found["labels"]["reviewed"] == 400
    for host in found["hosts"]:
        own = [row for row in labels if row["host"] == host["host"]]
        assert host["overall"]["reviewed"] == 200
        assert host["overall"]["positives"] == sum(row["label"] == "1" for row in own)
        truth = [value == "1" for (site, _), value in known.items() if site == host["host"]]
        assert host["overall"]["low"] <= sum(truth) / len(truth) <= host["overall"]["high"]


def test_labels_of_one_host_say_nothing_of_another(two_hosts) -> None:
    labels = [
        {"id": row["id"], "host": "a", "label": row["violent"]}
        for row in two_hosts[:1000]
        if row["site"] == "a"
    ]
    found = assess(two_hosts, labels, host="site", exemplars=0).record
    by_name = {host["host"]: host for host in found["hosts"]}
    assert by_name["a"]["overall"]["reviewed"] == 500
    assert by_name["a"]["trend"]["of"] == "violent posts"
    assert by_name["b"]["overall"]["method"] == "model-based"
    assert by_name["b"]["trend"]["of"] == "flagged posts"
    assert by_name["b"]["tier"] != "act"


def test_labels_may_call_the_only_host_otherwise(truth, reviewed) -> None:
    labels = as_drawn(truth, name="draft")
    assert set(labels["host"].to_pylist()) == {"draft"}
    found = only(assess(POSTS, labels, name=NAME, exemplars=0))
    assert found["overall"] == pytest.approx(only(reviewed[0])["overall"])


def test_labels_in_a_column_of_the_posts(rows) -> None:
    kept = set(random.Random(7).sample(range(len(rows)), 400))
    some = [{**row, "seen": row["violent"] if at in kept else ""} for at, row in enumerate(rows)]
    column = assess(some, columns=Columns(label="seen"), exemplars=5)
    labels = [{"id": row["id"], "label": row["seen"]} for row in some if row["seen"]]
    labels = list({row["id"]: row for row in reversed(labels)}.values())
    table = assess(some, labels, exemplars=5)
    assert_same(only(column), only(table))
    assert column.record["labels"]["design"] == "plain random"
    assert only(column)["overall"]["method"] == "prediction-powered"


def test_everything_reviewed_leaves_no_doubt(rows, truth, share) -> None:
    drawn = as_drawn(truth, count=10_000)
    assert set(drawn["inclusion_probability"].to_pylist()) == {1.0}
    plain = [{"id": ident, "label": row["violent"]} for ident, row in truth.items()]
    for found in (
        assess(POSTS, drawn, exemplars=0),
        assess(POSTS, plain, exemplars=0),
        assess(POSTS, columns=Columns(label="violent"), exemplars=0),
    ):
        overall = only(found)["overall"]
        assert overall["prevalence"] == pytest.approx(share)
        assert overall["high"] - overall["low"] < 1e-5
        assert overall["positives"] == 164


def test_chances_that_cannot_be_true_leave_doubt(truth, share) -> None:
    """A few posts, each drawn for certain: that cannot be, and must not look certain."""
    labels = [{**row, "inclusion_probability": 1} for row in as_drawn(truth).to_pylist()]
    overall = only(assess(POSTS, labels, exemplars=0))["overall"]
    assert overall["high"] - overall["low"] > 0.005


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([{"id": "p1", "label": 1}, {"id": "p1", "label": 1}], "is there twice"),
        ([{"id": "p1", "label": 2}], "must be 0 or 1"),
        ([{"id": "p1", "label": ""}], "no row of the labels has a label"),
        ([{"id": "p1", "label": 1, "inclusion_probability": 0}], "above 0 and at most 1"),
        ([{"id": "p1", "label": 1, "inclusion_probability": 2}], "above 0 and at most 1"),
        ([{"id": "", "label": 1}], "has no id"),
        ([], "no row of the labels has a label"),
        ("none.csv", "none.csv does not exist"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_one_sentence(labels, said) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+$") as error:
        assess(posts(CALM, VIOLENT), labels)
    assert said in str(error.value)


def test_labels_come_from_one_place(rows) -> None:
    with pytest.raises(InputError, match="from a table and from the column 'violent'"):
        assess(rows[:20], [{"id": "p10001", "label": 1}], columns=Columns(label="violent"))


# --- unusual hosts -------------------------------------------------------------------------------


def assert_shown(found, folder):
    """Everything can be made of it: pages, text, letters and a packet."""
    assert list(faults(found.record, RECORD)) == []
    paths = found.write(folder)
    pages = [Path(paths[name]).read_text(encoding="utf-8") for name in ("report.html", "report.md")]
    pages.append(found.to_text())
    root = found.write_packet(folder / "packet.zip")
    checked = verify_packet(folder / "packet.zip", root=root)
    assert checked.ok, checked.problems
    return pages


def test_defects_are_counted_and_listed(full) -> None:
    found = {one["kind"]: one for one in full.record["defects"]}
    assert {kind: one["count"] for kind, one in found.items()} == {
        "duplicate_id": 2, "no_text": 3, "no_date": 2, "absurd_date": 2, "bad_views": 1,
        "removed_early": 1,
    }  # fmt: skip
    rows = read(POSTS)
    for kind, one in found.items():
        assert one["meaning"] == DEFECTS[kind]
        assert len(one["examples"]) == one["count"]
        for example in one["examples"]:
            at = int(example["where"].removeprefix("host.csv, row "))
            assert rows[at - 1]["id"] == example["id"]
    for page in (full.to_html(), full.to_markdown(), full.to_text()):
        assert "no date" in page
        assert "p11664" in page


def test_a_host_without_any_date(undated, tmp_path) -> None:
    host = only(undated)
    assert (host["weeks"], host["trend"]) == ([], None)
    assert undated.record["period"] == {"start": None, "end": None}
    made = datetime.fromisoformat(undated.record["as_of"])
    assert timedelta(0) <= datetime.now(UTC) - made < timedelta(days=2)
    assert (host["overall"]["posts"], host["overall"]["flagged"], host["urgent"]) == (32, 2, 1)
    assert [one["time"] for one in host["exemplars"]] == [None, None]
    for page in assert_shown(undated, tmp_path):
        assert "no post has a date" in page
    assert "1970" not in undated.notice("host")


@pytest.mark.parametrize(
    ("source", "flagged"),
    [
        (posts(VIOLENT), 1),
        (posts(CALM), 0),
        (posts(*[CALM] * 6, VIOLENT), 1),
        (posts(*[None] * 40), 0),
        (posts(*[""] * 40), 0),
        (posts(*[RUSSIAN] * 40), 0),
        (posts(*[None] * 5, views=0, reported_at="", removed_at=""), 0),
        (posts(*["\0", "\ufeff", "a" * 100_000, "🔪" * 50, "\u0301" * 50]), 1),
        (posts(*[VIOLENT] * 3, views=2**62), 3),
    ],
    ids=["one violent", "one calm", "one week", "null", "empty", "Russian", "nothing known", "odd",
         "many views"],
)  # fmt: skip
def test_small_and_odd_hosts(source, flagged, tmp_path) -> None:
    found = assess(source)
    host = only(found)
    assert host["overall"]["posts"] == len(source)
    assert host["overall"]["flagged"] == flagged
    assert host["trend"] is None
    assert host["overall"]["high"] > 0.1  # so few posts do not show that a host is clean
    assert_shown(found, tmp_path)


@pytest.mark.parametrize("text", [CALM, VIOLENT, None])
@pytest.mark.parametrize("label", [0, 1])
def test_one_post_that_was_reviewed(text, label, tmp_path) -> None:
    found = assess(posts(text), [{"id": "p0", "label": label}])
    overall = only(found)["overall"]
    assert (overall["reviewed"], overall["positives"]) == (1, label)
    assert overall["prevalence"] == pytest.approx(label)
    assert_shown(found, tmp_path)


def test_a_host_that_the_model_cannot_read(tmp_path) -> None:
    found = assess(posts(*[RUSSIAN] * 40))
    assert only(found)["unsupported"] == {"posts": 40, "share": 1.0}
    assert (
        "100% of the posts are in languages that the model does not know"
        in (only(found)["summary"])
    )
    for page in assert_shown(found, tmp_path):
        assert "40 posts (100%), of which a low score says nothing" in page
        assert only(found)["summary"].replace("%", "") in re.sub(r"[\\%]", "", page)


def test_no_post_at_all() -> None:
    with pytest.raises(InputError, match="there is no post to assess"):
        assess([])


def test_twenty_hosts_are_ranked(several, rows) -> None:
    hosts = several.record["hosts"]
    assert len(hosts) == 20
    assert sum(host["overall"]["posts"] for host in hosts) >= len(rows) - 2
    order = ["act", "notice", "watch", "low"]
    keys = [(order.index(host["tier"]), -host["overall"]["low"]) for host in hosts]
    assert keys == sorted(keys)
    assert all(len(host["exemplars"]) <= 2 for host in hosts)
    for page in (several.to_html(), several.to_markdown(), several.to_text()):
        assert all(host["host"] in page for host in hosts)


def test_trends_of_all_hosts_are_corrected_together(several) -> None:
    trends = [
        trend
        for host in several.record["hosts"]
        for trend in (host["trend"], *(one["trend"] for one in (*host["kinds"], *host["targets"])))
        if trend
    ]
    assert len(trends) > 30
    raw = sorted(trend["p_value"] for trend in trends)
    # Benjamini and Hochberg by their own words.
    expected = {}
    least = 1.0
    for rank in range(len(raw), 0, -1):
        least = min(least, raw[rank - 1] * len(raw) / rank)
        expected[raw[rank - 1]] = least
    for trend in trends:
        assert trend["p_adjusted"] == pytest.approx(expected[trend["p_value"]])


# --- hostile names and texts ---------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "| ` |",
    "\x1b[31mred\x1b[0m\x07\r",
    "\u202eevil\u2066\u200b\ufeff",
    "[click](javascript:alert(1)) <img src=x onerror=alert(1)> https://evil.example",
    "```\n# heading\n\n<b>bold</b>",
    "{{ 7 * 7 }} {% raw %}",
    "../../etc/passwd\n\n- item",
]
UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs


@pytest.fixture(scope="module")
def hostile():
    source = [
        {"id": f"{name} {at}", "site": name, "text": f"{name} {URGENT} {name} {at}", "url": name,
         "created_at": f"2025-09-{1 + at:02d}"}
        for name in HOSTILE for at in range(4)
    ]  # fmt: skip
    labels = [
        {"id": row["id"], "host": row["site"], "label": 1, "kind": row["site"],
         "target": row["site"]}
        for row in source
    ]  # fmt: skip
    source.append({"id": "x", "site": None, "text": CALM, "created_at": "\x1b[31m"})
    overall = {"prevalence": 0.5, "low": 0.4, "high": 0.6}
    before = {
        "model": HOSTILE[0], "version": HOSTILE[1],
        "period": {"start": HOSTILE[2], "end": HOSTILE[3]},
        "hosts": [
            {"host": name, "tier": name, "urgent": 9, "targets": [], "overall": overall}
            for name in [*HOSTILE, f"gone {HOSTILE[0]}"]
        ],
    }  # fmt: skip
    return assess(source, labels, host="site", since=before)


def test_hostile_names_stay_as_they_are_in_the_record(hostile, tmp_path) -> None:
    names = {host["host"] for host in hostile.record["hosts"]}
    assert names == {*HOSTILE, "(no host)"}
    assert_shown(hostile, tmp_path)


def test_hostile_names_are_escaped_on_the_page(hostile) -> None:
    page = hostile.to_html()
    found = Tags(page)
    assert not {"script", "img", "iframe", "link", "form"} & found.tags
    assert "<b>bold" not in page
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "src"]
    links = [value for name, value in found.attributes if name == "href"]
    assert all(value.startswith("#") for value in links)
    assert UNSEEN.search(page) is None
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\\x1b[31mred" in page
    assert "\\u202eevil" in page
    assert "{{ 7 * 7 }}" in page


def parsed(text):
    """Parse Markdown in which there must be no HTML, link or picture."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inner]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    return tokens


def test_hostile_names_are_escaped_in_markdown(hostile) -> None:
    text = hostile.to_markdown()
    assert UNSEEN.search(text) is None
    tokens = parsed(text)
    headings = [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"
    ]
    assert "heading" not in headings
    plain = hostile.record["hosts"]
    # Every host has the same sections, so nothing in a name began or ended one.
    assert Counter(headings)["Prevalence"] == len(plain)


def test_hostile_names_do_nothing_to_a_terminal(hostile) -> None:
    text = hostile.to_text()
    assert UNSEEN.search(text) is None
    assert "\\x1b[31mred\\x1b[0m\\x07\\r" in text


def test_hostile_names_do_nothing_to_the_letters(hostile) -> None:
    for name in HOSTILE:
        letter = hostile.notice(name)
        assert UNSEEN.search(letter) is None
        assert parsed(letter)


# --- removals, reports, dates --------------------------------------------------------------------


def test_what_nobody_recorded_is_not_known(rows, tmp_path) -> None:
    some = [{key: row[key] for key in ("id", "text", "created_at")} for row in rows[:600]]
    found = assess(some)
    assert only(found)["responsiveness"] is None
    missing = {name for rule in only(found)["unjudged"] for name in rule["missing"]}
    assert {"violent_removed_high", "removed_share_high", "handled_24h_high"} <= missing
    for page in assert_shown(found, tmp_path):
        assert "not known: no removal times were given" in re.sub(r"\s+", " ", page)
        assert not re.search(r"removed[^.\n|]{0,40}\b0%", page)


def test_a_column_that_says_that_nothing_was_removed(rows) -> None:
    some = [{**row, "removed_at": ""} for row in rows[:600]]
    flagged = only(assess(some))["responsiveness"]["flagged"]
    assert (flagged["removed"], flagged["share"]) == (0, 0)
    assert flagged["high"] > 0


def test_only_reports_are_recorded(rows) -> None:
    some = [{key: row[key] for key in row if key != "removed_at"} for row in rows[:600]]
    response = only(assess(some))["responsiveness"]
    assert response["flagged"]["share"] is None if response["flagged"] else True
    reports = sum(bool(row["reported_at"]) for row in rows[:600])
    assert response["reported"]["posts"] == reports
    assert not response["reported"]["removed"]
    assert response["reported"]["share"] is None


def test_counts_of_removals_are_those_of_the_posts(full, truth) -> None:
    response = only(full)["responsiveness"]
    good = [row for row in truth.values() if row["id"] != "p12154"]  # removed before it was made
    assert response["reported"]["posts"] == sum(bool(row["reported_at"]) for row in truth.values())
    assert response["reported"]["removed"] == sum(
        bool(row["reported_at"] and row["removed_at"]) for row in good
    )
    found = [row for row in read(LABELS) if row["label"] == "1"]
    assert response["violent"]["posts"] == len(found)
    assert response["violent"]["removed"] == sum(
        bool(truth[row["id"]]["removed_at"]) for row in found
    )


def test_before_and_after_a_notice(full, bare) -> None:
    assert only(bare)["responsiveness"]["notice"] is None
    notice = only(full)["responsiveness"]["notice"]
    assert notice["date"] == "2025-10-20"
    assert notice["after"]["removed_7d"]["share"] < notice["before"]["removed_7d"]["share"]
    assert notice["difference"]["removed_7d"]["high"] < 0
    assert "20 Oct 2025" in full.to_html()


@pytest.mark.parametrize(
    "moment",
    ["2025-10-20", "2025-10-20T00:00:00Z", "2025-10-20T02:00+02:00", datetime(2025, 10, 20),  # noqa: DTZ001
     datetime(2025, 10, 20, 2, tzinfo=UTC) - timedelta(hours=2)],
)  # fmt: skip
def test_ways_to_write_a_moment(rows, moment) -> None:
    found = assess(rows[:3200], as_of=moment, notice="2025-09-20", exemplars=0)
    assert found.record["as_of"] == "2025-10-20T00:00:00Z"


def test_as_of_before_the_last_post(rows) -> None:
    """What came later has not happened yet; posts of later are in no week, and said so."""
    found = assess(rows, as_of="2025-10-01T12:00:00Z", exemplars=0)
    late = [row for row in rows if row["created_at"] > "2025-10-02T12:00:00Z"]
    defects = {one["kind"]: one["count"] for one in found.record["defects"]}
    assert defects["absurd_date"] >= len(late) - 2 > 3000
    assert found.record["period"]["end"] == "2025-10-02"
    host = only(found)
    assert host["overall"]["posts"] == len(rows) - 2
    backlog = host["responsiveness"]["backlog"]
    assert backlog[-1]["date"] == "2025-10-01"
    removed = [row for row in rows if row["removed_at"] and row["reported_at"]
               and row["removed_at"] <= "2025-10-01T12:00:00Z" >= row["reported_at"]]  # fmt: skip
    assert abs(host["responsiveness"]["reported"]["removed"] - len(removed)) <= 1


def test_removals_of_days_to_come_do_not_move_the_clock(rows) -> None:
    some = [*rows[:300], {**rows[301], "removed_at": "2099-01-01"}]
    found = assess(some, exemplars=0).record
    assert found["as_of"] < "2026"
    assert len(found["hosts"][0]["responsiveness"]["backlog"]) < 20


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"as_of": "never"}, "as_of is 'never'; it must be a date"),
        ({"as_of": 5}, "as_of is 5"),
        ({"as_of": "0001-01-01T00:00+14:00"}, "as_of is '0001-01-01T00:00+14:00'"),
        ({"as_of": "9999-12-31T23:00-10:00"}, "as_of is '9999-12-31T23:00-10:00'"),
        ({"as_of": "9000-01-01"}, "as_of is 9000-01-01, which is yet to come"),
        ({"notice": "2025-13-01"}, "notice is '2025-13-01'; it must be a date"),
        ({"exemplars": -1}, "exemplars is -1"),
        ({"exemplars": 1.5}, "exemplars is 1.5"),
        ({"exemplars": "5"}, "exemplars is '5'"),
        ({"exemplars": True}, "exemplars is True"),
        ({"since": "none.json"}, "none.json cannot be read"),
        ({"since": {"hosts": "x"}}, "is not an assessment"),
        ({"since": {}}, "is not an assessment"),
        ({"name": " "}, "the name of the host is blank"),
        ({"name": "a", "host": "text"}, "choose one"),
        ({"text": "body"}, "no column 'body'"),
        ({"query": "SELECT 1"}, "a query is for a database"),
        ({"columns": "none.toml"}, "none.toml cannot be read"),
        ({"model": "none"}, "none is not a folder"),
        ({"policy": "none.toml"}, "none.toml cannot be read"),
    ],
)
def test_settings_that_cannot_be_used(settings, said) -> None:
    with pytest.raises(HostriskError, match=r"^[^\n]+$") as error:
        assess(posts(CALM), **settings)
    assert said in str(error.value)


def test_settings_are_refused_before_anything_is_read() -> None:
    def endless():
        raise AssertionError("posts were read")
        yield {}

    for settings in ({"exemplars": -1}, {"as_of": "never"}, {"since": {}}, {"policy": "none"}):
        with pytest.raises(HostriskError):
            assess(endless(), **settings)


# --- policy --------------------------------------------------------------------------------------


def test_a_policy_of_one_s_own(rows, tmp_path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'threshold = 0.9\nlevel = 0.8\nkinds = ["threat"]\n[[rules]]\ntier = "watch"\n'
        'name = "any"\nwhen = ["posts >= 1"]\ntext = "{posts} posts on {host}."\n',
        encoding="utf-8",
    )
    found = assess(rows[:600], policy=path, name="a|b")
    record, host = found.record, only(found)
    assert (record["threshold"], record["threshold_name"], record["level"]) == (0.9, None, 0.8)
    assert record["policy"].startswith("custom@")
    assert {kind["name"] for kind in host["kinds"]} == {"threat"}
    assert host["tier"] == "watch"
    assert host["rules"][0]["text"] == "600 posts on a|b."
    # Nothing was measured of the model at this threshold, so nothing is said.
    assert host["overall"]["prevalence"] is None
    assert "cannot be said" in host["summary"]
    assert [kind["prevalence"] for kind in host["kinds"]] == [None]
    found.write(tmp_path / "report")


def test_labels_count_at_any_threshold(rows, share, tmp_path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("threshold = 0.9\n", encoding="utf-8")
    overall = only(assess(POSTS, LABELS, policy=path, name=NAME, exemplars=0))["overall"]
    assert overall["low"] <= share <= overall["high"]


def test_handles_of_public_bodies_stay_readable(tmp_path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('keep = ["@ann_lee99"]\n', encoding="utf-8")
    (one,) = only(assess(posts(DETAILS), policy=path))["exemplars"]
    assert "@ann_lee99" in one["text"]
    assert "[e-mail]" in one["text"]


def test_a_policy_with_an_unknown_key(tmp_path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("treshold = 0.9\n", encoding="utf-8")
    with pytest.raises(PolicyError, match="unknown key 'treshold'"):
        assess(posts(CALM), policy=path)


# --- since ---------------------------------------------------------------------------------------


def test_what_changed_since_an_earlier_assessment(rows, truth, tmp_path) -> None:
    labels = [{"id": ident, "label": row["violent"]} for ident, row in truth.items()]
    before = assess(rows[:2400], labels, name=NAME)
    path = Path(before.write(tmp_path)["assessment.json"])
    now = assess(rows[3600:], labels, name=NAME, since=path)
    since = now.record["since"]
    assert since["same_terms"] is True
    assert since["from"]["period"] == before.record["period"]
    (host,) = since["hosts"]
    changes = {change["what"]: change for change in host["changes"]}
    assert "more than chance explains" in changes["prevalence"]["text"]
    assert changes["prevalence"]["before"]["prevalence"] == pytest.approx(
        only(before)["overall"]["prevalence"]
    )
    assert now.record["since"] == assess(rows[3600:], labels, name=NAME,
                                         since=before.to_dict()).record["since"]  # fmt: skip
    for page in (now.to_html(), now.to_markdown(), now.to_text()):
        assert "more than chance explains" in page


def test_another_model_is_told(rows) -> None:
    before = {**assess(rows[:200]).to_dict(), "model": "default-000000000000"}
    found = assess(rows[:200], since=before)
    assert found.record["since"]["same_terms"] is False
    assert found.record["since"]["from"]["model"] == "default-000000000000"
    assert "default-000000000000" in found.to_html()


def test_hosts_come_and_go(rows) -> None:
    first = [{**row, "site": "ab"[at % 2]} for at, row in enumerate(rows[:300])]
    second = [{**row, "site": "bc"[at % 2]} for at, row in enumerate(rows[:300])]
    found = assess(second, host="site", since=assess(first, host="site").to_dict())
    texts = {host["host"]: [change["text"] for change in host["changes"]]
             for host in found.record["since"]["hosts"]}  # fmt: skip
    assert texts["a"] == ["is not among the hosts any more"]
    assert texts["c"] == ["is new: the last assessment did not have it"]
    assert set(texts) == {"a", "b", "c"}


# --- settings of what is shown -------------------------------------------------------------------


def test_simultaneous_intervals_are_wider(full, bare) -> None:
    found = assess(POSTS, LABELS, name=NAME, simultaneous=True, exemplars=0)
    assert found.record["simultaneous"] is True
    for wide, narrow in zip(only(found)["weeks"], only(full)["weeks"], strict=True):
        assert wide["prevalence"] == narrow["prevalence"]
        assert wide["low"] <= narrow["low"]
        assert wide["high"] > narrow["high"]
    assert only(found)["overall"] == only(full)["overall"]
    assert "Bonferroni" in found.to_html()
    assert "Bonferroni" not in bare.to_html()


@pytest.mark.parametrize("redacted", [True, False])
def test_details_are_redacted_unless_asked_otherwise(redacted, tmp_path) -> None:
    settings = {} if redacted else {"redacted": False}
    found = assess(posts(DETAILS, CALM), **settings)
    (one,) = only(found)["exemplars"]
    assert one["redacted"] is redacted
    assert one["sha256"] == hashlib.sha256(DETAILS.encode()).hexdigest()
    assert one["marks"]
    for mark in one["marks"]:
        assert one["text"][mark["start"] : mark["end"]] == mark["words"]
    assert one["spans"]
    assert all(0 <= span["start"] < span["end"] <= len(one["text"]) for span in one["spans"])
    for page in (*assert_shown(found, tmp_path), json.dumps(found.record), found.notice("host")):
        assert bool(re.search(r"ann.{0,2}lee", page)) is not redacted
    assert (one["text"] == DETAILS) is not redacted


def test_posts_without_a_date_make_no_week_more(rows) -> None:
    """One week is as good as all weeks at once, whatever else there is."""
    some = [*rows[:300], {**rows[301], "created_at": ""}]
    one, all_at_once = (only(assess(some, simultaneous=which, exemplars=0)) for which in (0, 1))
    assert len(one["weeks"]) == 1
    assert one["weeks"] == all_at_once["weeks"]


def test_no_exemplars(full, tmp_path) -> None:
    found = assess(POSTS, LABELS, name=NAME, exemplars=0)
    assert only(found)["exemplars"] == []
    assert only(found)["urgent"] == only(full)["urgent"] > 5
    assert only(found)["overall"] == only(full)["overall"]
    assert_shown(found, tmp_path)


def test_exemplars_are_the_gravest_posts(full, truth) -> None:
    found = only(full)["exemplars"]
    assert len(found) == 50
    labels = {row["id"]: row["label"] for row in read(LABELS)}
    assert {labels.get(one["id"]) for one in found} == {"1", None}
    first = [one["label"] for one in found]
    assert first == sorted(first, key=lambda label: label != 1)
    people = sum(label == "1" for label in labels.values())
    assert first[:people] == [1] * people
    assert len({one["sha256"] for one in found}) == 50
    for one in found:
        row = truth[one["id"]]
        assert one["sha256"] == hashlib.sha256(row["text"].encode()).hexdigest()
        assert (one["url"], one["time"]) == (row["url"], row["created_at"])
        assert one["urgent"] == (len({mark["mark"] for mark in one["marks"]}) >= 2)


# --- packet --------------------------------------------------------------------------------------


def test_a_packet_is_accepted_and_holds_all(full, tmp_path) -> None:
    path = tmp_path / "packet.zip"
    root = full.write_packet(path)
    found = verify_packet(path, root=root)
    assert (found.ok, found.posts, found.differing) == (True, 50, 0)
    assert found.redacted == sum(one["redacted"] for one in only(full)["exemplars"]) > 0
    assert found.rescored == 50 - found.redacted
    with zipfile.ZipFile(path) as packet:
        assert {"report.html", "report.md", "notice.md", "statements.json"} < set(packet.namelist())
        assert json.loads(packet.read("assessment.json")) == full.record
        assert packet.read("report.html").decode() == full.to_html()
        lines = [json.loads(line) for line in packet.read("posts.jsonl").splitlines()]
    assert {line["id"] for line in lines} == {one["id"] for one in only(full)["exemplars"]}


def test_unredacted_packets_are_scored_again_whole(tmp_path) -> None:
    found = assess(POSTS, LABELS, name=NAME, redacted=False)
    found.write_packet(tmp_path / "packet.zip")
    checked = verify_packet(tmp_path / "packet.zip")
    assert (checked.ok, checked.rescored, checked.redacted) == (True, 50, 0)


@pytest.mark.parametrize("place", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_a_changed_packet_is_refused(full, tmp_path, place) -> None:
    path = tmp_path / "packet.zip"
    full.write_packet(path)
    changed = bytearray(path.read_bytes())
    changed[round(place * (len(changed) - 1))] ^= 1
    path.write_bytes(changed)
    try:
        problems = " ".join(verify_packet(path).problems)
    except InputError as error:
        problems = str(error)
    assert "changed" in problems or "differs" in problems


def test_a_packet_of_several_hosts_has_letters_for_each(rows, tmp_path) -> None:
    found = assess([{**row, "site": "ab"[at % 2]} for at, row in enumerate(rows[:300])],
                   host="site")  # fmt: skip
    found.write_packet(tmp_path / "packet.zip")
    with zipfile.ZipFile(tmp_path / "packet.zip") as packet:
        names = packet.namelist()
        letter = packet.read("notice-1.md").decode()
        lines = [json.loads(line) for line in packet.read("posts.jsonl").splitlines()]
    assert {"notice-1.md", "notice-2.md", "statements-1.json", "statements-2.json"} < set(names)
    assert found.record["hosts"][0]["host"] in letter
    assert {line["host"] for line in lines} == {"a", "b"}
    assert verify_packet(tmp_path / "packet.zip").ok
