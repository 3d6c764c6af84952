"""Model folders: what is tampered with is refused before anything is built, in one sentence."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import hostrisk
from hostrisk import ModelError, artifact
from hostrisk.artifact import MANIFEST, WEIGHTS, load_artifact, save_artifact, verify
from hostrisk.features import SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

ADDED = ("format", "features", "files")  # what save_artifact puts into a manifest


class Model:
    """A model folder to tamper with; ``write`` and ``write_header`` put the hashes right again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
        self.weights = (path / WEIGHTS).read_bytes()

    def write(self) -> None:
        (self.path / MANIFEST).write_text(json.dumps(self.manifest))

    def write_weights(self, data: bytes) -> None:
        (self.path / WEIGHTS).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        self.manifest["files"][WEIGHTS] = {"bytes": len(data), "sha256": digest}
        self.write()

    def split(self) -> tuple[dict[str, Any], bytes]:
        size = int.from_bytes(self.weights[:8], "little")
        return json.loads(self.weights[8 : 8 + size]), self.weights[8 + size :]

    def write_header(self, header: Any, body: bytes) -> None:
        raw = json.dumps(header).encode()
        self.write_weights(len(raw).to_bytes(8, "little") + raw + body)

    def parts(self) -> tuple[dict[str, Any], bytes]:
        return {k: v for k, v in self.manifest.items() if k not in ADDED}, self.weights


@pytest.fixture
def model(model_dir: Path) -> Model:
    return Model(model_dir)


def fault(path: Path | str, *about: str) -> str:
    """Return the one sentence that refuses a folder, which must hold all of ``about``."""
    built = AssertionError("built before all was checked")
    scorer = mock.patch.object(artifact, "LinearScorer", side_effect=built)
    with scorer, pytest.raises(ModelError) as caught:
        load_artifact(path)
    message = str(caught.value)
    assert "\n" not in message, message
    assert len(message) < 400, message
    for words in about:
        assert words in message, message
    return message


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 8, 60, 5_000, -1])
def test_a_flipped_bit_of_the_weights_is_refused(model: Model, at: int) -> None:
    data = bytearray(model.weights)
    data[at] ^= 1
    (model.path / WEIGHTS).write_bytes(data)
    fault(model.path, WEIGHTS, "damaged", "SHA-256")


def test_a_changed_manifest_has_another_id(model: Model) -> None:
    before = load_artifact(model.path).model_id
    model.manifest["main"]["bias"] += 1e-9
    model.write()
    assert load_artifact(model.path).model_id != before


def test_missing_files_are_named(model: Model) -> None:
    (model.path / WEIGHTS).unlink()
    fault(model.path, str(model.path / WEIGHTS), "No such file")
    (model.path / MANIFEST).unlink()
    fault(model.path, str(model.path), MANIFEST, "No such file")
    fault(model.path / "none", "none is not a folder")
    fault(model.path / "README.md", "README.md is not a folder")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 40, 2_000])
def test_truncated_weights_are_refused(model: Model, size: int) -> None:
    (model.path / WEIGHTS).write_bytes(model.weights[:size])
    fault(model.path, WEIGHTS, f"has {size:,} bytes" if size else "is empty")
    if size:
        model.write_weights(model.weights[:size])  # and with a fitting hash
        fault(model.path, WEIGHTS)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "a\0b", "\ud800", MANIFEST, "x\n"],
)
def test_files_outside_of_the_folder_are_refused(model: Model, name: str) -> None:
    model.manifest["files"][name] = {"bytes": 1, "sha256": "0"}
    model.write()
    fault(model.path, f"{MANIFEST}.files names", "which is not a file of the folder")


def test_links_and_what_is_no_file_are_refused(model: Model, tmp_path: Path) -> None:
    inside = model.path / WEIGHTS
    outside = inside.rename(tmp_path / WEIGHTS)
    inside.symlink_to(outside)
    fault(model.path, WEIGHTS, "not a file of the folder")
    inside.unlink()
    os.mkfifo(inside)  # opening it would wait forever
    fault(model.path, WEIGHTS, "is not a file")


