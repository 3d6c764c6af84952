"""The parts of an assessment one by one: counting, labels, measuring, examples, comparing."""

from __future__ import annotations

import copy
import csv
import hashlib
import itertools
import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hostrisk.decide import resolve_threshold
from hostrisk.errors import InputError
from hostrisk.host import Columns, sample
from hostrisk.host.assessing import assess
from hostrisk.host.changes import compare, read_assessment
from hostrisk.host.exemplars import choose_exemplars, moment
from hostrisk.host.labels import Label, Labels, read_labels, reviewed_sample
from hostrisk.host.measuring import trend_record
from hostrisk.host.scale import STEPS, step_of
from hostrisk.host.source.posts import open_posts
from hostrisk.host.tally import NO_WEEK, Kept, Sums, Tally, week_start
from hostrisk.host.tiers import load_host_policy
from hostrisk.host.trend import ChangePoint, Trend

DEMO = Path(__file__).parents[1] / "data" / "demo"
VIOLENT = "We should hang them all and shoot every one of them"
URGENT = "We will hang every one of them on Saturday at noon, bring your rifles"
CALM = "We baked a cake for the school party"
RUSSIAN = "Сегодня мы испекли пирог для школьного праздника и пошли гулять в парк"


@pytest.fixture(scope="module")
def rows():
    with (DEMO / "host.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def classifier():
    from hostrisk.classifier import load

    return load(policy=load_host_policy().text_policy())


@pytest.fixture(scope="module")
def threshold(classifier):
    return resolve_threshold(classifier.artifact, classifier.policy)


@pytest.fixture
def count(classifier, threshold):
    """Return what counts posts, batches cut into pieces of at most ``rows``."""

    def run(posts, *, rows=None, labels=None, highest=200, threads=1, at=threshold, **columns):
        tally = Tally(classifier, at, labels=labels or {}, highest=highest, threads=threads)
        for batch in open_posts(posts, Columns(**columns)).batches():
            for start in range(0, batch.num_rows, rows or batch.num_rows):
                tally.add(batch.slice(start, rows))
        return tally

    return run


def post(ident, text, time="2025-09-03T10:00:00Z", **more):
    return {"id": str(ident), "text": text, "created_at": time, **more}


def kept(ident, text=CALM, **more):
    values = {
        "host": "host", "id": str(ident), "text": text, "score": 0.9, "flagged": True,
        "time": 0, "url": None, "views": None, "reported": None, "removed": None,
        "kind": None, "targets": (), "label": None,
    }  # fmt: skip
    return Kept(**{**values, **more})


# --- tally: sums ---------------------------------------------------------------------------------


def test_sums_are_those_of_counting_by_hand(rows, count, classifier, threshold) -> None:
    some = rows[:700]
    sums = count(some).sums
    weeks = Counter()
    scores = dict.fromkeys(sums, 0.0)
    flagged, views = Counter(), Counter()
    for row, score in zip(some, classifier.score([row["text"] for row in some]), strict=True):
        day = datetime.fromisoformat(row["created_at"]).date()
        week = (day - datetime(1969, 12, 29).date()).days // 7  # noqa: DTZ001
        key = ("host", week)
        weeks[key] += 1
        scores[key] += score
        flagged[key] += score >= threshold
        views[key] += int(row["views"])
    assert {key: found.posts for key, found in sums.items()} == weeks
    assert {key: found.flagged for key, found in sums.items()} == flagged
    assert {key: found.views for key, found in sums.items()} == views
    assert {key: found.score for key, found in sums.items()} == pytest.approx(scores)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_nothing_hangs_on_where_batches_end(rows, count, size) -> None:
    some = [{**row, "site": "ab"[at % 2]} for at, row in enumerate(rows[300:600])]
    labels = {(None, row["id"]): int(row["violent"]) for row in some[::5]}
    whole = count(some, labels=labels, host="site", highest=5)
    parts = count(some, rows=size, labels=labels, host="site", highest=5)
    assert parts.hosts == whole.hosts == ["a", "b"]
    for key, sums in whole.sums.items():
        assert parts.sums[key] == pytest.approx(sums)
        host, week = key
        assert (parts.weeks(host)[week][1] == whole.weeks(host)[week][1]).all()
    assert (parts.kinds, parts.targets) == (whole.kinds, whole.targets)
    assert parts.reviewed == whole.reviewed
    assert (parts.first, parts.last) == (whole.first, whole.last)
    for host in "ab":
        assert parts.highest(host) == whole.highest(host)
        for own, other in zip(parts.followed(host), whole.followed(host), strict=True):
            np.testing.assert_array_equal(own, other)


def test_threads_change_nothing(rows, count) -> None:
    assert count(rows[:300], threads=2).sums == count(rows[:300]).sums


def test_steps_count_every_post_once(rows, count, classifier) -> None:
    tally = count(rows[:200])
    total = sum(steps for host in tally.hosts for _, steps in tally.weeks(host).values())
    assert total.shape == (STEPS,)
    scores = np.array(classifier.score([row["text"] for row in rows[:200]]))
    np.testing.assert_array_equal(total, np.bincount(step_of(scores), minlength=STEPS))


@pytest.mark.parametrize(
    ("time", "monday"),
    [
        ("2025-09-01T00:00:00Z", "2025-09-01"),
        ("2025-09-07T23:59:59.999999Z", "2025-09-01"),
        ("2025-09-08T00:00:00Z", "2025-09-08"),
        ("2025-09-08T01:00:00+02:00", "2025-09-01"),
        ("1990-01-01T00:00:00Z", "1990-01-01"),
        ("2024-02-29T12:00:00Z", "2024-02-26"),
        ("2025-01-01T12:00:00Z", "2024-12-30"),
    ],
)
def test_weeks_begin_on_monday_in_utc(count, time, monday) -> None:
    ((_, week),) = count([post(1, CALM, time)]).sums
    assert week_start(week) == monday
    assert datetime.fromisoformat(monday).isoweekday() == 1


def test_undated_posts_are_in_no_week(count) -> None:
    tally = count([post(1, CALM, ""), post(2, VIOLENT, None), post(3, CALM)])
    assert tally.sums["host", NO_WEEK].posts == 2
    assert tally.sums["host", NO_WEEK].flagged == 1
    assert sum(sums.posts for sums in tally.sums.values()) == 3
    assert count([post(1, CALM, "")]).first is None


@pytest.mark.parametrize("blank", [None, "", " \n\t"])
def test_posts_without_text_score_nothing(count, blank) -> None:
    (sums,) = count([post(1, blank), post(2, CALM)]).sums.values()
    (alone,) = count([post(2, CALM)]).sums.values()
    assert (sums.posts, sums.textless, sums.flagged) == (2, 1, 0)
    assert (sums.score, sums.square) == (alone.score, alone.square)
    # Not even where everything is flagged: there is nothing in it to flag.
    (sums,) = count([post(1, blank), post(2, CALM)], at=0.0).sums.values()
    assert sums.flagged == 1


def test_a_score_at_the_threshold_is_flagged(count, classifier) -> None:
    (sums,) = count([post(1, VIOLENT)], at=classifier.score(VIOLENT)).sums.values()
    assert sums.flagged == 1


def test_posts_in_languages_that_the_model_does_not_know_are_counted(count) -> None:
    (sums,) = count([post(1, RUSSIAN), post(2, RUSSIAN), post(3, CALM)]).sums.values()
    assert sums.unsupported == 2


def test_views_are_summed_and_unknown_ones_are_none(count) -> None:
    posts = [post(1, VIOLENT, views=3), post(2, CALM, views=10), post(3, CALM, views=None)]
    (sums,) = count(posts).sums.values()
    assert (sums.views, sums.views_square, sums.views_flagged) == (13, 109, 3)


def test_views_beyond_what_a_float_holds_exactly(count) -> None:
    (sums,) = count([post(1, VIOLENT, views=2**62 + 1)]).sums.values()
    assert sums.views == float(2**62)


def test_moments_of_the_first_and_last_post(count) -> None:
    tally = count(
        [post(1, CALM, "2025-09-03T10:00:00Z"), post(2, CALM, "2024-01-01T00:00:00Z"),
         post(3, CALM, "")],
        rows=1,
    )  # fmt: skip
    assert moment(tally.first) == "2024-01-01T00:00:00Z"
    assert moment(tally.last) == "2025-09-03T10:00:00Z"


# --- tally: kinds, targets, posts that are kept --------------------------------------------------


def test_kinds_and_targets_are_those_of_single_decisions(rows, count, classifier) -> None:
    some = [row for row in rows if row["violent"] == "1"][:60]
    tally = count(some)
    decisions = [one for one in classifier.decide([row["text"] for row in some]) if one.flagged]
    kinds = sum(tally.kinds.values(), Counter())
    targets = sum(tally.targets.values(), Counter())
    assert kinds == Counter(one.kind for one in decisions)
    assert targets == Counter(name for one in decisions for name in one.targets)
    assert kinds.total() == sum(sums.flagged for sums in tally.sums.values()) > 20


def test_highest_scores_are_kept_and_sorted(rows, count) -> None:
    everything = count(rows[:900], highest=10_000).highest("host")
    assert [one.score for one in everything] == sorted(
        (one.score for one in everything), reverse=True
    )
    assert all(one.flagged and one.label is None for one in everything)
    assert count(rows[:900], highest=7).highest("host") == everything[:7]
    assert count(rows[:900], highest=0).highest("host") == []


def test_of_equal_scores_the_smaller_ids_stay_whatever_the_order(count) -> None:
    names = ["p1", "p10", "p100", "p2", "q"]
    for order in itertools.permutations(names):
        tally = count([post(name, VIOLENT) for name in order], rows=2, highest=2)
        assert [one.id for one in tally.highest("host")] == ["p1", "p10"]


def test_kept_posts_hold_what_was_said_of_them(count, classifier) -> None:
    row = post(
        1, VIOLENT, "2025-09-03T10:00:00.5Z", url="https://h.example/1", views="7",
        reported_at="2025-09-03T11:00:00Z", removed_at="2025-09-04T00:00:00Z",
    )  # fmt: skip
    (one,) = count([row]).highest("host")
    decision = classifier.decide(VIOLENT)
    assert (one.host, one.id, one.text, one.url) == ("host", "1", VIOLENT, "https://h.example/1")
    assert (one.score, one.kind, one.targets) == (decision.score, decision.kind, decision.targets)
    assert (one.views, one.flagged, one.label) == (7, True, None)
    assert [moment(at) for at in (one.time, one.reported, one.removed)] == [
        "2025-09-03T10:00:00Z", "2025-09-03T11:00:00Z", "2025-09-04T00:00:00Z",
    ]  # fmt: skip
    assert one.time % 1_000_000 == 500_000


def test_hosts_are_kept_apart(count) -> None:
    posts = [post(1, VIOLENT, site="b"), post(1, CALM, site="a"), post(2, VIOLENT, site="a")]
    tally = count(posts, host="site")
    assert tally.hosts == ["b", "a"]
    assert [one.id for one in tally.highest("a")] == ["2"]
    assert {key[0]: sums.posts for key, sums in tally.sums.items()} == {"a": 2, "b": 1}
    assert len(tally.followed("b").created) == 1


def test_followed_are_posts_of_which_something_is_known(count) -> None:
    posts = [
        post(1, CALM),
        post(2, CALM, reported_at="2025-09-03T11:00:00Z"),
        post(3, CALM, removed_at="2025-09-03T12:00:00Z"),
        post(4, VIOLENT),
        post(5, CALM),
        post(6, CALM, ""),
    ]
    found = count(posts, labels={(None, "5"): 0, (None, "4"): 1}).followed("host")
    made = np.datetime64("2025-09-03T10:00:00", "us")
    np.testing.assert_array_equal(found.created, [made] * 4)
    assert np.isnat(found.reported).tolist() == [False, True, True, True]
    assert found.removed[1] == np.datetime64("2025-09-03T12:00:00")
    assert found.flagged.tolist() == [False, False, True, False]
    assert found.label.tolist() == [-1, -1, 1, 0]
    assert found.label.dtype == np.int8
    assert len(count([post(1, CALM)]).followed("host").created) == 0


def test_labels_by_host_and_without_and_in_a_column(count) -> None:
    posts = [post(1, CALM, site="a", said="1"), post(1, CALM, site="b", said=""),
             post(2, CALM, site="b", said="0")]  # fmt: skip
    named = count(posts, labels={("b", "1"): 1}, host="site")
    assert [(one.host, one.id, one.label) for one in named.reviewed] == [("b", "1", 1)]
    nameless = count(posts, labels={(None, "1"): 0}, host="site")
    assert [(one.host, one.label) for one in nameless.reviewed] == [("a", 0), ("b", 0)]
    column = count(posts, host="site", label="said")
    assert [(one.host, one.id, one.label) for one in column.reviewed] == [
        ("a", "1", 1), ("b", "2", 0),
    ]  # fmt: skip


def test_reviewed_posts_need_not_be_flagged(count) -> None:
    tally = count([post(1, CALM)], labels={(None, "1"): 1})
    (one,) = tally.reviewed
    assert (one.flagged, one.kind, one.label) == (False, None, 1)
    assert tally.highest("host") == []


def test_sums_have_a_name_for_each_figure(count) -> None:
    (sums,) = count([post(1, CALM)]).sums.values()
    assert isinstance(sums, Sums)
    assert len(sums) == len(Sums._fields) == 9


# --- labels: reading -----------------------------------------------------------------------------


def test_labels_of_a_plain_table() -> None:
    labels = read_labels([{"id": 1, "label": 1}, {"id": "2", "label": "0"}, {"id": 3, "label": ""}])
    assert labels.by_post == {
        (None, "1"): Label(True, None, None, None, "all"),
        (None, "2"): Label(False, None, None, None, "all"),
    }
    assert (labels.unlabeled, labels.drawn, labels.labeled) == (1, {"all": 3}, {"all": 2})


def test_labels_with_everything() -> None:
    row = {"id": "7", "label": "true", "inclusion_probability": "0.25", "stratum": "host 03",
           "host": "a", "kind": "threat", "target": "police,media", "note": "twice"}  # fmt: skip
    labels = read_labels([row], several_hosts=True)
    assert labels.by_post == {
        ("a", "7"): Label(True, "threat", "police,media", 0.25, "host 03"),
    }


def test_the_only_host_of_labels_tells_nothing_where_posts_name_none() -> None:
    rows = [{"id": "1", "label": 1, "host": "a"}, {"id": "2", "label": 0, "host": "a"}]
    assert set(read_labels(rows).by_post) == {(None, "1"), (None, "2")}
    assert set(read_labels(rows, several_hosts=True).by_post) == {("a", "1"), ("a", "2")}
    rows[1]["host"] = "b"
    assert set(read_labels(rows).by_post) == {("a", "1"), ("b", "2")}


def test_ids_are_written_as_those_of_posts_are() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1, 2, None], "label": [1.0, 0.0, float("nan")]})
    assert set(read_labels(frame.iloc[:2]).by_post) == {(None, "1"), (None, "2")}
    frame = pandas.DataFrame({"id": [1, 2, 3], "label": [1, None, 0], "host": [None, None, None]})
    labels = read_labels(frame)
    assert set(labels.by_post) == {(None, "1"), (None, "3")}
    assert labels.unlabeled == 1


