"""The made-up host: it is what its generator makes, has the shares it claims, and reads varied."""

from __future__ import annotations

import csv
import importlib.util
import re
import statistics
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hostrisk.policy import KINDS, TARGETS

DATA = Path(__file__).parents[1] / "data"
DEMO = DATA / "demo"
START = datetime(2025, 9, 1, tzinfo=UTC)
END = START + timedelta(weeks=12)


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def when(cell):
    return datetime.fromisoformat(cell) if cell else None


def low(text):
    return " ".join(text.lower().split())


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_host", DEMO / "make_host.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def rows():
    return read(DEMO / "host.csv")


@pytest.fixture(scope="module")
def weeks(rows):
    """Rows by week, those without a date in the period left out."""
    found = [[] for _ in range(12)]
    for row in rows:
        created = when(row["created_at"])
        if created and START <= created < END:
            found[(created - START) // timedelta(weeks=1)].append(row)
    return found


def violent(rows):
    return [row for row in rows if row["violent"] == "1"]


def test_file_is_what_the_generator_makes(generator, tmp_path):
    generator.write(tmp_path / "host.csv")
    assert (tmp_path / "host.csv").read_bytes() == (DEMO / "host.csv").read_bytes()
    assert (DEMO / "host.csv").stat().st_size < 2_000_000


def test_generator_uses_no_classifier(generator):
    assert "hostrisk" not in Path(generator.__file__).read_text(encoding="utf-8")


def test_columns_and_size(rows, generator):
    assert tuple(rows[0]) == generator.COLUMNS
    assert 5200 <= len(rows) <= 6500
    assert all(row["url"] == f"https://harbour.example/p/{row['id']}" for row in rows)


def test_truth_is_in_words_of_the_policy(rows):
    for row in rows:
        if row["violent"] == "1":
            assert row["kind"] in KINDS
            assert set(row["target"].split(",")) <= set(TARGETS)
        else:
            assert (row["violent"], row["kind"], row["target"]) == ("0", "", "")
    assert {row["kind"] for row in violent(rows)} == set(KINDS)
    named = Counter(name for row in violent(rows) for name in row["target"].split(","))
    assert {"politician", "official", "media", "police", "teacher", "tech", "black", "jewish",
            "immigrant", "athlete"} <= {name for name, n in named.items() if n >= 5}  # fmt: skip


def test_violence_rises_with_a_step_at_the_vote(weeks):
    def share(first, last):
        some = [row for week in weeks[first - 1 : last] for row in week]
        return len(violent(some)) / len(some)

    assert share(1, 3) == pytest.approx(0.008, abs=0.001)
    assert share(11, 12) == pytest.approx(0.042, abs=0.003)
    assert share(7, 9) > 2 * share(4, 6) > 2 * share(1, 3)


def test_weeks_and_hours_have_a_rhythm(rows, weeks):
    assert all(440 <= len(week) <= 570 for week in weeks)
    hours = Counter(row["created_at"][11:13] for row in rows if row["created_at"])
    evening = sum(hours[h] for h in ("18", "19", "20", "21", "22"))
    night = sum(hours[h] for h in ("01", "02", "03", "04", "05"))
    assert evening > 5 * night > 0


def test_violent_texts_are_many_and_written_one_by_one(rows):
    written = {row["text"] for row in read(DEMO / "material" / "violent.csv")}
    texts = [row["text"] for row in violent(rows)]
    assert len(set(texts)) == len(texts) >= 150
    assert set(texts) == written


def test_a_dozen_threats_are_credible():
    marked = [row["marks"].split(",") for row in read(DEMO / "material" / "violent.csv")]
    assert {mark for marks in marked for mark in marks if mark} == {
        "place", "time", "means", "planning",
    }  # fmt: skip
    assert 10 <= sum(len(marks) >= 2 for marks in marked) <= 16


def test_a_tenth_only_sounds_violent(generator):
    drafts = generator.all_drafts(generator.Dice(generator.SEED))
    share = sum(draft.look_alike for draft in drafts) / len(drafts)
    assert 0.08 <= share <= 0.12


def test_material_is_large():
    names = ("everyday", "look_alikes", "other_languages")
    written = [row["text"] for name in names for row in read(DEMO / "material" / f"{name}.csv")]
    assert len(set(written)) == len(written) >= 1200
    assert len(read(DEMO / "material" / "templates.csv")) >= 250


def test_every_slot_is_known_and_filled(rows):
    material = DEMO / "material"
    slots = {row["slot"] for row in read(material / "slots.csv")} | {"tag"}
    for row in read(material / "templates.csv"):
        for slot in re.findall(r"\{(.*?)\}", row["template"]):
            assert slot in slots or re.fullmatch(r"\d+-\d+", slot), row
    assert not [row["text"] for row in rows if re.search(r"[{}\[\]|]", row["text"])
                and "[ominous" not in row["text"]]  # fmt: skip


def test_texts_are_varied(rows):
    texts = [low(row["text"]) for row in rows if row["text"]]
    counts = Counter(texts)
    assert max(counts.values()) <= 2
    assert len(counts) / len(texts) >= 0.98
    starts = Counter(" ".join(text.split()[:4]) for text in texts)
    assert len(starts) / len(texts) >= 0.75
    assert max(starts.values()) / len(texts) < 0.005
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) >= 2
    assert 60 <= max(lengths) <= 90
    assert statistics.quantiles(lengths, n=10)[-1] > 2 * statistics.quantiles(lengths, n=10)[0]


