"""A real host from end to end: the labeled posts of parler_violence.

The data set has no dates, so the posts are dated here, at random over ten weeks: a trend that is
found in them is found by chance.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

import hostrisk

pa = pytest.importorskip("pyarrow")
WEEKS = 10


@pytest.fixture(scope="module")
def posts() -> pa.Table:
    import pyarrow.compute as pc
    from pyarrow import parquet

    folder = os.environ.get("HOSTRISK_DATA")
    if folder is None:
        pytest.skip("HOSTRISK_DATA names no folder of labeled data")
    path = Path(folder) / "parler_violence.parquet"
    table = parquet.read_table(path, columns=["id", "text", "label"])
    table = table.filter(pc.greater_equal(table["label"], 0))
    rng = np.random.default_rng(0)
    moments = 1_604_275_200 + rng.integers(0, WEEKS * 7 * 86_400, len(table))  # from 2 Nov 2020
    return table.append_column("created_at", pa.array(moments).cast(pa.timestamp("s")))


@pytest.fixture(scope="module")
def assessments(posts: pa.Table) -> list[hostrisk.HostAssessment]:
    truth = dict(zip(posts["id"].to_pylist(), posts["label"].to_pylist(), strict=True))
    found = []
    for seed in range(5):
        rows = hostrisk.sample(posts, 300, seed=seed).to_pylist()
        labels = [{**row, "label": truth[row["id"]]} for row in rows]
        found.append(hostrisk.assess(posts, labels, name="parler"))
    return found


def test_intervals_hold_the_truth(posts: pa.Table, assessments) -> None:
    truth = float(np.mean(posts["label"].to_numpy()))
    overall = [found.record["hosts"][0]["overall"] for found in assessments]
    assert {one["method"] for one in overall} == {"reviewed sample"}
    assert sum(one["low"] <= truth <= one["high"] for one in overall) >= 4
    # A plain random sample of 300 has an interval of 0.044; docs/statistics.md.
    assert np.mean([one["high"] - one["low"] for one in overall]) < 0.8 * 0.044


def test_dates_at_random_show_no_trend(assessments) -> None:
    hosts = [found.record["hosts"][0] for found in assessments]
    assert all(len(host["weeks"]) == WEEKS for host in hosts)
    assert sum(host["trend"]["p_adjusted"] < 0.05 for host in hosts) <= 1
    assert sum("chance alone" in host["trend"]["sentence"] for host in hosts) >= 4


def test_the_report_reads_right_to_the_end(posts: pa.Table, assessments) -> None:
    found = assessments[0]
    page, letter = found.to_html(), found.notice("parler")
    assert page.rstrip().endswith("</html>")
    for section in ("Prevalence", "Kinds and targets", "Removal of posts", "Method and limits"):
        assert section in page
    assert "not known" in page  # nothing is known of removals, which is not zero
    assert not re.search(r"<script|javascript:|on\w+=\"", page.partition("<body>")[2])
    assert "parler" in letter
    host = found.record["hosts"][0]
    assert host["responsiveness"] is None
    assert len(host["exemplars"]) == 50
    assert {one["sha256"] for one in host["exemplars"]} <= {
        hashlib.sha256(text.encode()).hexdigest() for text in posts["text"].to_pylist()
    }
    assert all(one["label"] != 0 for one in host["exemplars"])


def test_without_labels_it_says_so(posts: pa.Table) -> None:
    found = hostrisk.assess(posts, name="parler")
    host = found.record["hosts"][0]
    truth = float(np.mean(posts["label"].to_numpy()))
    assert host["overall"]["method"] == "model-based"
    assert host["overall"]["low"] <= truth <= host["overall"]["high"]
    assert host["tier"] != "act"
    assert "model-based" in found.to_markdown()