def test_missing_values_of_any_kind_are_missing() -> None:
    nothing = float("nan")
    row = {"id": 1, "label": 1, "inclusion_probability": nothing, "stratum": nothing,
           "host": None, "kind": "", "target": nothing}  # fmt: skip
    assert read_labels([row]).by_post == {(None, "1"): Label(True, None, None, None, "all")}


def test_labels_from_files(tmp_path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,label,kind\n007,1,wish\n8,0,\n9,,\n", encoding="utf-8")
    labels = read_labels(path)
    assert set(labels.by_post) == {(None, "007"), (None, "8")}
    assert labels.by_post[None, "007"].kind == "wish"
    assert labels.unlabeled == 1
    lines = path.with_suffix(".jsonl")
    lines.write_text('{"id": "a", "label": true}\n{"id": "b", "label": null}\n', encoding="utf-8")
    assert read_labels(lines).by_post == {(None, "a"): Label(True, None, None, None, "all")}


def test_posts_of_near_chances_are_one_stratum() -> None:
    rows = [
        {"id": at, "label": 0, "inclusion_probability": chance}
        for at, chance in enumerate([1.0, 0.99, 0.5, 0.1, 0.1001])
    ]
    found = [label.stratum for label in read_labels(rows).by_post.values()]
    assert found[0] == found[1] != found[2] != found[3] == found[4]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no row of the labels has a label"),
        ([{"id": 1, "label": None}, {"id": 2, "label": ""}], "no row of the labels has a label"),
        ([{"id": 1, "label": 2}], "labels, row 1: the label is 2; it must be 0 or 1"),
        ([{"id": 1, "label": 1}, {"id": 2, "label": "yes"}], "labels, row 2: the label is 'yes'"),
        ([{"id": 1, "label": 0.5}], "the label is 0.5"),
        ([{"id": 1, "label": 1}, {"id": 1, "label": 1}], "labels, row 2: the post '1' is there"),
        ([{"id": 1, "label": 1}, {"id": 1.0, "label": 0}], "is there twice"),
        ([{"id": None, "label": 1}], "labels, row 1 has no id"),
        ([{"id": " ", "label": 1}], "labels, row 1 has no id"),
        ([{"id": 1}], "no column 'label'"),
        ([{"label": 1}], "no column 'id'"),
        ([{"id": "\ud800", "label": 1}], "half a character"),
        ([{"id": 1, "label": 1, "kind": "\ud800"}], "half a character"),
        (5, "int cannot be read as labels"),
        ("labels", "has no extension"),
        ("labels.csv", "does not exist"),
    ],
)
def test_labels_that_cannot_be_used(rows, said) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+$") as error:
        read_labels(rows)
    assert said in str(error.value)


