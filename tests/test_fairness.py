"""The fairness audit: its texts are sound, its figures those of the texts, its pages safe."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

import hostrisk
from hostrisk import InputError, material
from hostrisk.cli import main
from hostrisk.fairness import AREAS, ON_POSTS, SLICES, Fairness, IdentityResult, measure_fairness
from hostrisk.metrics import auc_interval, ratio_interval, share_of
from hostrisk.report.charts import percent
from hostrisk.report.fairness import render_html, render_text, summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN = Path(__file__).parents[1] / "data" / "cases" / "train.csv"
SLOTS = {"identity": "{group}", "name": "{name}", "sides": "{side}"}
WHOLE = (*SLICES, "dialect_aae", "dialect_white")
DEMOCRATS = "Democrats / Republicans"


def read_material(name: str) -> list[dict[str, str]]:
    with resources.files(material).joinpath(name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def fill(slice_: str, value: str, label: int | None = None) -> list[str]:
    """Put a value into templates; what opens a sentence is capitalized."""
    filled = []
    for template in material.templates(slice_):
        if label in {None, template.label}:
            text = template.text.replace(SLOTS[slice_], value)
            opens = template.text.startswith("{")
            filled.append(text[0].upper() + text[1:] if opens else text)
    return filled


def labels_of(texts: Sequence[material.Text]) -> np.ndarray[Any, Any]:
    return np.array([text.label for text in texts])


@pytest.fixture(scope="module")
def audit(clf: hostrisk.Classifier) -> Fairness:
    return measure_fairness(clf)


@pytest.fixture(scope="module")
def posts() -> tuple[list[str], list[int]]:
    """Enough posts that name Muslims, too few harmless ones that name nurses or Democrats."""
    violent = [
        *fill("identity", "Muslims", 1)[:22],
        *fill("identity", "nurses", 1)[:22],
        *fill("sides", "Democrats", 1)[:25],
    ]
    dialect = [item.text for item in material.texts("dialect_aae") if not item.label]
    harmless = [
        *fill("identity", "Muslims", 0)[:24],
        *fill("identity", "nurses", 0)[:19],
        *fill("sides", "Democrats", 0)[:19],
        *[text for text in dialect if material.dialect_of(text) == "aae"][:20],
    ]
    return [*violent, *harmless], [1] * len(violent) + [0] * len(harmless)


@pytest.fixture(scope="module")
def on_posts(clf: hostrisk.Classifier, posts: tuple[list[str], list[int]]) -> Fairness:
    return measure_fairness(clf, *posts)


# --- material ------------------------------------------------------------------------------------


def test_material_is_large_enough_and_labeled() -> None:
    assert len(material.identities()) >= 40
    assert len(material.texts("questions")) >= 300
    whole, templates = read_material("texts.csv"), read_material("templates.csv")
    assert {row["slice"] for row in whole} == set(WHOLE)
    assert {row["slice"] for row in templates} == set(SLOTS)
    assert {row["label"] for row in [*whole, *templates]} == {"0", "1"}
    for name in SLOTS:
        assert {item.label for item in material.templates(name)} == {0, 1}
    for name in SLICES:
        assert {item.label for item in material.texts(name)} == {0}


def test_every_template_has_its_slot_and_no_other_braces() -> None:
    for name, slot in SLOTS.items():
        for text in (item.text for item in material.templates(name)):
            assert slot in text
            assert not set("{}") & set(text.replace(slot, "")), text
            if name != "sides":  # a post may name a camp twice
                assert text.count(slot) == 1, text
    assert not [row for row in read_material("texts.csv") if set("{}") & set(row["text"])]


def test_pairs_of_dialects_are_complete() -> None:
    first, second = (material.texts(f"dialect_{name}") for name in ("aae", "white"))
    labels = {item.pair: item.label for item in first}
    assert len(labels) == len(first) == len(second)
    assert labels == {item.pair: item.label for item in second}
    assert "" not in labels
    assert {item.pair for name in SLICES for item in material.texts(name)} == {""}
    assert not [item for item in second if material.dialect_of(item.text) == "aae"]


def test_groups_and_names_stand_once() -> None:
    terms = [one.term for one in material.identities()]
    names = [name for family in material.names().values() for name in family]
    for found in (terms, names):
        assert all(found)
        assert len(set(found)) == len(found)
    assert min(map(len, material.names().values())) >= 10


def test_no_text_stands_twice_or_is_trained_on() -> None:
    rows = [*read_material("templates.csv"), *read_material("texts.csv")]
    texts = [" ".join(row["text"].casefold().split()) for row in rows]
    assert [text for text, times in Counter(texts).items() if times > 1] == []
    with TRAIN.open(encoding="utf-8", newline="") as stream:
        train = [" ".join(row["text"].casefold().split()) for row in csv.DictReader(stream)]
    assert not set(texts) & set(train)

    holders = defaultdict(set)
    for at, text in enumerate(train):
        for words in trigrams(text):
            holders[words].add(at)
    for text in texts:
        own = trigrams(text)
        if len(own) >= 5:  # below that, half of them is any turn of phrase
            shared = Counter(at for words in own for at in holders.get(words, ()))
            assert max(shared.values(), default=0) < len(own) / 2, text


def trigrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w'’{}]+", text)
    return set(zip(words, words[1:], words[2:], strict=False))


def test_every_group_is_found_by_its_own_term() -> None:
    for one in material.identities():
        for text in (one.term, f"the {one.term.upper()}!", f"#{one.term.lower()}"):
            assert one.words.search(text), text
        assert not one.words.search(f"x{one.term}x")


# --- sides and dialects --------------------------------------------------------------------------


@pytest.mark.parametrize("pair", material.sides(), ids=lambda pair: pair.first)
@pytest.mark.parametrize("style", [str.lower, str.upper, str.capitalize])
def test_swapping_twice_changes_nothing(pair: material.Sides, style: Any) -> None:
    for one, other in pair.words.items():
        text = f"so {style(one)}, and #{style(other)} or x{one}x"
        swapped = pair.swap(text)
        assert swapped == f"so {style(other)}, and #{style(one)} or x{one}x"
        assert pair.swap(swapped) == text
    assert pair.swap("nobody in particular, for Biden voters") == (
        "nobody in particular, for Biden voters"
    )


@pytest.mark.parametrize("text", ["democratſ", "republıcans", "REPUBLİCANS"])
def test_swapping_takes_any_letter_that_the_pattern_does(text: str) -> None:
    material.sides()[0].swap(text)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("he be working late", "aae"),
        ("they was at the house", "aae"),
        ("we done told you twice", "aae"),
        ("aint nobody coming", "aae"),
        ("im finna go, dat bus late", "aae"),
        ("Finna go", None),
        ("finna FINNA finna", None),
        ("They were at the house, and there isn't anybody coming", "white"),
        ("the distal wires", "white"),  # holds dis and wi, not as words
        ("", "white"),
    ],
)
def test_dialect_of(text: str, dialect: str | None) -> None:
    assert material.dialect_of(text) == dialect


# --- figures -------------------------------------------------------------------------------------


def check_identity(
    found: IdentityResult, inside: Any, labels: Any, scores: Any, threshold: float
) -> None:
    """Compare a group's figures with those of scikit-learn on the same texts."""
    positive = labels == 1
    kept = {"subgroup": inside, "bpsn": inside != positive, "bnsp": inside == positive}
    for name in AREAS:
        area = roc_auc_score(labels[kept[name]], scores[kept[name]])
        assert getattr(found, name).estimate == pytest.approx(area), (found.name, name)
    assert found.positives == np.sum(inside & positive)
    assert found.negatives == np.sum(inside & ~positive)
    assert found.recall == pytest.approx(np.mean(scores[inside & positive] >= threshold))
    assert found.false_positive_rate == pytest.approx(
        np.mean(scores[inside & ~positive] >= threshold)
    )