def test_texts_are_those_of_real_posts(rows):
    texts = [row["text"] for row in rows]
    share = {
        "lower case": sum(text == text.lower() for text in texts) / len(texts),
        "hashtags": sum("#" in text for text in texts) / len(texts),
        "handles": sum("@" in text for text in texts) / len(texts),
        "links": sum("https://example.org" in text for text in texts) / len(texts),
        "emoji": sum(bool(re.search("[\u2600-\u27bf\U0001f300-\U0001faff]", t)) for t in texts)
        / len(texts),
    }
    assert 0.1 < share.pop("lower case") < 0.5
    assert all(0.005 < value < 0.25 for value in share.values()), share
    foreign = {row["text"] for row in read(DEMO / "material" / "other_languages.csv")}
    assert 0.01 < sum(text in foreign for text in texts) / len(texts) < 0.02
    assert 4 <= sum("â€" in text for text in texts) <= 20


def test_nobody_can_be_reached(rows):
    for row in rows:
        text = row["text"]
        assert not re.search(r"\S@\w+\.\w", text), text
        assert all(link.startswith("example.org/") for link in re.findall(r"://(\S+)", text)), text
        assert not re.search(r"\w\.(com|net|de|io|uk|info)\b", text), text
        numbers = re.findall(r"\d[\d -]{5,}\d", text)
        assert all(number.startswith("555-01") for number in numbers), text


def test_nothing_is_in_the_case_suite(rows):
    suite = {low(row["text"]) for row in read(DATA / "cases" / "test.csv")}
    assert not {low(row["text"]) for row in rows} & suite


def test_reports(rows, weeks):
    early = [row for week in weeks[:6] for row in week]
    late = [row for week in weeks[6:] for row in week]
    for some in (early, late):
        bad = violent(some)
        good = [row for row in some if row["violent"] == "0"]
        assert sum(bool(row["reported_at"]) for row in bad) / len(bad) == pytest.approx(0.45, 0.08)
        share = sum(bool(row["reported_at"]) for row in good) / len(good)
        assert share == pytest.approx(0.015, abs=0.003)
    for row in rows:
        if row["reported_at"]:
            assert when(row["created_at"]) < when(row["reported_at"]) < END


def test_removals_slow_down_after_the_vote(weeks):
    def removed(first, last):
        bad = violent(row for week in weeks[first - 1 : last] for row in week)
        reported = [row for row in bad if row["reported_at"]]
        hours = [
            (when(row["removed_at"]) - when(row["reported_at"])) / timedelta(hours=1)
            for row in reported
            if row["removed_at"]
        ]
        return len(hours) / len(reported), statistics.median(hours)

    early, late = removed(1, 6), removed(7, 12)
    assert early[0] == pytest.approx(0.55, abs=0.08)
    assert 10 <= early[1] <= 35
    assert late[0] == pytest.approx(0.10, abs=0.03)
    assert late[1] > 2 * early[1]


def test_some_removals_have_no_report(rows):
    alone = [row for row in rows if row["removed_at"] and not row["reported_at"]]
    assert len(alone) == 4  # one of them is the defect below


def test_views_are_skewed(rows):
    views = [int(row["views"]) for row in rows]
    assert statistics.mean(views) > 1.5 * statistics.median(views) > 30


def test_defects_are_those_listed(rows):
    years = Counter(row["created_at"][:4] for row in rows)
    assert (years[""], years["1970"], years["2099"]) == (2, 1, 1)
    assert years["2025"] == len(rows) - 4
    assert sum(not row["text"].strip() for row in rows) == 3
    assert [row["views"] for row in rows if int(row["views"]) < 0] == ["-1"]
    again = [name for name, n in Counter(row["id"] for row in rows).items() if n > 1]
    same = [len({tuple(r.values()) for r in rows if r["id"] == name}) for name in again]
    assert sorted(same) == [1, 2]
    backwards = [
        row
        for row in rows
        if row["removed_at"] and when(row["removed_at"]) < when(row["created_at"])
    ]
    assert len(backwards) == 1