@pytest.mark.parametrize("chance", [0, 2, -0.1, 1.001, "x", "0,5", 1e-320, float("inf"), [0.5]])
def test_impossible_chances(chance) -> None:
    with pytest.raises(InputError, match="above 0 and at most 1"):
        read_labels([{"id": 1, "label": 1, "inclusion_probability": chance}])


def test_chances_of_some_posts_alone() -> None:
    rows = [{"id": 1, "label": 1, "inclusion_probability": 0.5}, {"id": 2, "label": 0}]
    with pytest.raises(InputError, match="the post '2' has no inclusion probability"):
        read_labels(rows)
    rows[1]["label"] = None  # nothing is said of it anyway
    assert read_labels(rows).unlabeled == 1


def test_values_are_shortened_in_messages() -> None:
    with pytest.raises(InputError) as error:
        read_labels([{"id": 1, "label": "y" * 10_000}])
    assert len(str(error.value)) < 200


# --- labels: weights -----------------------------------------------------------------------------


def weigh(posts, table, **more):
    labels = read_labels(table)
    found = [one for one in posts if labels.find(one) is not None]
    count = more.pop("population", len(posts))
    return reviewed_sample(found, labels, population=count, texts=more.pop("texts", count), **more)


def test_without_chances_each_stands_for_the_same_number() -> None:
    posts = [kept(at) for at in range(10)]
    found = weigh(posts, [{"id": 0, "label": 1}, {"id": 1, "label": 0}])
    assert found.weight.tolist() == [5.0, 5.0]
    assert found.label.tolist() == [True, False]
    assert found.uniform