def test_areas_of_templates_agree_with_the_oracle(
    clf: hostrisk.Classifier, audit: Fairness
) -> None:
    groups = material.identities()
    truth = labels_of(material.templates("identity"))
    scores = np.array([clf.score(fill("identity", one.term)) for one in groups])
    member = np.repeat([one.term for one in groups], len(truth))
    assert [found.name for found in audit.identities] == [one.term for one in groups]
    for found in audit.identities:
        check_identity(
            found, member == found.name, np.tile(truth, len(groups)), scores.ravel(),
            audit.threshold,
        )  # fmt: skip
        assert all(getattr(found, name)[1:] == (None, None) for name in AREAS)
    assert audit.mean_areas()["bpsn"] == pytest.approx(
        np.mean([found.bpsn.estimate for found in audit.identities])
    )


class Prejudiced:
    """The bundled model, but certain of violence wherever one group is named."""

    def __init__(self, clf: hostrisk.Classifier, words: re.Pattern[str]) -> None:
        self.clf = clf
        self.words = words
        self.artifact, self.policy, self.model_id = clf.artifact, clf.policy, clf.model_id

    def score(self, texts: list[str]) -> list[float]:
        pairs = zip(texts, self.clf.score(texts), strict=True)
        return [1.0 if self.words.search(text) else score for text, score in pairs]


