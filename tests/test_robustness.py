"""Attacks and the report on them: what is measured is what was done, and pages are safe."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import hostrisk
from hostrisk import InputError
from hostrisk.attacks import ATTACKS, NOISE, attack, noise
from hostrisk.cli import main
from hostrisk.report.robustness import summarize
from hostrisk.robustness import measure_robustness

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "We should shoot the senator at https://t.co/x #tonight, every one of them"
VIOLENT = [f"we will {verb} every {who} tonight" for verb in ("shoot", "hang", "kill")
           for who in ("judge", "senator", "banker", "clerk")]  # fmt: skip
CALM = [f"the {who} had a lovely day out" for who in ("judge", "senator", "banker", "clerk")]


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_change_texts_repeatably_and_leave_links_alone(name: str) -> None:
    changed = attack(TEXT, name, share=1.0)
    assert changed == attack(TEXT, name, share=1.0)
    assert changed != TEXT
    assert "https://t.co/x #tonight" in changed
    if name not in {"padding_before", "padding_after", "disavowal", "quotation"}:
        assert attack(TEXT, name, share=0.0) == TEXT
    else:
        assert TEXT in changed


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_take_any_text(name: str) -> None:
    rng = random.Random(1)
    for _ in range(200):
        text = "".join(rng.choices("abz .#@\u200b\U0001f52b1\n", k=rng.randrange(12)))
        attack(text, name, share=1.0)


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_repeatable_and_varied(name: str) -> None:
    made = list(noise(name, 200))
    assert made == list(noise(name, 200))
    assert made != list(noise(name, 200, seed=1))
    assert len(set(made)) > 150


def test_figures_are_those_of_the_attacked_texts(clf: hostrisk.Classifier) -> None:
    texts, labels = [*VIOLENT, *CALM], [1] * len(VIOLENT) + [0] * len(CALM)
    found = measure_robustness(clf, texts, labels, generated=400)
    assert (found.positives, found.negatives) == (len(VIOLENT), len(CALM))
    assert found.threshold == clf.artifact.thresholds["balanced"]
    assert [result.name for result in found.attacks] == ["none", *ATTACKS]
    for result in found.attacks[1:]:
        scores = clf.score([attack(text, result.name) for text in VIOLENT])
        recall = sum(score >= found.threshold for score in scores) / len(VIOLENT)
        assert result.recall == pytest.approx(recall)
        assert result.lost == pytest.approx(found.attacks[0].recall - recall)
        assert result.low <= result.recall <= result.high
    for odd in found.noise:
        scores = clf.score(list(noise(odd.name, 100)))
        assert (odd.texts, odd.flagged) == (100, sum(s >= found.threshold for s in scores))


def test_without_positives_there_is_nothing_to_measure(clf: hostrisk.Classifier) -> None:
    with pytest.raises(InputError, match="no text has the label 1"):
        measure_robustness(clf, CALM, [0] * len(CALM))
    with pytest.raises(InputError, match="at is 'sure'"):
        measure_robustness(clf, VIOLENT, [1] * len(VIOLENT), at="sure")


def test_tables_and_page(clf: hostrisk.Classifier) -> None:
    found = measure_robustness(clf, VIOLENT, [1] * len(VIOLENT), generated=0)
    record = json.loads(json.dumps(found.to_dict()))
    worst = summarize(record)["sections"][0]["rows"]
    assert len(worst) == 1 + len(ATTACKS)
    text, page = found.to_text(), found.to_html()
    for name in ATTACKS:
        assert name in text
        assert name in page
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert "n/a" in text  # no other texts, so no false alarms among them


def test_what_a_model_is_called_is_escaped(clf: hostrisk.Classifier) -> None:
    found = measure_robustness(clf, VIOLENT, [1] * len(VIOLENT), generated=0)
    page = found._replace(model="<script>alert(1)</script>\u202e").to_html()
    assert "<script>" not in page
    assert "\u202e" not in page


def test_command(tmp_path: Path) -> None:
    path, page = tmp_path / "posts.csv", tmp_path / "page.html"
    rows = [f"{text},1" for text in VIOLENT] + [f"{text},0" for text in CALM]
    path.write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    given = ["attack", str(path), "--generated", "40"]
    done = CliRunner().invoke(main, [*given, "--html", str(page), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["positives"] == len(VIOLENT)
    assert "Robustness" in page.read_text("utf-8")
    assert "misspelling" in CliRunner().invoke(main, given).stdout
    empty = tmp_path / "empty.csv"
    empty.write_text("text,label\na,0\n", "utf-8")
    refused = CliRunner().invoke(main, ["attack", str(empty), "--html", str(tmp_path / "no.html")])
    assert refused.exit_code == 1
    assert "no text has the label 1" in refused.stderr
    assert not (tmp_path / "no.html").exists()