def test_each_stands_for_one_over_its_chance() -> None:
    posts = [kept(at, score=at / 10) for at in range(4)]
    found = weigh(posts, [
        {"id": at, "label": at == 3, "inclusion_probability": chance, "stratum": name}
        for at, (chance, name) in enumerate([(0.5, "a"), (0.5, "a"), (0.1, "b"), (1.0, "c")])
    ], population=15)  # fmt: skip
    assert found.weight.tolist() == [2, 2, 10, 1]
    assert found.stratum.tolist() == [0, 0, 1, 2]
    assert found.score.tolist() == [0, 0.1, 0.2, 0.3]
    assert not found.uniform


def test_rows_without_label_are_made_up_for_in_their_stratum() -> None:
    posts = [kept(at) for at in range(5)]
    table = [
        {"id": at, "label": label, "inclusion_probability": chance, "stratum": name}
        for at, (label, chance, name) in enumerate(
            [(1, 0.5, "a"), ("", 0.5, "a"), (0, 0.25, "b"), (0, 0.25, "b"), ("", 0.25, "b")]
        )
    ]
    found = weigh(posts, table, population=16)
    assert found.weight.tolist() == [4, 6, 6]
    assert found.weight.sum() == 2 / 0.5 + 3 / 0.25


def test_labels_of_other_posts_change_no_weight() -> None:
    # Posts of another time or host were drawn from others, which those here do not stand for.
    table = [
        {"id": at, "label": 0, "inclusion_probability": chance, "stratum": "a"}
        for at, chance in enumerate([0.5, 0.5, 0.25, 0.25])
    ]
    assert weigh([kept(0), kept(2)], table, population=9).weight.tolist() == [2, 4]


def test_chances_of_one_that_cannot_be_true_are_those_of_a_plain_sample() -> None:
    table = [{"id": at, "label": at == 0, "inclusion_probability": 1} for at in range(5)]
    posts = [kept(at) for at in range(5)]
    everything = weigh(posts, table, population=5)
    assert (everything.uniform, everything.weight.tolist()) == (False, [1] * 5)
    without_text = weigh(posts, table, population=8, texts=5)
    assert (without_text.uniform, without_text.weight.tolist()) == (False, [1] * 5)
    few = weigh(posts, table, population=500)
    assert (few.uniform, few.weight.tolist()) == (True, [100] * 5)


def test_a_post_stands_for_its_views() -> None:
    posts = [kept(0, views=30), kept(1, views=None)]
    table = [{"id": 0, "label": 1}, {"id": 1, "label": 0}]
    assert weigh(posts, table).value.tolist() == [1, 1]
    assert weigh(posts, table, views=True).value.tolist() == [30, 0]