def test_prejudice_shows_in_bpsn_of_its_group(clf: hostrisk.Classifier, audit: Fairness) -> None:
    jews = next(one for one in material.identities() if one.term == "Jews")
    biased: Any = Prejudiced(clf, jews.words)
    for fair, found in zip(audit.identities, measure_fairness(biased).identities, strict=True):
        if found.name == "Jews":
            assert found.bpsn.estimate == 0 < (fair.bpsn.estimate or 0)
            assert found.bnsp.estimate == 1
            assert found.subgroup.estimate == 0.5
            assert (found.false_positive_rate, found.recall) == (1, 1)
        else:  # hit only through what it is compared with
            assert found.subgroup == fair.subgroup
            assert (found.bpsn.estimate or 0) >= (fair.bpsn.estimate or 0)


def test_names_slices_and_dialects_are_counted(clf: hostrisk.Classifier, audit: Fairness) -> None:
    def flagged(texts: Sequence[str]) -> list[bool]:
        return [score >= audit.threshold for score in clf.score(list(texts))]

    for label, shares in enumerate((audit.names, audit.names_violent)):
        assert [share.name for share in shares] == list(material.names())
        for share in shares:
            texts = [t for name in material.names()[share.name] for t in fill("name", name, label)]
            assert share == share_of(share.name, flagged(texts))
    assert [share.name for share in audit.slices] == list(SLICES)
    for share in audit.slices:
        assert share == share_of(
            share.name, flagged([item.text for item in material.texts(share.name)])
        )
    assert [found.name for found in audit.dialects] == ["harmless pairs", "violent pairs"]
    for label, found in enumerate(audit.dialects):
        for share in (found.aae, found.white):
            items = material.texts(f"dialect_{share.name}")
            assert share == share_of(
                share.name, flagged([item.text for item in items if item.label == label])
            )
        assert found[3:] == ratio_interval(found.aae, found.white)


def test_sides_of_templates_are_recounted(clf: hostrisk.Classifier, audit: Fairness) -> None:
    sizes = []
    pairs = [(pair, label) for pair in material.sides() for label in (0, 1)]
    for found, (pair, label) in zip(audit.sides, pairs, strict=True):
        first, second = (clf.score(fill("sides", side, label)) for side in pair[:2])
        change = [a - b for a, b in zip(first, second, strict=True)]
        assert (found.name, found.label) == (f"{pair.first} / {pair.second}", label)
        assert found.texts == len(change)
        assert found.shift == pytest.approx(sum(change) / len(change))
        assert found.mean_change == pytest.approx(sum(map(abs, change)) / len(change))
        assert found.largest == pytest.approx(max(map(abs, change)))
        sizes += map(abs, change)
    assert audit.mean_change() == pytest.approx(sum(sizes) / len(sizes))


# --- posts given ---------------------------------------------------------------------------------


