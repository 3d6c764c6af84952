"""Responsiveness: against lifelines, against examples worked by hand, and by its properties."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostrisk import InputError, MissingExtraError
from hostrisk.host.responsiveness import measure_responsiveness
from hostrisk.metrics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

START = np.datetime64("2020-11-02T00:00", "us")  # a Monday
NEVER = np.datetime64("NaT", "us")
HOUR = np.timedelta64(1, "h")


def at(hours: Sequence[float | None]) -> np.ndarray:
    """Give moments by hours after the start, None for never."""
    micro = [None if h is None else round(h * 3_600_000_000) for h in hours]
    return np.array([NEVER if m is None else START + np.timedelta64(m, "us") for m in micro],
                    dtype="datetime64[us]")  # fmt: skip


def measure(
    reported: Sequence[float | None] | None,
    removed: Sequence[float | None] | None,
    *,
    until: float,
    created: Sequence[float | None] | None = None,
    flagged: Sequence[bool] | None = None,
    notice: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    size = len(next(given for given in (reported, removed, created) if given is not None))
    found = measure_responsiveness(
        at([0.0] * size if created is None else created),
        None if reported is None else at(reported),
        None if removed is None else at(removed),
        np.ones(size, dtype=bool) if flagged is None else np.array(flagged, dtype=bool),
        as_of=at([until])[0],
        notice=None if notice is None else at([notice])[0],
        **options,
    )
    assert found is not None
    json.dumps(found, allow_nan=False)
    return found


def point(found: dict[str, Any], hours: int) -> dict[str, float]:
    (row,) = (row for row in found["time_to_removal"]["curve"] if row["hours"] == hours)
    return row


# --- by hand -------------------------------------------------------------------------------------


def test_a_small_host_worked_by_hand() -> None:
    found = measure(
        [0, 0, 10, 50, 90, None, 120],
        [5, None, 60, 40, None, 30, 130],
        flagged=[True, True, True, False, False, True, True],
        until=100,
    )
    flagged, reported = found["flagged"], found["reported"]
    assert (flagged["posts"], flagged["removed"], flagged["share"]) == (5, 3, 0.6)
    assert (flagged["low"], flagged["high"]) == pytest.approx(wilson_interval(3, 5))
    # The report at 120 and its removal come after the end; the removal at 40 before the report.
    assert (reported["posts"], reported["flagged"], reported["removed"]) == (5, 3, 3)
    assert reported["handled_24h"] | {"low": 0, "high": 0} == {
        "posts": 4, "handled": 2, "share": 0.5, "low": 0, "high": 0,
    }  # fmt: skip
    both = found["reported_flagged"]
    assert (both["posts"], both["removed"], both["handled_24h"]["handled"]) == (3, 2, 1)
    assert found["violent"] is None
    assert found["notice"] is None


def test_the_curve_of_four_posts_worked_by_hand() -> None:
    # Removed after 2 and 30 hours; seen for 10 and 40 hours without removal.
    found = measure([0, 30, 0, 0], [2, None, 30, None], until=40)
    times = found["time_to_removal"]
    assert (times["from"], times["posts"], times["removed"]) == ("report", 4, 2)
    assert [row["open"] for row in times["curve"]] == pytest.approx([1, 0.75, 0.75, 0.75])
    assert times["median_hours"] == pytest.approx(30.0)  # 0.75 x 1/2 = 0.375
    # Greenwood at 6 hours: log-log error sqrt(1 / (4 x 3)) / -log(0.75)
    spread = 1.959964 * (1 / 12) ** 0.5 / -np.log(0.75)
    low, high = 0.75 ** np.exp(spread), 0.75 ** np.exp(-spread)
    assert (point(found, 6)["low"], point(found, 6)["high"]) == pytest.approx((low, high), abs=1e-6)


def test_a_post_removed_before_its_report_counts_as_gone_at_once() -> None:
    found = measure([50, 50], [10, 60], until=200)
    assert found["reported"]["handled_24h"]["handled"] == 2
    assert point(found, 1)["open"] == 0.5
    assert found["time_to_removal"]["median_hours"] == 0.0
    assert [entry["open"] for entry in found["backlog"]] == [0] * 6  # closed again at 60


def test_without_reports_flagged_posts_count_from_when_they_were_made() -> None:
    found = measure(
        None, [10, 10, None], created=[0, None, 0], flagged=[True, True, True], until=30
    )
    times = found["time_to_removal"]
    assert (times["from"], times["posts"], times["removed"]) == ("post", 2, 1)
    assert found["reported"] is None
    assert found["reported_flagged"] is None
    assert found["backlog"] == []
    assert found["flagged"]["removed"] == 2
    same = measure([None] * 3, [10, 10, None], created=[0, None, 0], until=30)
    assert same["time_to_removal"] == times
    assert same["reported"]["posts"] == 0
    assert same["reported"]["share"] is None
    unflagged = measure(None, [10], flagged=[False], until=30)["time_to_removal"]
    assert (unflagged["posts"], unflagged["curve"], unflagged["median_hours"]) == (0, [], None)


def test_removals_that_nobody_recorded_are_not_taken_for_none() -> None:
    unknown = measure([0, 5], None, until=500, notice=100)
    for key in ("flagged", "reported", "reported_flagged"):
        assert unknown[key]["posts"] == 2
        assert unknown[key]["removed"] is None
        assert unknown[key]["share"] is None
    assert unknown["reported"]["handled_24h"] is None
    assert unknown["time_to_removal"] is None
    assert unknown["backlog"] == []
    assert unknown["notice"] == {
        "date": "2020-11-06", "from": None, "before": None, "after": None,
        "difference": None, "p_value": None,
    }  # fmt: skip
    nothing = measure([0, 5], [None, None], until=500)
    assert nothing["reported"]["removed"] == 0
    assert nothing["reported"]["high"] < 0.7
    assert nothing["time_to_removal"]["median_hours"] is None


def test_without_any_time_there_is_nothing_to_say() -> None:
    made, none, flags = at([0, 1]), at([None, None]), np.array([True, False])
    for reported, removed in ((none, none), (None, none), (none, None), (None, None)):
        assert measure_responsiveness(made, reported, removed, flags, as_of=START) is None
    empty = at([])
    assert measure_responsiveness(empty, empty, empty, flags[:0], as_of=START) is None


def test_posts_of_later_are_left_out() -> None:
    found = measure([0, 300], [5, 301], created=[0, 290], until=100)
    assert found["flagged"]["posts"] == 1
    early = measure([200], [300], until=100)
    assert (early["reported"]["posts"], early["flagged"]["removed"]) == (0, 0)
    assert early["time_to_removal"]["from"] == "post"
    assert early["backlog"] == []


def test_posts_found_violent_have_their_own_shares() -> None:
    violent = np.ma.masked_array([True, True, True, False], mask=[False, False, True, False])
    found = measure(
        [0, None, 0, 0], [3, None, None, 1], flagged=[True, False, True, True],
        until=100, violent=violent,
    )["violent"]  # fmt: skip
    assert (found["posts"], found["removed"]) == (2, 1)
    assert found["reported"]["posts"] == 1
    assert found["reported"]["handled_24h"]["share"] == 1.0
    plain = measure([0, 0], [3, None], until=100, violent=np.array([False, False]))["violent"]
    assert (plain["posts"], plain["share"], plain["reported"]["share"]) == (0, None, None)


# --- nothing and everything removed --------------------------------------------------------------


def test_where_nothing_is_removed_the_interval_has_width() -> None:
    found = measure([0.0] * 20, [None] * 20, until=400)
    assert found["time_to_removal"]["low_hours"] is None
    for row in found["time_to_removal"]["curve"]:
        assert (row["open"], row["high"]) == (1.0, 1.0)
        assert row["low"] == pytest.approx(wilson_interval(20, 20)[0])
    assert [row["hours"] for row in found["time_to_removal"]["curve"]][-1] == 336


def test_where_all_are_removed_the_curve_ends_at_nothing_with_an_interval() -> None:
    found = measure([0.0] * 20, [3.0] * 20, until=400)
    times = found["time_to_removal"]
    assert (times["median_hours"], times["low_hours"], times["high_hours"]) == (3.0, 3.0, 3.0)
    assert point(found, 1)["open"] == 1
    assert times["curve"][-1]["hours"] == 336
    assert (point(found, 6)["open"], point(found, 6)["low"]) == (0.0, 0.0)
    assert point(found, 6)["high"] == pytest.approx(wilson_interval(0, 20)[1])
    one = measure([0], [3], until=400)["time_to_removal"]
    assert (one["median_hours"], one["high_hours"]) == (3.0, None)


def test_beyond_the_last_post_in_sight_the_curve_stops() -> None:
    found = measure([0, 50], [10, None], until=100)  # after 50 hours nobody is left to watch
    assert found["time_to_removal"]["curve"][-1]["hours"] == 48


def test_the_interval_of_an_untouched_curve_counts_who_was_seen_for_so_long() -> None:
    found = measure([0.0] * 10 + [90.0] * 30, [None] * 40, until=100)
    assert point(found, 6)["low"] == pytest.approx(wilson_interval(40, 40)[0])
    assert point(found, 12)["low"] == pytest.approx(wilson_interval(10, 10)[0])


def test_moments_at_the_edge_count_as_within() -> None:
    found = measure([0, 76, 76.001, 100], [24, None, None, 100], until=100)
    assert found["reported"]["removed"] == 2
    handled = found["reported"]["handled_24h"]
    assert (handled["posts"], handled["handled"]) == (2, 1)
    notice = measure([76], [None], until=100, notice=76)["notice"]
    assert (notice["before"]["handled_24h"]["posts"], notice["after"]["handled_24h"]["posts"]) == (
        0, 1,
    )  # fmt: skip


# --- backlog -------------------------------------------------------------------------------------


def test_the_backlog_by_week_from_monday_to_monday() -> None:
    day = 24.0
    found = measure(
        [1 * day, 2 * day, 8 * day, 15 * day, 27 * day], [3 * day, None, 21 * day, None, None],
        flagged=[True, True, False, True, False], until=29.5 * day,
    )  # fmt: skip
    assert found["backlog"] == [
        {"date": "2020-11-09", "open": 1, "flagged": 1},
        {"date": "2020-11-16", "open": 2, "flagged": 1},
        {"date": "2020-11-23", "open": 2, "flagged": 2},
        {"date": "2020-11-30", "open": 3, "flagged": 2},
        {"date": "2020-12-01", "open": 3, "flagged": 2},
    ]


def test_a_short_time_has_its_backlog_by_day_and_the_end_once() -> None:
    found = measure([5, 30, 40], [50, None, None], until=53)
    assert found["backlog"] == [
        {"date": "2020-11-03", "open": 1, "flagged": 1},
        {"date": "2020-11-04", "open": 2, "flagged": 2},  # at the end, 05:00, not at midnight
    ]
    assert [e["date"] for e in measure([5], [None], until=6)["backlog"]] == ["2020-11-02"]


@pytest.mark.parametrize(("until", "entries"), [(21 * 24.0, 3), (21 * 24 - 1.0, 20)])
def test_three_weeks_are_enough_for_a_backlog_by_week(until: float, entries: int) -> None:
    assert len(measure([0], [None], until=until)["backlog"]) == entries


# --- before and after a notice -------------------------------------------------------------------


def test_before_and_after_a_notice_worked_by_hand() -> None:
    # Notice at 400. Before: two posts whose week had run out, one whose had not (300).
    reported = [0, 100, 300, 450, 500, 520, 700]
    removed = [None, 150, 390, 455, 500.5, None, None]
    found = measure(reported, removed, until=720, notice=400)["notice"]
    before, after = found["before"], found["after"]
    assert (found["date"], found["from"]) == ("2020-11-18", "report")
    assert (before["removed_7d"]["posts"], before["removed_7d"]["removed"]) == (2, 1)
    assert (before["handled_24h"]["posts"], before["handled_24h"]["handled"]) == (3, 0)
    assert (after["removed_7d"]["posts"], after["removed_7d"]["removed"]) == (3, 2)
    assert (after["handled_24h"]["posts"], after["handled_24h"]["handled"]) == (3, 2)
    # Newcombe 1998, method 10, out of the two Wilson intervals
    (l1, u1), (l2, u2) = wilson_interval(2, 3), wilson_interval(0, 3)
    change = found["difference"]["handled_24h"]
    assert change["difference"] == pytest.approx(2 / 3)
    assert change["low"] == pytest.approx(2 / 3 - ((2 / 3 - l1) ** 2 + u2**2) ** 0.5)
    assert change["high"] == pytest.approx(2 / 3 + ((u1 - 2 / 3) ** 2 + l2**2) ** 0.5)


def test_newcombe_agrees_with_his_own_example() -> None:
    # Newcombe 1998, table II, (a): 56/70 - 48/80 by method 10 is 0.0524 to 0.3339.
    reported = [500.0] * 70 + [0.0] * 80
    removed = [501.0] * 56 + [None] * 14 + [1.0] * 48 + [None] * 32
    found = measure(reported, removed, until=900, notice=400)["notice"]
    change = found["difference"]["removed_7d"]
    assert change["difference"] == pytest.approx(0.2)
    assert (change["low"], change["high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_log_rank_test_agrees_with_lifelines() -> None:
    from lifelines.statistics import logrank_test

    rng = np.random.default_rng(5)
    reported = np.sort(rng.uniform(0, 1000, 200))
    wait = np.where(reported < 500, rng.exponential(200, 200), rng.exponential(100, 200))
    found = measure(reported.tolist(), (reported + wait).tolist(), until=1000, notice=500)["notice"]
    early = np.round(reported * 3.6e9) < 500 * 3.6e9
    end = np.where(early, 500, 1000) - reported
    hours, seen = np.minimum(wait, end), wait <= end
    oracle = logrank_test(hours[early], hours[~early], seen[early], seen[~early])
    assert found["p_value"] == pytest.approx(oracle.p_value, rel=1e-4)
    assert found["p_value"] < 0.01


def test_what_the_host_did_after_the_notice_is_not_put_to_before() -> None:
    # All of before are removed at once when the notice comes.
    found = measure([0.0] * 30 + [500.0] * 30, [401.0] * 30 + [501.0] * 30, until=800, notice=400)
    before = found["notice"]["before"]
    assert before["removed_7d"]["removed"] == 0
    assert found["notice"]["p_value"] < 1e-6


@pytest.mark.parametrize("notice", [-10.0, 5000.0])
def test_a_notice_without_posts_on_one_side(notice: float) -> None:
    found = measure([0, 5], [3, None], until=900, notice=notice)["notice"]
    empty = "before" if notice < 0 else "after"
    assert found[empty]["removed_7d"]["posts"] == 0
    assert found[empty]["removed_7d"]["share"] is None
    assert found["difference"] == {"removed_7d": None, "handled_24h": None}
    assert found["p_value"] is None


def test_groups_that_never_meet_have_no_log_rank_test() -> None:
    # Before is out of sight after two hours, after has its removals later.
    found = measure([398, 500, 500], [None, 550, 560], until=900, notice=400)["notice"]
    assert found["p_value"] is None
    assert measure([0, 500], [None, None], until=900, notice=400)["notice"]["p_value"] is None


# --- against lifelines ---------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "level"), [(0, 0.95), (1, 0.8), (2, 0.99)])
def test_the_curve_agrees_with_lifelines(seed: int, level: float) -> None:
    from lifelines import KaplanMeierFitter
    from lifelines.utils import median_survival_times

    rng = np.random.default_rng(seed)
    reported = np.round(rng.uniform(0, 500, 150))
    removed = reported + np.round(rng.exponential(120, 150)) + 1
    end = 600
    found = measure(reported.tolist(), removed.tolist(), until=end, level=level)["time_to_removal"]
    hours, seen = np.minimum(removed, end) - reported, removed <= end
    oracle = KaplanMeierFitter(alpha=1 - level).fit(hours, seen)
    limits = oracle.confidence_interval_
    assert found["median_hours"] == pytest.approx(oracle.median_survival_time_)
    both = median_survival_times(limits).to_numpy().ravel()
    assert [found["low_hours"], found["high_hours"]] == pytest.approx(both.tolist())
    for row in found["curve"]:
        assert row["open"] == pytest.approx(float(oracle.predict(row["hours"])))
        if 0 < row["open"] < 1:
            low, high = limits.iloc[limits.index.searchsorted(row["hours"], "right") - 1]
            assert (row["low"], row["high"]) == pytest.approx((low, high))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("removed", [0, 1, 7, 12])
def test_shares_have_the_wilson_interval_of_the_level(removed: int, level: float) -> None:
    from scipy.stats import binomtest

    waits = [1.0] * removed + [None] * (12 - removed)
    found = measure([0.0] * 12, waits, until=50, level=level)["reported"]
    oracle = binomtest(removed, 12).proportion_ci(level, method="wilson")
    assert (found["low"], found["high"]) == pytest.approx((oracle.low, oracle.high))


# --- properties ----------------------------------------------------------------------------------

HOURS = st.one_of(st.none(), st.integers(0, 2000).map(float))
POST = st.tuples(HOURS, HOURS, HOURS, st.booleans(), st.booleans())


@settings(deadline=None, max_examples=150)
@given(st.lists(POST, min_size=1, max_size=40), st.integers(0, 2200), st.integers(-10, 2200))
def test_properties_of_any_host(posts: list[Any], until: int, notice: int) -> None:
    created, reported, removed, flagged, violent = (
        list(column) for column in zip(*posts, strict=True)
    )
    if all(hours is None for hours in reported + removed):
        return
    found = measure(
        reported, removed, created=created, flagged=flagged, until=until, notice=notice,
        violent=np.array(violent),
    )  # fmt: skip
    for share in shares_in(found):
        if share["share"] is None:
            assert (share["posts"], share["low"], share["high"]) == (0, None, None)
        else:
            count = share["removed"] if "removed" in share else share["handled"]
            assert 0 <= count <= share["posts"]
            assert 0 <= share["low"] <= share["share"] <= share["high"] <= 1
            assert share["low"] < share["high"]
    check_curve(found["time_to_removal"])
    check_backlog(found, list(zip(created, reported, removed, strict=True)), until)
    p_value = found["notice"]["p_value"]
    assert p_value is None or 0 <= p_value <= 1


def shares_in(found: Any) -> list[dict[str, Any]]:
    """Return every dict with a share, however deep."""
    if isinstance(found, list):
        return []
    within = [share for value in found.values() if isinstance(value, dict)
              for share in shares_in(value)]  # fmt: skip
    return [found, *within] if "share" in found else within


def check_curve(times: dict[str, Any]) -> None:
    curve = times["curve"]
    assert [row["hours"] for row in curve] == sorted({row["hours"] for row in curve})
    opens = [row["open"] for row in curve]
    assert opens == sorted(opens, reverse=True)
    for row in curve:
        assert 0 <= row["low"] <= row["open"] <= row["high"] <= 1
        assert row["low"] < row["high"]
    assert 0 <= times["removed"] <= times["posts"]
    low, median, high = (times[key] for key in ("low_hours", "median_hours", "high_hours"))
    assert median is None or low <= median
    assert high is None or median <= high


def check_backlog(found: dict[str, Any], rows: list[Any], until: int) -> None:
    backlog, reports = found["backlog"], found["reported"]
    dates = [entry["date"] for entry in backlog]
    assert dates == sorted(set(dates))
    assert all(0 <= entry["flagged"] <= entry["open"] for entry in backlog)
    if not reports["posts"]:
        assert backlog == []
        return
    assert backlog[-1]["open"] == reports["posts"] - reports["removed"]
    both = found["reported_flagged"]
    assert backlog[-1]["flagged"] == both["posts"] - both["removed"]
    for entry in backlog[:-1]:
        moment = (np.datetime64(entry["date"]) - START) / HOUR
        expected = sum(
            1 for made, report, removal in rows
            if not (made is not None and made > until) and report is not None and report <= moment
            and (removal is None or removal > moment)
        )  # fmt: skip
        assert entry["open"] == expected


def test_a_million_posts_take_a_moment() -> None:
    rng = np.random.default_rng(0)
    size = 1_000_000
    created = START + (rng.random(size) * 7e12).astype("timedelta64[us]")
    reported = created + (rng.random(size) * 2e11).astype("timedelta64[us]")
    removed = reported + (rng.exponential(1.0, size) * 1e12).astype("timedelta64[us]")
    options: dict[str, Any] = {"as_of": START + np.timedelta64(84, "D"), "notice": created[0]}
    measure_responsiveness(created[:9], reported[:9], removed[:9], rng.random(9) < 1, **options)
    begin = time.perf_counter()
    assert measure_responsiveness(created, reported, removed, rng.random(size) < 0.3, **options)
    assert time.perf_counter() - begin < 6  # 0.6 s on a free core; machines that test are busy


# --- what is refused -----------------------------------------------------------------------------

FLAGS = np.array([True, True])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"created": [1, 2]}, "created must hold datetime64, not int64"),
        ({"created": at([0, 0]).reshape(1, 2)}, "created has the shape (1, 2)"),
        ({"reported": at([1])}, "reported has the shape (1,); it must be (2,), as created has"),
        ({"removed": ["x", "y"]}, "removed must hold datetime64"),
        ({"flagged": [1, 0]}, "flagged must hold truth values, not int64"),
        ({"violent": np.array([True])}, "violent has the shape (1,)"),
        ({"violent": np.array([1.0, 0.0])}, "violent must hold truth values"),
        ({"as_of": NEVER}, "is NaT"),
        ({"as_of": "soon"}, "'soon' is no moment"),
        ({"notice": object()}, "is no moment"),
        ({"level": 1}, "between 0 and 1, not 1"),
        ({"level": 95}, "between 0 and 1, not 95"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "created": at([0, 0]), "reported": at([1, 1]), "removed": at([2, 2]),
        "flagged": FLAGS, "as_of": START,
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        measure_responsiveness(**given | change)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_units_of_time_and_dates_are_taken() -> None:
    fine = measure([0, 24], [48, None], until=96)
    coarse = measure_responsiveness(
        at([0, 0]).astype("datetime64[s]"), at([0, 24]).astype("datetime64[D]"),
        at([48, None]).astype("datetime64[ns]"), FLAGS, as_of=np.datetime64("2020-11-06"),
    )  # fmt: skip
    assert coarse == fine


def test_without_statsmodels_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.duration.survfunc", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"hostrisk\[host\]\""):
        measure_responsiveness(at([0, 0]), at([1, 1]), None, FLAGS, as_of=START)