def test_no_reviewed_post() -> None:
    found = reviewed_sample([], Labels.none(), population=10, texts=10)
    assert [len(part) for part in found[:5]] == [0] * 5


def test_a_sample_stands_for_all_posts_with_text(rows) -> None:
    some = rows[:1500]
    drawn = sample(some, 200, seed=3).to_pylist()
    labels = read_labels([{**row, "label": 0} for row in drawn])
    posts = [kept(row["id"]) for row in drawn]
    found = reviewed_sample(posts, labels, population=1500, texts=1500)
    assert found.weight.sum() == pytest.approx(sum(bool(row["text"].strip()) for row in some))


def test_hosts_share_no_stratum_by_chance(rows) -> None:
    """Posts of equal chance on two hosts must not be taken for drawn and missing on the other."""
    some = [{**row, "site": "ab"[at % 2]} for at, row in enumerate(rows[:2000])]
    truth = {row["id"]: row["violent"] for row in some}
    drawn = sample(some, 400, seed=1, host="site").to_pylist()
    table = [{**row, "label": truth[row["id"]]} for row in drawn]
    bare = [{key: row[key] for key in row if key != "stratum"} for row in table]
    with_strata, without = (
        assess(some, labels, host="site", exemplars=0).record["hosts"] for labels in (table, bare)
    )
    for one, other in zip(with_strata, without, strict=True):
        assert one["host"] == other["host"]
        assert one["overall"]["prevalence"] == pytest.approx(other["overall"]["prevalence"])


# --- measuring -----------------------------------------------------------------------------------