# --- manifest ------------------------------------------------------------------------------------


NO_MANIFEST: list[tuple[str, str]] = [
    ("", "manifest.json in"),
    ("{", "is not JSON"),
    ('{"format": NaN}', "NaN, which is no number"),
    ('{"format": 1, "x": [-Infinity]}', "-Infinity, which is no number"),
    ("\x00\x7f", "is not JSON"),
    ("[" * 100_000, "is not JSON"),
    ("9" * 5_000, "is not JSON"),
    ("[1]", "is not a JSON object"),
    ("null", "is not a JSON object"),
    ('"' + "y" * (16 << 20) + '"', "is over 16,777,216 bytes"),
    ("{}", "is a model of format None"),
    ('{"format": 1}', "manifest.json.name is missing; it must be text"),
]


@pytest.mark.parametrize("at", range(len(NO_MANIFEST)))
def test_what_is_no_manifest_is_refused(model: Model, at: int) -> None:
    content, words = NO_MANIFEST[at]
    (model.path / MANIFEST).write_text(content)
    fault(model.path, words)


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(format=3), "format 3, and this hostrisk reads format 1 and 2"),
    (lambda m: m.update(format="1"), "format '1'"),
    (lambda m: m.update(format=True), "format True"),
    (lambda m: m.update(format=[1]), "format [1]"),
    (lambda m: m.update(features="other-1"), "trained on the features 'other-1'"),
    (lambda m: m.update(name=7), "manifest.json.name is 7; it must be text"),
    (lambda m: m.pop("main"), "manifest.json.main must be an object, not None"),
    (lambda m: m.update(main=[]), "manifest.json.main must be an object, not []"),
    (lambda m: m["main"].pop("scale"), "main.scale is missing; it must be a number"),
    (lambda m: m["main"].update(scale=-1), "main.scale is -1; it must be from 0 to"),
    (lambda m: m["main"].update(scale="1"), "main.scale is '1'; it must be a number"),
    (lambda m: m["main"].update(scale=True), "main.scale is True; it must be a number"),
    (lambda m: m["main"].update(bias=10**400), "main.bias is 1000"),
    (lambda m: m["calibration"].update(slope=0), "calibration.slope is 0; it must be from"),
    (lambda m: m["calibration"].pop("intercept"), "calibration.intercept is missing"),
    (lambda m: m.pop("thresholds"), "thresholds must be an object, not None"),
    (lambda m: m["thresholds"].pop("default"), "has no threshold named 'default'"),
    (lambda m: m["thresholds"].update(default=0.5), "thresholds.default must be an object"),
    (lambda m: m["thresholds"]["default"].update(threshold=1.01), "threshold is 1.01; it must be"),
    (lambda m: m["heads"].update(kinds=[]), "heads.kinds has 0 entries"),
    (lambda m: m["heads"].update(kinds={}), "heads.kinds is {}; it must be a list"),
    (lambda m: m["heads"].update(targets=m["heads"]["targets"][:1] * 257), "has 257 entries"),
    (lambda m: m["heads"]["kinds"][0].update(scale=-0.1), "heads.kinds[0].scale is -0.1"),
    (lambda m: m["heads"]["targets"][1].pop("name"), "heads.targets[1].name is missing"),
    (lambda m: m["heads"]["kinds"][0].update(threshold=-1), "kinds[0].threshold is -1"),
    (lambda m: m["heads"].update(rows=0), "heads.rows is 0; it must be from 1 to"),
    (lambda m: m["heads"].update(rows=1.5), "heads.rows is 1.5; it must be a whole number"),
    (lambda m: m["heads"].update(rows=1 << 40), "heads.rows is 1099511627776"),
    (lambda m: m["heads"].update(rows=512), "weights.safetensors.heads is I8 of shape"),
    (lambda m: m["heads"]["targets"].pop(), "weights.safetensors.heads is I8 of shape"),
    (lambda m: m.update(files={}), "manifest.json.files does not name weights.safetensors"),
    (lambda m: m["files"][WEIGHTS].update(bytes="1"), "bytes is '1'; it must be a number"),
    (lambda m: m["files"][WEIGHTS].pop("sha256"), "sha256 is missing; it must be text"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_wrong_values_are_refused(
    model: Model, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    change(model.manifest)
    model.write()
    fault(model.path, words)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN"])
def test_numbers_that_are_not_finite_are_refused(model: Model, number: str) -> None:
    model.manifest["thresholds"]["default"]["threshold"] = 0.123456
    text = json.dumps(model.manifest).replace("0.123456", number)
    (model.path / MANIFEST).write_text(text)
    fault(model.path, MANIFEST)


# --- tensors -------------------------------------------------------------------------------------


def entry(header: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**header, "main": {**header["main"], **values}}


BAD_HEADERS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("dtype", lambda h: entry(h, dtype="F32"), "main is F32 of shape"),
    ("rank", lambda h: entry(h, shape=[SLOTS, 1]), "it must be I8 of shape [1048576]"),
    ("huge shape", lambda h: entry(h, shape=[1 << 62]), "it must be I8 of shape [1048576]"),
    ("negative shape", lambda h: entry(h, shape=[-1]), "main is I8 of shape [-1]"),
    ("shape is text", lambda h: entry(h, shape="x"), "main is I8 of shape 'x'"),
    ("no offsets", lambda h: {**h, "main": {"dtype": "I8", "shape": [SLOTS]}}, "is missing"),
    ("outside", lambda h: entry(h, data_offsets=[1 << 60, (1 << 60) + SLOTS]), "lies at"),
    ("negative", lambda h: entry(h, data_offsets=[-8, SLOTS - 8]), "lies at [-8"),
    ("reversed", lambda h: entry(h, data_offsets=[SLOTS, 0]), "lies at"),
    ("wrong length", lambda h: entry(h, data_offsets=[0, SLOTS - 1]), "must be 1,048,576 bytes"),
    ("fractions", lambda h: entry(h, data_offsets=[0.0, SLOTS]), "lies at [0.0"),
    ("three", lambda h: entry(h, data_offsets=[0, SLOTS, SLOTS]), "lies at"),
    ("entry is text", lambda h: {**h, "main": "x"}, "main must be an object"),
    ("extra", lambda h: {**h, "more": h["main"]}, "holds the tensors"),
    ("missing", lambda h: {"main": h["main"]}, "holds the tensors ['main'], not"),
    ("list", lambda h: [h], "is not a JSON object"),
]


@pytest.mark.parametrize(("name", "change", "words"), BAD_HEADERS, ids=[b[0] for b in BAD_HEADERS])
def test_wrong_tensors_are_refused(
    model: Model, name: str, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    header, body = model.split()
    model.write_header(change(header), body)
    assert MANIFEST not in fault(model.path, WEIGHTS, words)


def test_tensors_lie_side_by_side(model: Model) -> None:
    header, body = model.split()
    size = header["heads"]["data_offsets"]
    length = size[1] - size[0]
    for offsets in ([0, length], [SLOTS - 1, SLOTS - 1 + length]):
        overlapping = {
            "main": {**header["main"], "data_offsets": [0, SLOTS]},
            "heads": {**header["heads"], "data_offsets": offsets},
            "words": header["words"],
        }
        model.write_header(overlapping, body)
        fault(model.path, WEIGHTS, "overlap")
    model.write_header(header, body + b"hidden")
    fault(model.path, WEIGHTS, "bytes that belong to none")


@pytest.mark.parametrize("size", [0, 1 << 16, (1 << 16) + 1, 1 << 40, (1 << 64) - 1])
def test_an_absurd_header_size_is_refused(model: Model, size: int) -> None:
    model.write_weights(size.to_bytes(8, "little") + model.weights[8:])
    fault(model.path, WEIGHTS, "is not")


def test_other_safetensors_writers_are_understood(model: Model, clf: hostrisk.Classifier) -> None:
    header, body = model.split()
    model.write_header({"__metadata__": {"format": "np"}, **dict(reversed(header.items()))}, body)
    assert hostrisk.load(model.path).score("we will kill you") == clf.score("we will kill you")


# --- saving --------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(model: Model, tmp_path: Path, clf: hostrisk.Classifier) -> None:
    manifest, tensors = model.parts()
    saved = save_artifact(tmp_path / "new" / "copy", manifest, tensors)
    assert saved.manifest == clf.artifact.manifest
    assert saved.thresholds == clf.artifact.thresholds
    texts = ["we will hang you", "a cake", None]
    assert hostrisk.Classifier(saved).score(texts) == clf.score(texts)
    assert os.listdir(tmp_path / "new") == ["copy"]


def test_the_same_content_gives_the_same_bytes_and_id(model: Model, tmp_path: Path) -> None:
    first, second = (save_artifact(tmp_path / name, *model.parts()) for name in "ab")
    assert first.model_id == second.model_id
    for name in (MANIFEST, WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_model_is_replaced_but_nothing_else(model: Model, tmp_path: Path) -> None:
    manifest, tensors = model.parts()
    save_artifact(model.path, {**manifest, "name": "newer"}, tensors)
    assert load_artifact(model.path).model_id.startswith("newer-")
    assert (model.path / "README.md").exists()
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_bytes(b"cat")
    for taken in (other, other / "cat.jpg"):
        with pytest.raises(ModelError, match="exists and is not a model folder"):
            save_artifact(taken, manifest, tensors)
    assert os.listdir(other) == ["cat.jpg"]


@pytest.mark.parametrize(
    "bad",
    [
        {"name": None},
        {"thresholds": {}},
        {"note": float("nan")},
        {"note": {1, 2}},
        {"note": "\ud800"},
        {"files": {}, "features": "other-1"},
    ],
    ids=str,
)
def test_a_bad_manifest_leaves_nothing_behind(
    model: Model, tmp_path: Path, bad: dict[str, Any]
) -> None:
    manifest, tensors = model.parts()
    before = sorted(os.listdir(tmp_path)), load_artifact(model.path).model_id
    for target in (tmp_path / "new", model.path):
        with pytest.raises(ModelError) as caught:
            save_artifact(target, {**manifest, **bad}, tensors)
        assert "\n" not in str(caught.value)
    assert before == (sorted(os.listdir(tmp_path)), load_artifact(model.path).model_id)


# --- verifying -----------------------------------------------------------------------------------


def test_the_bundled_model_verifies() -> None:
    lines = list(verify())
    assert [line.split()[0] for line in lines] == ["model", "files", "golden"]
    assert int(lines[-1].split()[1]) >= 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda case: case.update(score=abs(case["score"] - 1e-6)), "golden[0] scores"),
        (lambda case: case.update(kind="theft"), "golden[0] is decided"),
        (lambda case: case.update(targets=["ducks"]), "golden[0] is decided"),
        (lambda case: case.pop("text"), "golden[0].text is missing"),
    ],
)
def test_a_changed_golden_text_fails(
    model: Model, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    change(model.manifest["golden"][0])
    model.write()
    with pytest.raises(ModelError) as caught:
        list(verify(model.path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_golden_texts_does_not_verify(model: Model) -> None:
    del model.manifest["golden"]
    model.write()
    with pytest.raises(ModelError, match="has no golden texts"):
        list(verify(model.path))


def test_nothing_imports_what_runs_code_when_it_reads_data() -> None:
    banned = {"pickle", "cPickle", "marshal", "shelve", "joblib", "dill", "cloudpickle"}
    for path in Path(artifact.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert banned.isdisjoint(name.split(".")[0] for name in names), path
