"""The posts to review: strata and shares of a budget, true inclusion probabilities, any source."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

import hostrisk
from hostrisk.errors import InputError
from hostrisk.host.sampling import _Cell, allocate, cut_strata, draw, expected_sizes, sample
from hostrisk.host.scale import LOGITS, STEPS, step_of

if TYPE_CHECKING:
    from pathlib import Path

stats = pytest.importorskip("scipy.stats")

slow = settings(deadline=None)


# --- the scale -----------------------------------------------------------------------------------


def test_steps_rise_with_the_score_and_hold_its_logit():
    scores = np.linspace(0, 1, 10_001)
    steps = step_of(scores)
    assert np.all(np.diff(steps) >= 0)
    assert (steps[0], steps[-1]) == (0, STEPS - 1)
    assert len(LOGITS) == STEPS
    inside = (scores > 0.001) & (scores < 0.999)
    logits = np.log(scores[inside] / (1 - scores[inside]))
    assert np.abs(LOGITS[steps[inside]] - logits).max() <= 0.1 + 1e-9


# --- strata --------------------------------------------------------------------------------------


def test_expected_sizes_by_hand():
    # A tenth of the 10 violent posts expected among 1,100 is spread over all.
    found = expected_sizes(np.array([1000.0, 100.0, 0.0]), np.array([2.0, 8.0, 0.0]))
    spread = 0.1 * 10 / 1100
    assert found == pytest.approx(
        [1000 * (0.9 * 0.002 + spread) ** 0.5, 100 * (0.9 * 0.08 + spread) ** 0.5, 0.0]
    )


cells = st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 1)), min_size=1, max_size=STEPS)


def arrays(pairs):
    counts = np.array([count for count, _ in pairs], dtype=float)
    return counts, counts * np.sort([rate for _, rate in pairs])


@slow
@given(cells, st.integers(1, 2000))
def test_strata_follow_the_scores_without_a_gap_and_weigh_alike(pairs, reviews):
    counts, scores = arrays(pairs)
    strata = cut_strata(counts, scores, reviews=reviews)
    assert strata.shape == counts.shape
    assert strata[0] == 0
    assert set(np.diff(strata).tolist()) <= {0, 1}
    most = max(min(max(reviews // 25, 4), 10, reviews // 2), 1)
    assert strata[-1] < most
    size = expected_sizes(counts, scores)
    weights = np.bincount(strata, size)
    # A cell is not cut, so a stratum may have up to one cell too many.
    assert weights.max() <= size.sum() / most + size.max() * (1 + 1e-9)


def test_many_cells_are_cut_into_strata_that_weigh_the_same():
    counts = np.full(90, 100.0)
    scores = counts * np.linspace(0.001, 0.9, 90)
    for reviews, number in [(1, 1), (3, 1), (4, 2), (7, 3), (8, 4), (100, 4), (150, 6), (300, 10)]:
        strata = cut_strata(counts, scores, reviews=reviews)
        assert strata[-1] + 1 == number
        weights = np.bincount(strata, expected_sizes(counts, scores))
        assert weights == pytest.approx(weights.mean(), rel=0.35)
        # The higher the scores, the fewer posts make up a stratum.
        assert np.all(np.diff(np.bincount(strata)) <= 0)


# --- the budget ----------------------------------------------------------------------------------


def filled(counts, sizes, reviews):
    """The best shares, not whole: in proportion, within two and all of a stratum."""
    optimize = pytest.importorskip("scipy.optimize")
    wish = 0.8 * sizes / sizes.sum() + 0.2 * counts / counts.sum()
    least = np.minimum(counts, 2)

    def over(log):
        return np.clip(np.exp(log) * wish, least, counts).sum() - reviews

    return np.clip(np.exp(optimize.brentq(over, -40, 60)) * wish, least, counts)


@pytest.mark.parametrize(
    ("counts", "sizes", "reviews", "expected"),
    [
        ([1000, 1000], [1, 3], 100, [30, 70]),  # 0.8 x 1/4 + 0.2 x 1/2
        ([9000, 1000], [1, 1], 100, [58, 42]),
        ([9000, 10], [1, 1], 100, [90, 10]),  # all of the second, its rest to the first
        ([5000, 3, 1], [1, 1, 1], 6, [2, 3, 1]),
        ([5, 5], [1, 0], 10, [5, 5]),
        ([5, 5], [0, 0], 4, [2, 2]),
        ([7], [0.3], 100, [7]),
    ],
)
def test_budgets_by_hand(counts, sizes, reviews, expected):
    counts, sizes = np.array(counts, dtype=float), np.array(sizes, dtype=float)
    assert allocate(counts, sizes, reviews).tolist() == pytest.approx(expected, abs=1)
    assert allocate(counts, sizes, reviews).sum() == sum(expected)


def test_what_a_full_stratum_cannot_take_is_shared_out_by_the_same_measure():
    counts, sizes = np.array([3031.0, 562, 1067]), np.array([15.0, 385, 187])
    given_out = allocate(counts, sizes, 1303)
    assert given_out == pytest.approx([247.2, 562, 493.8], abs=2)


# Posts, and the standard deviation of a label.
strata = st.lists(
    st.tuples(st.integers(1, 400), st.just(0.0) | st.floats(0.001, 0.5)), min_size=1, max_size=10
)


def stratum_arrays(pairs):
    counts = np.array([count for count, _ in pairs], dtype=float)
    return counts, counts * np.array([spread for _, spread in pairs])


@slow
@given(strata, st.integers(1, 4500))
def test_a_budget_is_spent_and_no_stratum_has_more_than_its_posts(pairs, reviews):
    counts, sizes = stratum_arrays(pairs)
    spent = allocate(counts, sizes, reviews)
    assert spent.dtype == np.int64
    assert spent.sum() == min(reviews, counts.sum())
    assert np.all((spent >= 0) & (spent <= counts))
    two_each = np.minimum(counts, 2)
    if reviews >= two_each.sum():
        assert np.all(spent >= two_each)
    else:
        assert np.all(spent <= two_each)


@slow
@given(strata, st.integers(1, 4500))
def test_a_larger_budget_takes_no_more_than_one_review_from_any_stratum(pairs, reviews):
    counts, sizes = stratum_arrays(pairs)
    fewer, more = (allocate(counts, sizes, number) for number in (reviews, reviews + 1))
    assert np.all(more >= fewer - 1)  # whole numbers are rounded anew
    assert np.all(allocate(counts, sizes, 2 * reviews + 20) >= fewer - 1)


@slow
@given(strata, st.floats(0.01, 0.99))
def test_a_budget_is_shared_out_in_proportion_to_a_review_or_two(pairs, part):
    counts, sizes = stratum_arrays(pairs)
    reviews = round(part * counts.sum())
    if np.minimum(counts, 2).sum() < reviews < counts.sum() and sizes.sum() > 0:
        best = filled(counts, sizes, reviews)
        assert np.abs(allocate(counts, sizes, reviews) - best).max() < 2.5
        assert np.array_equal(
            allocate(counts, sizes, reviews), allocate(counts, 8 * sizes, reviews)
        )


# --- drawing -------------------------------------------------------------------------------------
# Texts are numbers, their score.


def batch_of(ids, hosts, texts):
    return pa.RecordBatch.from_pydict({
        "id": pa.array(ids, pa.string()),
        "host": pa.array(hosts, pa.string()),
        "text": pa.array(texts, pa.string()),
    })  # fmt: skip


def posts_of(scores, host="host", first=0):
    numbers = range(first, first + len(scores))
    return batch_of(map(str, numbers), [host] * len(scores), [f"{score:.6f}" for score in scores])


def read_scores(texts):
    return np.array([float((text or "").strip() or 0) for text in texts.to_pylist()])


def draw_from(*batches, reviews, seed=0):
    return draw(iter(batches), read_scores, reviews, seed=seed)


def small_host(posts=120):
    rng = np.random.default_rng(5)
    score = np.sort(rng.beta(0.3, 4, posts))
    label = rng.random(posts) < 0.05 + 0.6 * score
    return posts_of(score), label


def test_posts_are_drawn_as_often_as_their_probability_says():
    batch, label = small_host()
    runs, drawn, shares = 500, Counter(), []
    strata, chances = {}, {}
    for seed in range(runs):
        found = draw_from(batch, reviews=30, seed=seed)
        assert len(found) == 30
        drawn.update(post.id for post in found)
        strata.update((post.id, post.stratum) for post in found)
        chances.update((post.stratum, post.inclusion_probability) for post in found)
        shares.append(sum(label[int(p.id)] / p.inclusion_probability for p in found) / len(label))
    assert len(drawn) == len(label)  # no post without a chance
    members = defaultdict(list)
    for ident, stratum in strata.items():
        members[stratum].append(ident)
    assert len(members) == 4
    for stratum, ids in members.items():
        chance = chances[stratum]
        counts = np.array([drawn[ident] for ident in ids])
        # The number from each stratum is fixed, and every post of it has the same chance.
        assert counts.sum() == round(chance * len(ids)) * runs
        spread = (runs * chance * (1 - chance)) ** 0.5
        assert np.abs(counts - runs * chance).max() <= 4.5 * spread
        if chance < 1:
            fit = float(np.sum((counts - runs * chance) ** 2) / spread**2)
            assert stats.chi2(len(ids)).ppf(1e-4) < fit < stats.chi2(len(ids)).ppf(1 - 1e-4)
    assert np.mean(shares) == pytest.approx(label.mean(), abs=4 * np.std(shares) / runs**0.5)
    assert np.std(shares) > 0


def test_two_posts_of_a_stratum_are_drawn_together_as_in_a_plain_random_sample():
    batch = posts_of(np.full(8, 0.2))
    together = Counter()
    for seed in range(600):
        ids = sorted(post.id for post in draw_from(batch, reviews=3, seed=seed))
        assert len(ids) == 3
        together[tuple(ids)] += 1
    expected = 600 / 56
    fit = sum((together[key] - expected) ** 2 / expected for key in together)
    fit += (56 - len(together)) * expected
    assert fit < stats.chi2(55).ppf(1 - 1e-4)


@pytest.mark.parametrize("reviews", [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 40, 119, 120, 500])
def test_the_posts_drawn_stand_for_all_posts_whatever_the_budget(reviews):
    batch, _ = small_host()
    found = draw_from(batch, reviews=reviews)
    assert len(found) == min(reviews, 120)
    assert sum(1 / post.inclusion_probability for post in found) == pytest.approx(120)
    assert len({post.id for post in found}) == len(found)


def test_strata_are_named_in_the_order_of_their_scores():
    batch, _ = small_host()
    found = draw_from(batch, reviews=60)
    by_name = defaultdict(list)
    for post in found:
        by_name[post.stratum].append(float(post.text))
    assert sorted(by_name) == [f"host {number:02d}" for number in range(1, 5)]
    names = sorted(by_name)
    for low, high in itertools.pairwise(names):
        assert max(by_name[low]) <= min(by_name[high])
    chances = {post.stratum: post.inclusion_probability for post in found}
    assert chances["host 04"] > 2 * chances["host 01"]  # high scores are drawn more often


def test_the_same_seed_gives_the_same_sample_and_another_one_another():
    batch, _ = small_host()
    one, again, other = (draw_from(batch, reviews=40, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert {post.id for post in one} != {post.id for post in other}


def test_pieces_of_the_source_change_nothing():
    batch, _ = small_host()
    parts = [batch.slice(0, 7), batch.slice(7, 100), batch.slice(107)]
    assert draw_from(*parts, reviews=40, seed=3) == draw_from(batch, reviews=40, seed=3)
    # A cell of many posts, of which only some are kept from piece to piece.
    alike = posts_of(np.full(2000, 0.3))
    parts = [alike.slice(at, 90) for at in range(0, 2000, 90)]
    assert draw_from(*parts, reviews=25) == draw_from(alike, reviews=25)


def test_a_cell_keeps_no_more_posts_than_may_be_drawn():
    cell, numbers = _Cell(), np.random.default_rng(0).random(500).tolist()
    for number in numbers:
        if number < cell.limit:
            cell.offer(number, f"{number}", "text", 20)
        assert len(cell.heap) <= 20
    assert sorted(float(ident) for _, ident, _ in cell.heap) == sorted(numbers)[:20]


def test_the_order_tells_nothing_of_scores_or_strata():
    rng = np.random.default_rng(0)
    found = draw_from(posts_of(np.sort(rng.beta(0.5, 5, 20_000))), reviews=2000, seed=8)
    place = np.arange(2000)
    for told in ([float(p.text) for p in found], [p.inclusion_probability for p in found],
                 [int(p.id) for p in found]):  # fmt: skip
        assert abs(stats.spearmanr(place, told).statistic) < 4 / 2000**0.5
    assert len({post.stratum for post in found[:100]}) > 5


def test_a_large_host_of_which_each_cell_keeps_only_some_posts():
    rng = np.random.default_rng(1)
    scores = rng.beta(0.2, 8, 60_000)
    batches = [posts_of(scores[at : at + 8000], first=at) for at in range(0, 60_000, 8000)]
    found = draw_from(*batches, reviews=300)
    assert sum(1 / post.inclusion_probability for post in found) == pytest.approx(60_000)
    weight = np.array([1 / post.inclusion_probability for post in found])
    mean = float(weight @ [float(post.text) for post in found]) / 60_000
    assert mean == pytest.approx(scores.mean(), rel=0.1)


def test_hosts_share_the_budget_and_small_ones_leave_theirs_to_others():
    rng = np.random.default_rng(2)
    sizes = {"a.example": 500, "b.example": 7, "c.example": 3000, "d.example": 1}
    batches = [posts_of(rng.beta(0.5, 5, size), host) for host, size in sizes.items()]
    found = draw_from(*batches, reviews=100)
    assert Counter(post.host for post in found) == {
        "a.example": 46, "b.example": 7, "c.example": 46, "d.example": 1,
    }  # fmt: skip
    for host, size in sizes.items():
        own = [post for post in found if post.host == host]
        assert sum(1 / post.inclusion_probability for post in own) == pytest.approx(size)
        assert all(post.stratum.startswith(f"{host} ") for post in own)
    # The order mixes hosts as well.
    assert len({post.host for post in found[:20]}) > 1


def test_of_more_hosts_than_reviews_some_have_none():
    batches = [posts_of([0.1, 0.5], host=f"h{number}") for number in range(5)]
    found = draw_from(*batches, reviews=3)
    assert len(found) == 3
    assert max(Counter(post.host for post in found).values()) == 1


def test_posts_without_text_are_never_drawn():
    texts = ["0.1", None, "", "  \n", "0.9", "\t", "0.3"]
    batch = batch_of("abcdefg", ["host"] * 7, texts)
    for seed in range(20):
        found = draw_from(batch, reviews=2, seed=seed)
        assert {post.id for post in found} <= {"a", "e", "g"}
    found = draw_from(batch, reviews=10)
    assert {post.id: post.inclusion_probability for post in found} == {"a": 1, "e": 1, "g": 1}
    with pytest.raises(InputError, match="no post with text to draw from"):
        draw_from(batch.slice(1, 3), reviews=10)


def test_a_budget_above_the_posts_gives_them_all():
    batch, _ = small_host()
    found = draw_from(batch, reviews=121)
    assert {post.id for post in found} == set(map(str, range(120)))
    assert {post.inclusion_probability for post in found} == {1.0}


# --- from any source -----------------------------------------------------------------------------

WORDS = [
    "they should be shot", "a nice day at the lake", "hang the mayor", "what about lunch",
    "we will burn it down, é🔪", "my cat\nsleeps", 'so "funny", right', "kill them all",
]  # fmt: skip


def rows_of(number):
    return [
        {"id": f"p{at}", "text": f"{WORDS[at % len(WORDS)]} {at}", "created_at": "2021-01-05"}
        for at in range(number)
    ]


@pytest.fixture(scope="module")
def rows():
    return rows_of(300)


@pytest.fixture(scope="module")
def expected(rows, clf):
    return sample(rows, 60, seed=4, model=clf)


def test_a_sample_is_a_table_ready_for_labels(rows, expected):
    assert expected.schema.names == ["id", "text", "inclusion_probability", "stratum", "host"]
    kinds = ["string", "string", "double", "string", "string"]
    assert list(map(str, expected.schema.types)) == kinds
    texts = {row["id"]: row["text"] for row in rows}
    found = expected.to_pylist()
    assert len(found) == len({row["id"] for row in found}) == 60
    assert all(row["text"] == texts[row["id"]] for row in found)
    assert {row["host"] for row in found} == {"host"}
    assert sum(1 / row["inclusion_probability"] for row in found) == pytest.approx(300)
    violent = [row["inclusion_probability"] for row in found if "kill" in row["text"]]
    harmless = [row["inclusion_probability"] for row in found if "lunch" in row["text"]]
    assert min(violent) > max(harmless)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "table", "pandas", "polars", "two"])
def test_all_sources_give_the_same_sample(kind, rows, expected, clf, tmp_path):
    assert sample(source_of(kind, rows, tmp_path), 60, seed=4, model=clf).equals(expected)


def source_of(kind, rows, folder: Path):
    table, path = pa.Table.from_pylist(rows), folder / f"posts.{kind}"
    if kind == "csv":
        arrow_csv.write_csv(table, path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    elif kind == "two":
        parts = [folder / "one.csv", folder / "two.csv"]
        arrow_csv.write_csv(table.slice(0, 100), parts[0])
        arrow_csv.write_csv(table.slice(100), parts[1])
        return parts
    elif kind == "table":
        return table
    else:
        return pytest.importorskip(kind).DataFrame(rows)
    return path


def test_columns_have_the_names_given_and_hosts_come_from_theirs(clf, tmp_path):
    renamed = [
        {"nr": row["id"], "body": row["text"], "at": row["created_at"], "site": f"{site}.example"}
        for row, site in zip(rows_of(80), "ab" * 40, strict=True)
    ]
    names = {"id": "nr", "text": "body", "time": "at", "host": "site"}
    found = sample(renamed, 20, seed=0, model=clf, **names)
    assert Counter(found["host"].to_pylist()) == {"a.example": 10, "b.example": 10}
    file = tmp_path / "columns.toml"
    lines = "".join(f'{key} = "{value}"\n' for key, value in names.items())
    file.write_text(f"[columns]\n{lines}", encoding="utf-8")
    assert sample(renamed, 20, seed=0, model=clf, columns=file).equals(found)
    named = sample(rows_of(5), 5, seed=0, model=clf, name="harbour.example")
    assert set(named["host"].to_pylist()) == {"harbour.example"}
    assert set(named["inclusion_probability"].to_pylist()) == {1.0}


def test_progress_comes_to_the_size_of_the_file(rows, expected, clf, tmp_path):
    path, done = source_of("csv", rows, tmp_path), []
    assert sample(path, 60, seed=4, model=clf, advance=done.append, threads=2).equals(expected)
    assert sum(done) == path.stat().st_size


def test_sample_is_offered_by_the_package():
    assert hostrisk.sample is sample


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": 0}, "n is 0; it must be a whole number of at least 1"),
        ({"n": -3}, "n is -3"),
        ({"n": True}, "n is True"),
        ({"n": 2.0}, "n is 2.0"),
        ({"n": "5"}, "n is '5'"),
        ({"seed": -1}, "seed is -1; it must be a whole number of at least 0"),
        ({"seed": None}, "seed is None"),
        ({"seed": True}, "seed is True"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"text": "body"}, "body"),
        ({"host": "site"}, "site"),
        ({"name": " "}, "name of the host is blank"),
        ({"name": "a", "host": "id"}, "choose one"),
        ({"query": "SELECT 1"}, "a query is for a database"),
        ({"posts": []}, "no post with text to draw from"),
        ({"posts": "no-such-file.csv"}, "no-such-file.csv"),
        ({"posts": 5}, "give a path"),
        ({"posts": [{"id": "1", "text": " ", "created_at": None}]}, "no post with text"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_sentence(change, said, clf):
    given = {"posts": rows_of(3), "n": 2, "seed": 0} | change
    with pytest.raises(InputError) as caught:
        sample(given.pop("posts"), given.pop("n"), model=clf, **given)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert not re.search(r"[.!?] +[A-Z]", message)


def test_an_empty_table_has_nothing_to_draw(clf):
    names = ("id", "text", "created_at")
    empty = pa.table({name: pa.array([], pa.string()) for name in names})
    with pytest.raises(InputError, match="no post with text to draw from"):
        sample(empty, 5, seed=0, model=clf)