def weekly(counts, of=60, **more):
    """Make posts by week, so many of them violent."""
    start = datetime(2025, 6, 2, 12, tzinfo=UTC)
    return [
        {"id": f"{week}-{at}", "text": VIOLENT if at < count else f"{CALM} {at}",
         "created_at": (start + timedelta(weeks=week)).isoformat(),
         "said": int(at < count), **more}
        for week, count in enumerate(counts)
        for at in range(of)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def rising():
    """Posts that all were reviewed, and that become more violent."""
    posts = weekly([1, 1, 2, 2, 1, 9, 9, 10, 8, 10])
    return assess(posts, columns=Columns(label="said"), exemplars=3).record["hosts"][0]


def test_weeks_come_in_order_with_their_posts(rising) -> None:
    starts = [week["start"] for week in rising["weeks"]]
    assert starts == sorted(starts)
    assert starts[0] == "2025-06-02"
    assert [week["posts"] for week in rising["weeks"]] == [60] * 10
    assert [week["flagged"] for week in rising["weeks"]] == [1, 1, 2, 2, 1, 9, 9, 10, 8, 10]


def test_intervals_hold_the_estimate_and_stay_within_0_and_1(rising) -> None:
    for found in (rising["overall"], *rising["weeks"], *rising["kinds"], *rising["targets"]):
        assert 0 <= found["low"] <= found["prevalence"] <= found["high"] <= 1


def test_weeks_follow_what_people_found(rising) -> None:
    found = [week["prevalence"] for week in rising["weeks"]]
    assert np.mean(found) == pytest.approx(rising["overall"]["prevalence"], abs=0.005)
    for share, count in zip(found, [1, 1, 2, 2, 1, 9, 9, 10, 8, 10], strict=True):
        assert share == pytest.approx(count / 60, abs=0.02)


def test_the_trend_rises_and_changes_where_it_did(rising) -> None:
    trend = rising["trend"]
    assert trend["of"] == "violent posts"
    assert trend["ratio"] > trend["low"] > 1
    assert trend["sentence"].startswith("rose from ")
    assert trend["change_point"]["date"] == "2025-07-07"
    assert trend["change_point"]["p_value"] < 0.01
    assert trend["change_point"]["after"] > 4 * trend["change_point"]["before"]


def test_all_posts_of_one_level_show_no_trend() -> None:
    host = assess(weekly([3] * 8), columns=Columns(label="said"), exemplars=0).record["hosts"][0]
    assert host["trend"]["low"] < 1 < host["trend"]["high"]
    assert "which chance alone can explain" in host["trend"]["sentence"]
    assert host["trend"]["p_adjusted"] > 0.05


def test_a_trend_that_falls() -> None:
    posts = weekly([12, 11, 12, 6, 3, 1, 1, 0])
    host = assess(posts, columns=Columns(label="said"), exemplars=0).record["hosts"][0]
    assert host["trend"]["high"] < 1
    assert host["trend"]["sentence"].startswith("fell from ")


@pytest.mark.parametrize("alone", [CALM, VIOLENT])
def test_a_week_of_one_post_does_not_carry_the_trend(rising, alone) -> None:
    counts = [1, 1, 2, 2, 1, 9, 9, 10, 8, 10]
    last = {**weekly([0] * 11, of=1)[-1], "text": alone, "said": int(alone == VIOLENT)}
    host = assess([*weekly(counts), last], columns=Columns(label="said")).record["hosts"][0]
    assert host["weeks"][-1]["posts"] == 1
    assert host["weeks"][-1]["high"] - host["weeks"][-1]["low"] > 0.2
    assert host["trend"]["low"] > 1
    assert host["trend"]["low"] < rising["trend"]["ratio"] < host["trend"]["high"]


@pytest.mark.parametrize("weeks", [1, 2, 3])
def test_few_weeks_have_no_trend(weeks) -> None:
    host = assess(weekly([2] * weeks, of=20), exemplars=0).record["hosts"][0]
    assert host["trend"] is None
    assert len(host["weeks"]) == weeks


def test_without_labels_the_trend_is_that_of_flagged_posts() -> None:
    host = assess(weekly([1, 1, 2, 2, 1, 9, 9, 10, 8, 10]), exemplars=0).record["hosts"][0]
    assert host["trend"]["of"] == "flagged posts"
    assert "(flagged posts)" in host["trend"]["sentence"]
    assert "The share flagged rose" in host["summary"]


def test_kinds_without_labels_are_parts_of_the_whole(rows) -> None:
    host = assess(rows[:2500], exemplars=0).record["hosts"][0]
    assert sum(kind["flagged"] for kind in host["kinds"]) == host["overall"]["flagged"]
    assert sum(kind["prevalence"] for kind in host["kinds"]) == pytest.approx(
        host["overall"]["prevalence"]
    )
    for kind in host["kinds"]:
        assert kind["low"] <= kind["prevalence"] <= kind["high"] <= host["overall"]["high"]
        assert kind["method"] == "model-based"


def test_kinds_with_labels_add_up_to_what_people_found(rows) -> None:
    labels = [
        {"id": row["id"], "label": row["violent"], "kind": row["kind"], "target": row["target"],
         "inclusion_probability": 0.5 if row["violent"] == "1" else 0.25}
        for row in rows[:1500:3]
    ]  # fmt: skip
    host = assess(rows[:1500], labels, exemplars=0).record["hosts"][0]
    assert host["overall"]["method"] == "reviewed sample"
    assert sum(kind["positives"] for kind in host["kinds"]) == host["overall"]["positives"] > 3
    assert sum(kind["prevalence"] for kind in host["kinds"]) == pytest.approx(
        host["overall"]["prevalence"]
    )


def test_the_kinds_of_people_count_before_those_of_the_model() -> None:
    posts = [post(at, VIOLENT if at < 10 else CALM) for at in range(60)]
    labels = [
        {"id": at, "label": int(at < 10), "kind": "wish" if at < 9 else "",
         "target": "athlete; media" if at < 9 else ""}
        for at in range(60)
    ]  # fmt: skip
    host = assess(posts, labels, exemplars=0).record["hosts"][0]
    positives = {kind["name"]: kind["positives"] for kind in host["kinds"]}
    # The model's are still listed with the posts that it flagged.
    assert positives == {"wish": 9, "incitement": 1}
    flagged = {kind["name"]: kind["flagged"] for kind in host["kinds"]}
    assert flagged == {"wish": 0, "incitement": 10}
    targets = {target["name"]: target["positives"] for target in host["targets"]}
    assert targets["athlete"] == targets["media"] == 9
    assert targets["general"] == 1


def test_groups_come_most_common_first(rows) -> None:
    host = assess(rows[:2000], exemplars=0).record["hosts"][0]
    for groups in (host["kinds"], host["targets"]):
        found = [group["prevalence"] for group in groups]
        assert found == sorted(found, reverse=True)


def test_groups_that_few_posts_are_of_have_no_trend(rows) -> None:
    host = assess(rows, exemplars=0).record["hosts"][0]
    groups = [*host["kinds"], *host["targets"]]
    assert {group["trend"] is not None for group in groups} == {True, False}
    for group in groups:
        assert (group["trend"] is not None) == (group["flagged"] >= 20)


def test_views_weigh_posts() -> None:
    posts = [post(at, VIOLENT if at < 3 else CALM, views=900 if at < 3 else 10, said=int(at < 3))
             for at in range(60)]  # fmt: skip
    host = assess(posts, columns=Columns(label="said"), exemplars=0).record["hosts"][0]
    assert host["overall"]["prevalence"] == pytest.approx(0.05)
    assert host["views"]["prevalence"] == pytest.approx(2700 / (2700 + 570))
    assert (host["views"]["views"], host["views"]["flagged_views"]) == (3270, 2700)
    assert host["views"]["posts"] == 60


def test_views_that_are_nowhere_known() -> None:
    posts = [post(at, CALM) for at in range(5)]
    assert assess(posts, exemplars=0).record["hosts"][0]["views"] is None
    assert assess([{**one, "views": 0} for one in posts]).record["hosts"][0]["views"] is None


def make_trend(**more):
    values = {
        "ratio": 2.6, "low": 1.9, "high": 3.6, "p_value": 0.001, "weeks": 12, "start": 0.0021,
        "end": 0.0055, "change_point": ChangePoint(1, 0.002, 0.005, 0.003),
    }  # fmt: skip
    return Trend(**{**values, **more})


STARTS = ["2020-11-02", "2020-11-09", "2020-11-16", "2020-11-23"]


def test_a_trend_in_words() -> None:
    found = trend_record(make_trend(), STARTS, 0.004, of="violent posts", level=0.95)
    assert found["sentence"] == (
        "rose from 21 to 55 per 10,000 posts over 12 weeks (ratio 2.6, 95% interval 1.9 to 3.6)"
    )
    assert found["change_point"] == {
        "date": "2020-11-09", "before": 0.002, "after": 0.005, "p_value": 0.003,
    }  # fmt: skip
    assert (found["from"], found["to"], found["p_adjusted"]) == (0.0021, 0.0055, 0.004)


def test_a_trend_counts_by_its_corrected_p_value() -> None:
    trend = make_trend(p_value=0.03)
    sure = trend_record(trend, STARTS, None, of="violent posts", level=0.95)
    corrected = trend_record(trend, STARTS, 0.2, of="violent posts", level=0.95)
    assert sure["sentence"].startswith("rose from")
    assert corrected["sentence"].startswith("went from")
    strict = trend_record(trend, STARTS, 0.03, of="flagged posts", level=0.99)
    assert strict["sentence"].endswith(
        "over 12 weeks (flagged posts), which chance alone can explain (99% interval 1.9 to 3.6)"
    )
    assert trend_record(None, STARTS, None, of="violent posts", level=0.95) is None


# --- exemplars -----------------------------------------------------------------------------------


def choose(posts, classifier, table=None, **more):
    labels = None if table is None else read_labels(table)
    return choose_exemplars(posts, labels, classifier, **{"most": 50, **more})


def test_people_s_labels_come_first_then_urgent_posts_then_scores(classifier) -> None:
    posts = [
        kept("low", f"{VIOLENT} low", score=0.5), kept("high", f"{VIOLENT} high", score=0.99),
        kept("urgent", URGENT, score=0.4), kept("read", f"{CALM} read", score=0.1, flagged=False),
        kept("harmless", f"{VIOLENT} said nobody", score=0.999),
    ]  # fmt: skip
    table = [{"id": "read", "label": 1}, {"id": "harmless", "label": 0}]
    shown, urgent = choose(posts, classifier, table)
    assert [one["id"] for one in shown] == ["read", "urgent", "high", "low"]
    assert [one["label"] for one in shown] == [1, None, None, None]
    assert urgent == 1
    assert [one["id"] for one in choose(posts, classifier)[0]][:2] == ["urgent", "harmless"]


def test_as_many_are_shown_as_asked_and_urgent_ones_all_counted(classifier) -> None:
    posts = [kept(at, f"{URGENT} number {at}") for at in range(6)]
    for most in (0, 1, 4, 100):
        shown, urgent = choose(posts, classifier, most=most)
        assert len(shown) == min(most, 6)
        assert urgent == 6


def test_urgent_posts_that_are_gone_are_not_counted(classifier) -> None:
    posts = [kept(1, URGENT), kept(2, f"{URGENT} again", removed=5)]
    shown, urgent = choose(posts, classifier)
    assert [one["urgent"] for one in shown] == [True, True]
    assert urgent == 1


def test_of_equal_texts_one_is_shown(classifier) -> None:
    posts = [kept("b", VIOLENT, score=0.9), kept("a", VIOLENT, score=0.9), kept("c", URGENT)]
    assert sorted(one["id"] for one in choose(posts, classifier)[0]) == ["a", "c"]


DETAILS = "Write to ann.lee@example.org or @ann_lee99: we will shoot them all on Saturday at noon"


@pytest.mark.parametrize("redacted", [True, False])
def test_places_lie_on_the_text_that_is_shown(classifier, redacted) -> None:
    posts = [kept(1, DETAILS), kept(2, f"\U0001f52a\U0001f52a é {URGENT}")]
    for one in choose(posts, classifier, redacted=redacted)[0]:
        text = one["text"]
        assert one["marks"]
        assert one["spans"]
        for mark in one["marks"]:
            assert text[mark["start"] : mark["end"]] == mark["words"]
        for span in one["spans"]:
            assert 0 <= span["start"] < span["end"] <= len(text)
        assert "noon" in {word for mark in one["marks"] for word in mark["words"].split()}
        assert "shoot" in text or "hang" in text


def test_places_move_with_what_is_redacted(classifier) -> None:
    (hidden,), _ = choose([kept(1, DETAILS)], classifier)
    (shown,), _ = choose([kept(1, DETAILS)], classifier, redacted=False)
    assert [(mark["mark"], mark["words"]) for mark in hidden["marks"]] == [
        (mark["mark"], mark["words"].replace("@ann_lee99", "[@name]")) for mark in shown["marks"]
    ]
    words = [
        [one["text"][span["start"] : span["end"]] for span in one["spans"]]
        for one in (hidden, shown)
    ]
    details = ("ann", "example", "lee", "[", "@")
    plain = [[word for word in each if not any(part in word for part in details)] for each in words]
    assert plain[0] == plain[1]
    assert len(plain[0]) > 2


def test_details_are_redacted_and_the_hash_is_of_the_whole_text(classifier) -> None:
    (hidden,), _ = choose([kept(1, DETAILS)], classifier)
    (shown,), _ = choose([kept(1, DETAILS)], classifier, redacted=False)
    assert hidden["text"] == (
        "Write to [e-mail] or [@name]: we will shoot them all on Saturday at noon"
    )
    assert shown["text"] == DETAILS
    assert (hidden["redacted"], shown["redacted"]) == (True, False)
    digest = hashlib.sha256(DETAILS.encode()).hexdigest()
    assert hidden["sha256"] == shown["sha256"] == digest
    assert "ann" not in json.dumps(hidden)


def test_a_text_without_details_is_not_redacted(classifier) -> None:
    (one,), _ = choose([kept(1, VIOLENT)], classifier)
    assert one["redacted"] is False
    assert one["text"] == VIOLENT


def test_handles_of_public_bodies_stay(classifier) -> None:
    (one,), _ = choose([kept(1, DETAILS)], classifier, keep=("ann_lee99",))
    assert "@ann_lee99" in one["text"]
    assert "[e-mail]" in one["text"]


def test_strong_spans_are_listed_and_faint_ones_not(classifier) -> None:
    (one,), _ = choose([kept(1, f"{CALM} and {VIOLENT} on a quiet day by the river")], classifier)
    weights = [abs(span["weight"]) for span in one["spans"]]
    assert min(weights) > 0.1 * max(weights)
    words = {one["text"][span["start"] : span["end"]] for span in one["spans"]}
    assert any("hang" in word or "shoot" in word for word in words)


def test_moments() -> None:
    assert moment(None) is None
    assert moment(0) == "1970-01-01T00:00:00Z"
    assert moment(-1) == "1969-12-31T23:59:59Z"
    assert moment(1_609_459_199_999_999) == "2020-12-31T23:59:59Z"


# --- changes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record():
    # As JSON gives it back.
    return json.loads(json.dumps(assess(weekly([1, 1, 2, 2, 5], of=40), name="a").to_dict()))


def test_nothing_changed(record) -> None:
    found = compare(record, record)
    assert found["hosts"] == [{"host": "a", "changes": []}]
    assert found["same_terms"] is True
    assert found["from"] == {key: record[key] for key in ("period", "model", "version")}


@pytest.mark.parametrize("key", ["model", "policy", "threshold", "level", "version"])
def test_other_terms_are_told(record, key) -> None:
    assert compare({**record, key: "other"}, record)["same_terms"] is False


def changed(record, **host):
    before = copy.deepcopy(record)
    before["hosts"][0].update(host)
    return {one["what"]: one for one in compare(before, record)["hosts"][0]["changes"]}


def test_a_tier_that_changed(record) -> None:
    found = changed(record, tier="act")
    tier = record["hosts"][0]["tier"]
    assert found["tier"] == {
        "what": "tier", "before": "act", "after": tier, "text": f"the tier went from act to {tier}",
    }  # fmt: skip


def test_a_prevalence_that_changed(record) -> None:
    now = record["hosts"][0]["overall"]
    apart = {**now, "prevalence": 0.9, "low": 0.89, "high": 0.91}
    found = changed(record, overall=apart)["prevalence"]
    assert found["before"] == {"prevalence": 0.9, "low": 0.89, "high": 0.91}
    assert found["after"] == {key: now[key] for key in ("prevalence", "low", "high")}
    assert found["text"].endswith("more than chance explains")
    near = changed(record, overall={**now, "low": now["low"] / 2})["prevalence"]
    assert near["text"].endswith("the intervals overlap")
    assert changed(record, overall={**now, "prevalence": None}) == {}


def test_removals_urgent_posts_and_targets_that_changed(record) -> None:
    after = copy.deepcopy(record)
    share = {"posts": 5, "removed": 1, "share": 0.2, "low": 0.1, "high": 0.4}
    after["hosts"][0]["responsiveness"] = {"flagged": share}
    assert compare(record, after)["hosts"][0]["changes"] == []  # it was not known before
    before = copy.deepcopy(after)
    before["hosts"][0]["responsiveness"]["flagged"] = {**share, "share": 0.5, "high": 0.7}
    before["hosts"][0]["urgent"] = 1200
    before["hosts"][0]["targets"] = []
    found = {one["what"]: one for one in compare(before, after)["hosts"][0]["changes"]}
    assert set(found) == {"removed share", "urgent", "targets"}
    assert found["urgent"]["text"] == "urgent posts: 1,200 before, 0 now"
    assert found["targets"]["text"].startswith("new targets: ")
    assert "50%" in found["removed share"]["text"]


def test_hosts_that_are_new_and_hosts_that_are_gone(record) -> None:
    before = copy.deepcopy(record)
    before["hosts"][0]["host"] = "b"
    found = {one["host"]: one["changes"] for one in compare(before, record)["hosts"]}
    assert [change["text"] for change in found["a"]] == [
        "is new: the last assessment did not have it"
    ]
    assert [change["text"] for change in found["b"]] == ["is not among the hosts any more"]
    assert (found["a"][0]["before"], found["b"][0]["after"]) == (None, None)


def test_assessments_are_read_from_dicts_and_files(record, tmp_path) -> None:
    path = tmp_path / "assessment.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    assert read_assessment(record) is record
    assert read_assessment(path) == read_assessment(str(path)) == record


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"id,text\n1,a\n", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not an assessment"),
        (b"5", "is not an assessment"),
        (b"{}", "is not an assessment"),
        (b'{"hosts": []}', "is not an assessment"),
    ],
)
def test_files_that_are_no_assessment(tmp_path, content, said) -> None:
    path = tmp_path / "since.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]+$") as error:
        read_assessment(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_what_is_neither_file_nor_dict(tmp_path) -> None:
    for source in (5, [1], b"x", True):
        with pytest.raises(InputError, match="is not an assessment"):
            read_assessment(source)
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="cannot be read"):
            read_assessment(path)