def test_groups_in_posts_need_enough_of_each_label(
    clf: hostrisk.Classifier, posts: tuple[list[str], list[int]], on_posts: Fairness
) -> None:
    texts, labels = posts[0], np.array(posts[1])
    scores = np.array(clf.score(texts))
    named = {
        one.term: np.array([bool(one.words.search(text)) for text in texts])
        for one in material.identities()
    }
    names = [found.name for found in on_posts.posts_identities]
    assert "Muslims" in names
    assert not {"nurses", "Democrats"} & set(names)
    assert names == [
        term for term, inside in named.items()
        if min(np.sum(inside & (labels == 0)), np.sum(inside & (labels == 1))) >= 20
    ]  # fmt: skip
    for found in on_posts.posts_identities:
        inside = named[found.name]
        check_identity(found, inside, labels, scores, on_posts.threshold)
        assert found.bpsn == auc_interval(
            scores[inside & (labels == 0)], scores[~inside & (labels == 1)]
        )


def test_only_posts_that_name_a_side_are_swapped(
    clf: hostrisk.Classifier, posts: tuple[list[str], list[int]], on_posts: Fairness
) -> None:
    pairs = zip(*posts, strict=True)
    texts = [text for text, label in pairs if label and "Democrats" in text]
    swapped = [text.replace("Democrats", "Republicans") for text in texts]
    change = np.subtract(clf.score(swapped), clf.score(texts))
    found = {(one.name, one.label): one for one in on_posts.posts_sides}
    assert (DEMOCRATS, 0) not in found  # nineteen posts are too few
    one = found[DEMOCRATS, 1]
    assert (one.texts, one.shift) == (25, None)
    assert one.mean_change == pytest.approx(np.abs(change).mean())
    assert one.largest == pytest.approx(np.abs(change).max())


def test_dialects_of_harmless_posts(
    clf: hostrisk.Classifier, posts: tuple[list[str], list[int]], on_posts: Fairness
) -> None:
    pairs = list(zip(*posts, strict=True))
    found = on_posts.dialects[-1]
    assert found.name == ON_POSTS
    for share in (found.aae, found.white):
        own = [t for t, label in pairs if not label and material.dialect_of(t) == share.name]
        assert share == share_of(
            share.name, [score >= on_posts.threshold for score in clf.score(own)]
        )
    assert found.aae.texts == 20
    fewer = measure_fairness(clf, posts[0][:-1], posts[1][:-1])  # nineteen in the dialect
    assert ON_POSTS not in {dialects.name for dialects in fewer.dialects}


def test_posts_leave_the_other_figures_alone(
    posts: tuple[list[str], list[int]], audit: Fairness, on_posts: Fairness
) -> None:
    assert (audit.posts, on_posts.posts) == (0, len(posts[0]))
    assert (audit.posts_identities, audit.posts_sides) == ((), ())
    assert on_posts._replace(
        posts=0, posts_identities=(), posts_sides=(), dialects=on_posts.dialects[:2]
    ) == audit  # fmt: skip


def test_without_others_there_is_no_area_between(clf: hostrisk.Classifier) -> None:
    texts = fill("identity", "Muslims")
    found = measure_fairness(clf, texts, labels_of(material.templates("identity")).tolist())
    muslims = next(one for one in found.posts_identities if one.name == "Muslims")
    assert muslims.bpsn == muslims.bnsp == (None, None, None)
    assert muslims.subgroup.estimate is not None
    json.dumps(found.to_dict(), allow_nan=False)
    assert re.search(r"^Muslims .* n/a +n/a ", found.to_text(), re.MULTILINE)
    assert '<td class="n">n/a</td>' in found.to_html()


def test_threshold_is_one_that_the_model_has(clf: hostrisk.Classifier) -> None:
    found = measure_fairness(clf, at="fpr_0.001")
    assert found.threshold == clf.artifact.thresholds["fpr_0.001"]
    with pytest.raises(InputError, match="at is 'sure'"):
        measure_fairness(clf, at="sure")


# --- what it looks like --------------------------------------------------------------------------


def test_dict_is_json(audit: Fairness, on_posts: Fairness) -> None:
    for found in (audit, on_posts):
        record = found.to_dict()
        again = json.loads(json.dumps(record, allow_nan=False))
        assert again == record
        assert (render_text(again), render_html(again)) == (found.to_text(), found.to_html())
        assert again["means"] == {**found.mean_areas(), "side_change": found.mean_change()}


