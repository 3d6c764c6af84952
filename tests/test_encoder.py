"""The tiers with an encoder: the same methods as the fast one, on the model that is shipped."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import hostrisk
from hostrisk import artifact
from hostrisk.artifact import bundled_path
from hostrisk.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("onnxruntime", reason='needs pip install "hostrisk[accurate]"')

THREAT = "you are next on the list, bring rope to his house on Saturday"
CALM = "we baked a cake for the school party"
LONG = "the weather was fine all day long. " * 60 + "we will hang every one of you. " + "ok " * 150
TEXTS = [THREAT, CALM, LONG, "", "k1ll th3m 4ll", "\U0001f52b\U0001f52b you @user", "ха ха"]


@pytest.fixture(scope="session")
def accurate() -> hostrisk.Classifier:
    return hostrisk.load("accurate")


@pytest.fixture(scope="session")
def cascade() -> hostrisk.Classifier:
    return hostrisk.load("cascade")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(bundled_path("accurate"), tmp_path / "model")


def test_texts_are_told_apart(accurate: hostrisk.Classifier) -> None:
    assert accurate.decide(THREAT).flagged
    assert not accurate.decide(CALM).flagged
    assert accurate.decide(LONG).flagged
    decision = accurate.decide("they should hang the judge from a lamppost")
    assert decision.kind == "incitement"
    assert "official" in decision.targets
    assert decision.model.startswith("accurate-")


@pytest.mark.parametrize("name", ["accurate", "cascade"])
def test_every_way_of_scoring_agrees(name: str) -> None:
    clf = hostrisk.load(name)
    one_by_one = [clf.score(text) for text in TEXTS]
    given = [TEXTS[0], None, *TEXTS[1:]]
    expected = [one_by_one[0], None, *one_by_one[1:]]
    assert clf.score(given) == expected
    assert clf.score(given * 40, threads=2) == expected * 40
    assert clf.score(pa.array(given)).to_pylist() == expected
    assert clf.score(pa.chunked_array([given[:3], given[3:]])).to_pylist() == expected
    assert clf.score([]) == []
    assert [d.score for d in clf.decide(given)] == expected


def test_a_text_scores_the_same_whatever_stands_beside_it(accurate: hostrisk.Classifier) -> None:
    alone = accurate.score(CALM)
    assert accurate.score([THREAT, CALM, LONG])[1] == alone


def test_cascade_asks_the_encoder_only_in_its_band() -> None:
    cascade, accurate, fast = map(hostrisk.load, ("cascade", "accurate", "fast"))
    assert cascade.encoded_share is None
    scorer: Any = cascade.artifact.scorer
    posts = [*TEXTS, *(f"{CALM} {n}" for n in range(50))]
    unsure = 0
    pairs = zip(cascade.score(posts), accurate.score(posts), fast.score(posts), strict=True)
    for mixed, slow, quick in pairs:
        inside = scorer.low <= quick <= scorer.high
        unsure += inside
        assert mixed == (slow if inside else quick)
    assert cascade.encoded_share == unsure / len(posts)
    assert 0 < unsure < len(posts)
    assert (accurate.encoded_share, fast.encoded_share) == (1.0, 0.0)


def test_tiers_of_one_folder_have_ids_of_their_own(folder: Path) -> None:
    ids = {
        tier: hostrisk.load(folder, tier=tier).model_id for tier in ("accurate", "cascade", "fast")
    }
    assert len(set(ids.values())) == 3
    assert hostrisk.load(folder).model_id == ids["accurate"]
    assert hostrisk.load("accurate").model_id == ids["accurate"]
    with pytest.raises(ModelError, match="has no tier 'slow'; it has accurate, cascade, fast"):
        hostrisk.load(folder, tier="slow")
    with pytest.raises(ModelError, match="has no tier 'accurate'; it has fast"):
        hostrisk.load("default", tier="accurate")


def test_the_fast_tier_of_the_folder_needs_no_encoder(folder: Path) -> None:
    fast = hostrisk.load(folder, tier="fast")
    assert fast.score(TEXTS) == pytest.approx(hostrisk.load().score(TEXTS), abs=1e-12)


# --- explanations --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["accurate", "cascade"])
def test_explanations_add_up_and_lie_on_the_text(name: str, text: str) -> None:
    clf = hostrisk.load(name)
    found = clf.explain(text)
    assert found.score == pytest.approx(clf.score(text), abs=1e-12)
    total = found.bias + sum(span.weight for span in found.spans)
    assert total == pytest.approx(found.logit, abs=1e-9)
    for span in found.spans:
        assert text[span.start : span.end] == span.text
        assert found.window[0] <= span.start < span.end <= found.window[1]


def test_occlusion_finds_the_words_that_matter(accurate: hostrisk.Classifier) -> None:
    found = accurate.explain("dear all, the cake is ready. I will shoot you dead tomorrow")
    assert found.method == "occlusion"
    best = max(found.spans, key=lambda span: span.weight)
    assert best.text in {"shoot", "dead", "you", "will"}


def test_the_window_of_a_long_text_holds_its_violence(accurate: hostrisk.Classifier) -> None:
    start, end = accurate.explain(LONG).window
    assert "hang every one of you" in LONG[start:end]
    assert end - start < len(LONG)


# --- what is refused -----------------------------------------------------------------------------


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for name, value in changes.items():
        spot = manifest
        *parents, last = name.split("__")
        for parent in parents:
            spot = spot[parent]
        spot[last] = value
    path.write_text(json.dumps(manifest), "utf-8")


def replace_file(folder: Path, name: str, content: bytes) -> None:
    import hashlib

    (folder / name).write_bytes(content)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize("name", ["encoder.onnx", "tokenizer.json"])
def test_damaged_files_are_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"{name} is damaged"):
        hostrisk.load(folder)


@pytest.mark.parametrize("name", ["encoder.onnx", "tokenizer.json"])
def test_foreign_files_are_refused(folder: Path, name: str) -> None:
    replace_file(folder, name, b"{}")
    with pytest.raises(ModelError, match="the encoder cannot be built"):
        hostrisk.load(folder)


def test_word_pieces_that_the_graph_does_not_have_are_refused(folder: Path) -> None:
    pieces = json.loads((folder / "tokenizer.json").read_bytes())
    pieces["model"]["vocab"]["unheard"] = 10_000_000
    replace_file(folder, "tokenizer.json", json.dumps(pieces).encode())
    with pytest.raises(ModelError, match="encoder"):
        hostrisk.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder__window": 4}, "window is 4"),
        ({"encoder__stride": 0}, "stride is 0"),
        ({"encoder__mix__encoder": -1}, "encoder.mix.encoder is -1"),
        ({"encoder__mix__fast": "x"}, "encoder.mix.fast is 'x'"),
        ({"encoder__band__low": 2}, "encoder.band.low is 2"),
        ({"encoder__thresholds": {}}, "no threshold named 'default'"),
        ({"encoder__targets": []}, "encoder.targets has 0 entries"),
        ({"encoder": None}, "encoder must be an object"),
    ],
)
def test_wrong_values_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelError, match=message.replace("[", r"\[")):
        hostrisk.load(folder)


def test_too_few_heads_are_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    rewrite(folder, encoder__targets=manifest["encoder"]["targets"][:-1])
    with pytest.raises(ModelError, match="numbers a text"):
        hostrisk.load(folder)


def test_verify_scores_the_golden_texts(folder: Path) -> None:
    assert any("golden" in line for line in artifact.verify(folder))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    golden = manifest["golden"]
    golden[0]["score"] = 1 - golden[0]["score"]
    rewrite(folder, golden=golden)
    with pytest.raises(ModelError, match="scores"):
        list(artifact.verify(folder))


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(hostrisk.MissingExtraError, match=r'pip install "hostrisk\[accurate\]"'):
        hostrisk.load("accurate")
    assert hostrisk.load("fast").score(CALM) < 0.5