ODD = [
    None, 5, "x", "\ud800", [1], [None], {"a": 1}, math.nan, math.inf, True, {"flagged": 3},
    {"flagged": {"share": "x"}}, {"prevalence": "x"}, {"prevalence": 0.1}, [{"name": 1}],
]  # fmt: skip


def outcome(before, now):
    """Compare, or return the sentence with which that is refused; never anything else."""
    try:
        read = read_assessment(before)
    except InputError as error:
        return str(error)
    json.dumps(compare(read, now), allow_nan=False, ensure_ascii=False).encode()
    return "compared"


@pytest.mark.parametrize("key", ["host", "tier", "overall", "targets", "responsiveness", "urgent"])
def test_a_damaged_host_is_refused_or_compared(record, key) -> None:
    said = set()
    for value in (*ODD, ...):
        before = copy.deepcopy(record)
        if value is ...:
            del before["hosts"][0][key]
        else:
            before["hosts"][0][key] = value
        said.add(outcome(before, record))
    assert said <= {
        "compared",
        "the dict given as since is not an assessment; give the assessment.json of an earlier one",
    }
    assert len(said) == 2 or key in {"overall", "targets"}


@pytest.mark.parametrize("key", ["model", "version", "period", "hosts"])
def test_a_damaged_assessment_is_refused_or_compared(record, key) -> None:
    said = {
        outcome({**record, key: value}, record) for value in (*ODD, {"start": 5, "end": "x"}, iter)
    }
    assert all(one == "compared" or "is not an assessment" in one for one in said)
    assert len(said) > 1 or key == "hosts"