def test_text_and_page_hold_the_figures(on_posts: Fairness) -> None:
    page = on_posts.to_html()
    lines = [" ".join(line.split()) for line in on_posts.to_text().splitlines()]
    expected = {
        "sides": [
            f"{one.name} {('harmless', 'violent')[one.label]} {one.texts} {one.mean_change:.3f} "
            f"{one.largest:.3f} {round(one.shift or 0, 3) + 0:+.3f}"
            for one in on_posts.sides
        ],
        "shares": [
            f"{one.name.replace('_', ' ')} {one.texts} {one.flagged} {percent(one.estimate)} "
            f"{percent(one.low)} to {percent(one.high)}"
            for one in (*on_posts.slices, *on_posts.names, *on_posts.names_violent)
        ],
        "dialects": [
            f"{one.name} {one.aae.flagged} of {one.aae.texts} {one.white.flagged} of "
            f"{one.white.texts} {one.ratio:.2f} {one.low:.2f} to {one.high:.2f}"
            for one in on_posts.dialects
        ],
        "groups": [
            f"{one.name} {one.positives} {one.negatives} {one.subgroup.estimate:.3f} "
            f"{one.bpsn.estimate:.3f} {one.bnsp.estimate:.3f} {one.recall:.3f} "
            f"{one.false_positive_rate:.3f}"
            for one in on_posts.identities
        ],
    }
    for rows in expected.values():
        assert [row for row in rows if row not in lines] == []
    for section in summarize(on_posts.to_dict())["sections"]:
        assert section["title"] in page
        for row in section["rows"]:
            cells = re.search(
                rf"<bdi>{re.escape(row['name'])}</bdi>(?:(?!</tr>).)*"
                + r"\s*".join(f'<td class="n">{re.escape(cell)}</td>' for cell in row["cells"]),
                page, re.DOTALL,
            )  # fmt: skip
            assert cells, row
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page


def test_groups_come_lowest_bpsn_first_and_posts_only_where_given(
    audit: Fairness, on_posts: Fairness
) -> None:
    ordered = sorted(audit.identities, key=lambda one: one.bpsn.estimate or 0)
    rows = summarize(audit.to_dict())["sections"][-1]["rows"]
    assert [row["name"] for row in rows] == [one.name for one in ordered]
    assert "the posts given" not in audit.to_text()
    assert on_posts.to_text().count("the posts given") == 2
    muslims = next(one for one in on_posts.posts_identities if one.name == "Muslims")
    low, high = muslims.bpsn[1:]
    assert f"({low:.3f} to {high:.3f})" in on_posts.to_text()


def test_what_a_model_is_called_is_escaped(audit: Fairness) -> None:
    named = audit._replace(model="<script>alert(1)</script>\u202e")
    page = named.to_html()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page + named.to_text()


# --- command -------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, posts: tuple[list[str], list[int]]) -> Path:
    path = tmp_path / "posts.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *zip(*posts, strict=True)])
    return path


def test_command_without_file(tmp_path: Path, audit: Fairness) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["audit", "--html", str(page)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == audit.to_text().rstrip("\n") + "\n"
    assert page.read_text("utf-8") == audit.to_html()


def test_command_with_file(file: Path, on_posts: Fairness) -> None:
    done = CliRunner().invoke(main, ["audit", str(file), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == on_posts.to_dict()


def test_command_refuses(tmp_path: Path, file: Path) -> None:
    page = tmp_path / "page.html"
    unknown = CliRunner().invoke(main, ["audit", "--at", "sure", "--html", str(page)])
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert re.fullmatch(
        r"hostrisk: error: at is 'sure'; the model \S+ has .*balanced.*\n", unknown.stderr
    )
    assert not page.exists()
    before = file.read_bytes()
    same = CliRunner().invoke(main, ["audit", str(file), "--html", str(file)])
    assert (same.exit_code, same.stdout) == (1, "")
    assert f"{file} is being read" in same.stderr
    assert file.read_bytes() == before
