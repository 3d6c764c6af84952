"""The written data: its columns, its size, and that test and training parts stay apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hostrisk.policy import KINDS, TARGETS

CASES = Path(__file__).parents[1] / "data" / "cases"
COLUMNS = ["id", "text", "label", "kind", "target", "capability", "template"]


@pytest.fixture(scope="module", params=["train", "test"])
def cases(request: pytest.FixtureRequest) -> pd.DataFrame:
    return pd.read_csv(CASES / f"{request.param}.csv", keep_default_na=False)


def test_rows_are_whole(cases: pd.DataFrame) -> None:
    assert list(cases.columns) == COLUMNS
    assert cases["id"].is_unique
    assert cases["text"].str.lower().is_unique
    assert cases["text"].str.strip().str.len().min() > 0
    assert set(cases["label"]) == {0, 1}


def test_kinds_and_targets_are_those_of_the_policy(cases: pd.DataFrame) -> None:
    positive = cases[cases["label"] == 1]
    assert set(positive["kind"]) == set(KINDS)
    assert {name for names in positive["target"] for name in names.split(",")} <= set(TARGETS)
    assert set(cases.loc[cases["label"] == 0, "kind"]) == {"none"}
    assert set(cases.loc[cases["label"] == 0, "target"]) == {""}


def test_suite_is_large_and_balanced() -> None:
    suite = pd.read_csv(CASES / "test.csv", keep_default_na=False)
    assert len(suite) >= 1000
    assert suite["capability"].nunique() >= 40
    assert 0.45 < suite["label"].mean() < 0.55
    # A capability is one thing to be able to do: all its cases have one right answer.
    assert (suite.groupby("capability")["label"].nunique() == 1).all()


def test_parts_share_nothing() -> None:
    train, test = (pd.read_csv(CASES / f"{part}.csv") for part in ("train", "test"))
    for column in ("id", "text", "template"):
        assert not set(train[column]) & set(test[column])
