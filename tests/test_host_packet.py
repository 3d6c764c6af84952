"""Evidence packets: the same bytes each time, and any byte that is not as it was is found."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import hostrisk
from hostrisk.errors import InputError, ModelError
from hostrisk.host.letters import packet
from hostrisk.host.letters.packet import canonical_json, verify_packet, write_packet

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "harbour.example"
HOSTILE = (
    "# Heading <script>alert(1)</script> [click](https://evil.example) ![x](http://evil.example)\n"
    "\n```\n`tick` | a | b |\n===\n1. hang them all, www.evil.example you@evil.example \u202eabc\n"
    "> [ref]: https://evil.example \\"
)
TEXTS = {
    "p812": "hang the traitor on Saturday at noon at the courthouse",
    "p17": "hope you all starve, every one of you",
    "p9": HOSTILE,
}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_post(clf: hostrisk.Classifier, name: str, **changes: Any) -> dict[str, Any]:
    text = TEXTS[name]
    post = {
        "id": name, "host": HOST, "time": "2021-01-05T12:00:00Z",
        "url": f"https://{HOST}/posts/{name}?x=[a](b)", "score": clf.score(text),
        "kind": "incitement", "targets": ["politician"], "text": text, "redacted": False,
        "sha256": sha256(text), "spans": [{"start": 0, "end": 4, "weight": 1.25}], "marks": [],
        "urgent": False, "reported_at": None, "removed_at": None, "label": None,
    }  # fmt: skip
    return post | changes


def make_posts(clf: hostrisk.Classifier) -> list[dict[str, Any]]:
    marks = [
        {"mark": "time", "words": "Saturday at noon", "start": 20, "end": 36},
        {"mark": "place", "words": "the courthouse", "start": 40, "end": 54},
        {"mark": "target", "words": "Judge Harlow", "start": 0, "end": 12},
    ]
    return [
        make_post(clf, "p812", urgent=True, marks=marks, reported_at="2021-01-06T08:00:00Z"),
        make_post(
            clf, "p17", kind="wish", targets=["general"], removed_at="2021-01-08T00:00:00Z", label=1
        ),
        make_post(clf, "p9", redacted=True, sha256="5" * 64, time="2021-01-09T23:59:59Z"),
    ]


def prevalence(**changes: Any) -> dict[str, Any]:
    return {
        "posts": 5200, "flagged": 240, "prevalence": 0.021, "low": 0.015, "high": 0.03,
        "method": "reviewed sample", "reviewed": 300, "positives": 41,
    } | changes  # fmt: skip


def share(posts: int, done: int, key: str = "removed") -> dict[str, Any]:
    found = done / posts
    return {"posts": posts, key: done, "share": found, "low": found * 0.75, "high": found * 1.25}


def make_assessment(clf: hostrisk.Classifier) -> dict[str, Any]:
    trend = {
        "ratio": 2.6, "low": 1.9, "high": 3.6, "p_value": 0.0001, "p_adjusted": 0.0004, "weeks": 12,
        "from": 0.0021, "to": 0.0055, "change_point": None,
        "sentence": "rose from 21 to 55 per 10,000 posts over 12 weeks (ratio 2.6, 95% interval "
        "1.9 to 3.6)",
    }  # fmt: skip
    response = {
        "flagged": share(240, 31),
        "reported": share(410, 52) | {"flagged": 180, "handled_24h": share(400, 12, "handled")},
        "time_to_removal": {
            "from": "report", "posts": 410, "removed": 52, "median_hours": None, "low_hours": None,
            "high_hours": None, "curve": [],
        },
        "backlog": [{"date": "2021-01-11", "open": 9}, {"date": "2021-01-18", "open": 12}],
        "notice": None,
    }  # fmt: skip
    host = {
        "host": HOST, "summary": "Summary.", "tier": "act", "rules": [], "unjudged": [],
        "overall": prevalence(), "views": None, "weeks": [], "trend": trend,
        "kinds": [{"name": "threat", **prevalence(flagged=120), "trend": None}],
        "targets": [
            {"name": "general", **prevalence(flagged=150), "trend": None},
            {"name": "politician", **prevalence(flagged=99), "trend": None},
        ],
        "responsiveness": response, "unsupported": {"posts": 31, "share": 0.006}, "urgent": 1,
        "exemplars": make_posts(clf),
    }  # fmt: skip
    return {
        "version": hostrisk.__version__, "model": clf.model_id, "policy": "host-default-1@ab12",
        "level": 0.95, "threshold": 0.227, "threshold_name": "balanced",
        "period": {"start": "2020-11-02", "end": "2021-01-24"}, "as_of": "2021-01-25T00:00:00Z",
        "rows": 5200, "sources": [{"name": "posts.csv", "rows": 5200}], "defects": [],
        "labels": None, "hosts": [host], "since": None,
    }  # fmt: skip


PAGES = {"report.html": b"<!DOCTYPE html>\n", "notice.md": "# Notice \u2026\n".encode()}


@pytest.fixture(scope="module")
def made(clf: hostrisk.Classifier, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """Return the bytes of a packet and its root hash."""
    path = tmp_path_factory.mktemp("packet") / "packet.zip"
    root = write_packet(path, make_assessment(clf), make_posts(clf), pages=PAGES)
    return path.read_bytes(), root


@pytest.fixture
def check(tmp_path: Path, clf: hostrisk.Classifier) -> Callable[..., packet.Verification]:
    def run(packed: bytes, **settings: Any) -> packet.Verification:
        path = tmp_path / "given.zip"
        path.write_bytes(packed)
        return verify_packet(path, **({"model": clf} | settings))

    return run


def is_found(check: Callable[..., packet.Verification], packed: bytes) -> bool:
    """Tell whether a packet is refused, or said not to be whole."""
    try:
        found = check(packed)
    except InputError:
        return True
    assert found.ok == (not found.problems)
    return not found.ok


def remake(packed: bytes, **changed: bytes) -> bytes:
    """Change files of a packet, and all hashes of them, as a forger would."""
    contents = unzip(packed) | {
        name.replace("_", "."): content for name, content in changed.items()
    }
    manifest = json.loads(contents["manifest.json"])
    if "manifest_json" not in changed:
        manifest["files"] = {
            name: packet._describe(content)
            for name, content in contents.items()
            if name != "manifest.json"
        }
        contents["manifest.json"] = canonical_json(manifest)
    return packet._pack(contents)


def unzip(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        return {name: file.read(name) for name in file.namelist()}


# --- writing -------------------------------------------------------------------------------------


def test_the_same_input_makes_the_same_bytes(
    made: tuple[bytes, str], clf: hostrisk.Classifier, tmp_path: Path
) -> None:
    posts, assessment = make_posts(clf)[::-1], dict(reversed(make_assessment(clf).items()))
    pages = dict(reversed(PAGES.items()))
    root = write_packet(tmp_path / "again.zip", assessment, posts, pages=pages)
    assert ((tmp_path / "again.zip").read_bytes(), root) == made


def test_the_layout_of_the_zip_never_changes() -> None:
    packed = packet._pack({"b.txt": b"bee\n", "a.txt": b""})
    digest = hashlib.sha256(packed).hexdigest()
    assert digest == "396ecd9e614a71feadbf187949bd37c21e473e2cd2a80fd206fe0b6d6b8ad3ad"


def test_any_unzip_reads_it(made: tuple[bytes, str]) -> None:
    with zipfile.ZipFile(io.BytesIO(made[0])) as file:
        assert file.testzip() is None
        assert file.comment == b""
        names = file.namelist()
        for member in file.infolist():
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert (member.external_attr >> 16, member.create_system) == (0o100644, 3)
            assert (member.compress_type, member.flag_bits) == (zipfile.ZIP_STORED, 0)
            assert (member.extra, member.comment) == (b"", b"")
    assert names == sorted(
        ["README.txt", "assessment.json", "manifest.json", "notice.md", "posts.jsonl",
         "report.html"]
    )  # fmt: skip


def test_contents(made: tuple[bytes, str], clf: hostrisk.Classifier) -> None:
    contents = unzip(made[0])
    assert contents["notice.md"] == PAGES["notice.md"]
    assert contents["assessment.json"] == canonical_json(make_assessment(clf))
    assert json.loads(contents["assessment.json"]) == make_assessment(clf)
    lines = contents["posts.jsonl"].decode().splitlines()
    posts = [json.loads(line) for line in lines]
    assert [post["id"] for post in posts] == ["p17", "p812", "p9"]
    by_id = {post["id"]: post for post in make_posts(clf)}
    assert posts == [by_id["p17"], by_id["p812"], by_id["p9"]]
    assert list(posts[0]) == sorted(posts[0])


def test_the_manifest_names_model_policy_and_every_file(
    made: tuple[bytes, str], clf: hostrisk.Classifier
) -> None:
    contents = unzip(made[0])
    manifest = json.loads(contents["manifest.json"])
    assert made[1] == hashlib.sha256(contents["manifest.json"]).hexdigest()
    assert (manifest["format"], manifest["version"]) == (1, hostrisk.__version__)
    assert manifest["policy"] == "host-default-1@ab12"
    assert manifest["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
        if name != "manifest.json"
    }
    folder = Path(clf.artifact.path)
    assert manifest["model"] == {
        "id": clf.model_id,
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("manifest.json", "weights.safetensors")
        },
    }


def test_the_hash_of_a_text_is_filled_in(clf: hostrisk.Classifier, tmp_path: Path) -> None:
    post = make_post(clf, "p17")
    del post["sha256"], post["spans"], post["urgent"], post["url"]
    write_packet(tmp_path / "a.zip", make_assessment(clf), [post])
    (line,) = unzip((tmp_path / "a.zip").read_bytes())["posts.jsonl"].splitlines()
    written = json.loads(line)
    assert written["sha256"] == sha256(TEXTS["p17"])
    assert (written["spans"], written["urgent"], written["url"]) == ([], False, None)


def test_what_is_no_field_of_a_post_is_left_out(clf: hostrisk.Classifier, tmp_path: Path) -> None:
    post = make_post(clf, "p9", redacted=True, original="the whole text")
    write_packet(tmp_path / "a.zip", make_assessment(clf), [post])
    assert b"the whole text" not in (tmp_path / "a.zip").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, "post 0 has no text"),
        ({"host": None}, "post 0 has no host"),
        ({"text": b"bytes"}, "must have a str as text"),
        ({"redacted": "no"}, "True or False as redacted"),
        ({"sha256": "0" * 64}, "sha256 that is not that of its text"),
        ({"redacted": True, "sha256": None}, "64 small hexadecimal digits"),
        ({"redacted": True, "sha256": "5" * 63 + "G"}, "64 small hexadecimal digits"),
        ({"text": "half \ud800"}, "half a character"),
        ({"id": "\ud800"}, "JSON only"),
        ({"score": float("nan")}, "JSON only"),
        ({"marks": {1, 2}}, "JSON only"),
    ],
)
def test_posts_that_cannot_be_used_are_refused(
    changes: dict[str, Any], message: str, clf: hostrisk.Classifier, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as error:
        write_packet(tmp_path / "a.zip", make_assessment(clf), [make_post(clf, "p17", **changes)])
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "pages",
    [
        {"../evil": b""}, {"a/b.html": b""}, {"": b""}, {".hidden": b""}, {"a\\b": b""},
        {"manifest.json": b""}, {"POSTS.jsonl": b""}, {"a.html": b"", "A.html": b""},
        {"caf\u00e9.html": b""}, {"a" * 101: b""}, {"end.": b""}, {"report.html": "text"},
        {"two\nlines": b""},
    ],
)  # fmt: skip
def test_pages_that_cannot_be_used_are_refused(
    pages: dict[str, Any], clf: hostrisk.Classifier, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        write_packet(tmp_path / "a.zip", make_assessment(clf), [], pages=pages)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_packet_that_cannot_be_written_leaves_the_old_one(
    clf: hostrisk.Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    with pytest.raises(InputError):
        write_packet(path, make_assessment(clf) | {"level": float("inf")}, [])
    with pytest.raises(InputError, match="cannot be written"):
        write_packet(tmp_path / "none" / "a.zip", make_assessment(clf), [])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_assessment_without_a_model_is_refused(clf: hostrisk.Classifier, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no policy"):
        write_packet(tmp_path / "a.zip", make_assessment(clf) | {"policy": None}, [])
    for model, given in (("default-000000000000", None), ("mine-1", None), ("mine-1", clf)):
        with pytest.raises(InputError, match="give it as model"):
            write_packet(tmp_path / "a.zip", make_assessment(clf) | {"model": model}, [],
                         model=given)  # fmt: skip


def test_json_has_one_form() -> None:
    assert (
        canonical_json({"b": (1, 2.5), "a": "\u00e9"})
        == '{\n "a": "\u00e9",\n "b": [\n  1,\n  2.5\n ]\n}\n'.encode()
    )
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InputError):
        canonical_json(loop)


# --- verifying -----------------------------------------------------------------------------------


def test_a_whole_packet_is_whole(
    made: tuple[bytes, str], check: Callable[..., packet.Verification], clf: hostrisk.Classifier
) -> None:
    found = check(made[0], model=None, root=f" {made[1].upper()}\n")
    assert found.ok
    assert found.problems == ()
    assert (found.root, found.model, found.version) == (made[1], clf.model_id, "0.1.0")
    assert (found.files, found.posts, found.rescored, found.redacted) == (6, 3, 2, 1)
    assert found.differing == 0
    text = found.to_text()
    assert text.startswith("The packet is whole.\n")
    assert "3: 2 scored again with the same score; 1 redacted, which cannot be scored" in text
    assert "neither score nor SHA-256 can be checked" in text


def test_another_root_is_a_problem(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    found = check(made[0], root="0" * 64)
    assert not found.ok
    assert "another packet, or it was rewritten" in found.problems[0]
    for root in ("", "abc", "z" * 64, made[1] + "0"):
        with pytest.raises(InputError, match="64 hexadecimal digits"):
            check(made[0], root=root)


def header_bytes(packed: bytes) -> list[int]:
    """Return the places of all bytes of the zip that are not content."""
    places = set(range(len(packed)))
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        for member in file.infolist():
            start = member.header_offset + 30 + len(member.filename)
            places -= set(range(start, start + member.file_size))
    return sorted(places)


def test_every_changed_byte_is_found(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    packed, _ = made
    rng = random.Random(0)
    headers = header_bytes(packed)
    assert len(headers) > 500
    for at in [*headers, *rng.choices(range(len(packed)), k=3_000)]:
        changed = bytearray(packed)
        changed[at] ^= rng.randrange(1, 256)
        assert is_found(check, bytes(changed)), at


def test_every_added_or_removed_byte_is_found(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    packed, _ = made
    rng = random.Random(0)
    for at in [0, len(packed), *header_bytes(packed)[::5], *rng.sample(range(len(packed)), 300)]:
        assert is_found(check, packed[:at] + bytes([rng.randrange(256)]) + packed[at:]), at
        if at < len(packed):
            assert is_found(check, packed[:at] + packed[at + 1 :]), at
    for end in range(0, len(packed), 97):
        assert is_found(check, packed[:end])


def test_a_comment_and_a_member_more_are_found(
    made: tuple[bytes, str], check: Callable[..., packet.Verification], tmp_path: Path
) -> None:
    path = tmp_path / "more.zip"
    path.write_bytes(made[0])
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"x"
    assert is_found(check, path.read_bytes())
    path.write_bytes(made[0])
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("added.txt", b"")
    assert is_found(check, path.read_bytes())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_packet_packed_again_is_found(
    method: int, made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w", method) as file:
        for name, content in unzip(made[0]).items():
            file.writestr(name, content)
    assert is_found(check, again.getvalue())


def test_problems_say_which_file(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    contents = unzip(made[0])
    changed = packet._pack(contents | {"notice.md": b"# Other\n"})
    assert check(changed).problems == (
        "notice.md was changed: its size or SHA-256 is not the one of the manifest.",
    )
    added = packet._pack(contents | {"more.txt": b""})
    assert check(added).problems == ("more.txt is not in the manifest: it was added.",)
    del contents["notice.md"]
    removed = check(packet._pack(contents)).problems
    assert removed == ("'notice.md' is in the manifest but not in the packet: it was removed.",)
    time = bytearray(made[0])
    time[10] = 1
    assert "from byte 10 on" in check(bytes(time)).problems[0]


def test_a_forged_text_is_found_by_its_score(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    lines = unzip(made[0])["posts.jsonl"].decode().splitlines()
    post = json.loads(lines[0])
    post["text"] = "a nice day at the lake"
    without_hash = "\n".join([json.dumps(post), *lines[1:], ""]).encode()
    found = check(remake(made[0], posts_jsonl=without_hash))
    assert any("sha256 of the post 'p17'" in said for said in found.problems)
    post["sha256"] = sha256(post["text"])
    found = check(
        remake(made[0], posts_jsonl="\n".join([json.dumps(post), *lines[1:], ""]).encode())
    )
    assert (found.ok, found.differing, len(found.problems)) == (False, 1, 1)
    assert "'p17' scores" in found.problems[0]
    assert "1 scored again with the same score, 1 with ANOTHER score" in found.to_text()


def test_scores_must_agree_to_nine_places(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    lines = unzip(made[0])["posts.jsonl"].decode().splitlines()
    for change, differing in ((5e-10, 0), (2e-9, 1)):
        post = json.loads(lines[0])
        post["score"] += change
        posts = "\n".join([json.dumps(post), *lines[1:], ""]).encode()
        assert check(remake(made[0], posts_jsonl=posts)).differing == differing


def test_only_the_root_finds_a_packet_that_was_rewritten_whole(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    assessment = json.loads(unzip(made[0])["assessment.json"])
    assessment["rows"] = 1
    forged = remake(made[0], assessment_json=canonical_json(assessment))
    assert check(forged).ok
    assert not check(forged, root=made[1]).ok


def test_the_manifest_and_the_assessment_must_name_the_same(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    assessment = json.loads(unzip(made[0])["assessment.json"])
    assessment |= {"model": "other-1", "policy": ["x"]}
    found = check(remake(made[0], assessment_json=canonical_json(assessment)))
    assert [said.split(",")[0] for said in found.problems] == [
        f"The manifest names the model '{found.model}'",
        "The manifest names the policy 'host-default-1@ab12'",
    ]


def test_another_version_is_a_note(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    contents = unzip(made[0])
    manifest = json.loads(contents["manifest.json"]) | {"version": "9.9.9\x1b[31m"}
    found = check(packet._pack(contents | {"manifest.json": canonical_json(manifest)}))
    assert found.ok
    assert any("made by hostrisk 9.9.9" in said for said in found.notes)
    assert "\x1b" not in found.to_text()


@pytest.mark.parametrize(
    "posts",
    [
        b"\n", b"null\n", b"[]\n", b"{}\n", b"not json\n", b"\xff\n", b"[" * 100_000 + b"\n",
        b'{"id": "a", "text": "b", "sha256": "c", "score": 0.5, "redacted": false}\n',
        b'{"id": "a", "text": "b", "score": NaN, "redacted": false}\n',
        b'{"id": "a", "score": ' + b"9" * 5_000 + b"}\n",
        b'{"id": "\\ud800", "text": "\\ud800", "sha256": "' + b"0" * 64
        + b'", "score": 0.5, "redacted": false}\n',
    ],
)  # fmt: skip
def test_lines_that_are_no_posts_are_problems(
    posts: bytes, made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    found = check(remake(made[0], posts_jsonl=posts))
    assert not found.ok
    assert "line 1 is not a post" in found.problems[0]


def test_a_last_line_without_an_end_is_a_problem(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    posts = unzip(made[0])["posts.jsonl"].rstrip()
    assert not check(remake(made[0], posts_jsonl=posts)).ok


@pytest.mark.parametrize("name", ["assessment.json", "manifest.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_json_is_refused(
    name: str, content: bytes, made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    with pytest.raises(InputError, match=f"{name} in it is not a JSON object"):
        check(packet._pack(unzip(made[0]) | {name: content}))


@pytest.mark.parametrize(
    "manifest",
    [{"format": 1}, {"format": 1, "files": [], "model": []}, {"format": 1, "model": {"id": 3}},
     {"format": 1, "files": {"posts.jsonl": 3}, "model": {"id": "x", "files": 7}}],
)  # fmt: skip
def test_a_manifest_without_what_it_needs_is_a_problem(
    manifest: dict[str, Any], made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    packed = packet._pack(unzip(made[0]) | {"manifest.json": canonical_json(manifest)})
    assert not check(packed).ok
    assert not check(packed, model=None).ok


def test_another_format_is_refused(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    for number in (2, None, "1", "x" * 500):
        packed = packet._pack(
            unzip(made[0]) | {"manifest.json": canonical_json({"format": number})}
        )
        with pytest.raises(InputError, match="reads format 1; use the hostrisk that wrote it"):
            check(packed)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a\\b", ".x", "con:", "a\nb", "a" * 200]
)
def test_names_that_are_not_plain_are_refused(
    name: str, made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    with pytest.raises(InputError, match="holds a file with the name") as error:
        check(packet._pack(unzip(made[0]) | {name: b"x"}))
    assert "\n" not in str(error.value)


def test_a_name_that_comes_twice_is_refused(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    twice = packet._pack(unzip(made[0]) | {"NOTICE.md": b"x"})
    with pytest.raises(InputError, match=r"the name 'notice\.md'"):
        check(twice)


def test_a_bomb_is_refused_before_it_is_unpacked(
    check: Callable[..., packet.Verification],
) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("assessment.json", bytes(50_000_000))
    with pytest.raises(InputError, match="compressed, encrypted or extended"):
        check(bomb.getvalue())
    huge = bytearray(packet._pack({"a.txt": b"a"}))
    huge[18:26] = b"\xff" * 8
    with pytest.raises(InputError, match="beyond the end"):
        check(bytes(huge))


def test_what_is_no_packet_is_refused(
    tmp_path: Path, check: Callable[..., packet.Verification]
) -> None:
    for content in (b"", b"PK", b"PK\3\4", b"text", packet._pack({}), packet._pack({"a": b"b"})):
        with pytest.raises(InputError, match="no evidence packet, or was changed") as error:
            check(content)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="is a folder"):
        verify_packet(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        verify_packet(tmp_path / "none.zip")


def test_noise_is_refused_or_found(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    rng = random.Random(0)
    for _ in range(300):
        noisy = bytearray(made[0])
        for _ in range(rng.randrange(1, 60)):
            noisy[rng.randrange(len(noisy))] = rng.randrange(256)
        start = rng.randrange(len(noisy))
        noisy[start : start + rng.randrange(50)] = rng.randbytes(rng.randrange(50))
        assert bytes(noisy) == made[0] or is_found(check, bytes(noisy))


def test_packets_have_a_largest_size(
    made: tuple[bytes, str],
    check: Callable[..., packet.Verification],
    clf: hostrisk.Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packet, "_MOST_BYTES", 100)
    with pytest.raises(InputError, match="over 2 GiB or 1,000 files; take fewer posts"):
        write_packet(tmp_path / "a.zip", make_assessment(clf), [])
    with pytest.raises(InputError, match="over 2 GiB, which no evidence packet is"):
        check(made[0])
    assert not (tmp_path / "a.zip").exists()


def test_many_problems_are_counted(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    post = json.loads(unzip(made[0])["posts.jsonl"].splitlines()[0])
    wrong = [post | {"id": f"n{at}", "score": 0.0, "sha256": "0" * 64} for at in range(8)]
    posts = "".join(json.dumps(one) + "\n" for one in wrong).encode()
    found = check(remake(made[0], posts_jsonl=posts))
    assert (found.differing, len(found.problems)) == (8, 12)
    assert "3 more posts have another sha256 than their text." in found.problems
    assert found.problems[-1] == "3 more posts have other scores."


# --- models --------------------------------------------------------------------------------------


def test_a_model_of_ones_own(model_dir: Path, clf: hostrisk.Classifier, tmp_path: Path) -> None:
    text = (model_dir / "manifest.json").read_text(encoding="utf-8")
    (model_dir / "manifest.json").write_text(
        text.replace('"name": "default"', '"name": "mine"', 1), encoding="utf-8"
    )
    own, path = hostrisk.load(model_dir), tmp_path / "own.zip"
    assessment = make_assessment(clf) | {"model": own.model_id}
    write_packet(path, assessment, make_posts(clf), model=own)
    found = verify_packet(path, model=model_dir)
    assert (found.ok, found.rescored) == (True, 2)
    found = verify_packet(path)
    assert (found.ok, found.rescored) == (False, 0)
    assert "not bundled" in found.problems[0]
    assert "2 not scored again" in found.to_text()
    found = verify_packet(path, model=clf)
    assert f"at hand is {clf.model_id}" in found.problems[0]
    with pytest.raises(ModelError):
        verify_packet(path, model=tmp_path)


def test_other_files_of_the_model_are_a_problem(
    made: tuple[bytes, str], check: Callable[..., packet.Verification]
) -> None:
    contents = unzip(made[0])
    manifest = json.loads(contents["manifest.json"])
    manifest["model"]["files"]["weights.safetensors"] = "0" * 64
    found = check(packet._pack(contents | {"manifest.json": canonical_json(manifest)}))
    assert found.problems == ("The files of the model are others than the manifest says.",)


@pytest.mark.parametrize("name", ["accurate", "cascade"])
def test_models_that_read(name: str, clf: hostrisk.Classifier, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    reader, path = hostrisk.load(name), tmp_path / "a.zip"
    assessment = make_assessment(clf) | {"model": reader.model_id}
    write_packet(path, assessment, [make_post(reader, "p17")])
    found = verify_packet(path)
    assert (found.ok, found.rescored) == (True, 1)
    assert any("within 0.02" in said for said in found.notes)
    manifest = json.loads(unzip(path.read_bytes())["manifest.json"])
    assert "encoder.onnx" in manifest["model"]["files"]


# --- by hand -------------------------------------------------------------------------------------


def test_the_readme_can_be_followed(made: tuple[bytes, str], tmp_path: Path) -> None:
    for tool in ("bash", "sha256sum", "python3"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    with zipfile.ZipFile(io.BytesIO(made[0])) as file:
        file.extractall(tmp_path)
    readme = (tmp_path / "README.txt").read_text(encoding="utf-8")
    root, rest, verify = re.findall(r"^    (\S.*)$", readme, re.MULTILINE)

    def run(command: str) -> subprocess.CompletedProcess[str]:
        shell = ["bash", "-o", "pipefail", "-c", command]
        return subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run(root).stdout.split()[0] == made[1]
    assert run(rest).returncode == 0
    (tmp_path / "posts.jsonl").write_bytes(b"")
    assert run(rest).returncode != 0
    assert verify == "hostrisk verify PACKET --root ROOT"


def test_the_input_is_left_as_it_was(clf: hostrisk.Classifier, tmp_path: Path) -> None:
    assessment, posts = make_assessment(clf), make_posts(clf)
    before = copy.deepcopy((assessment, posts))
    write_packet(tmp_path / "a.zip", assessment, posts)
    assert (assessment, posts) == before
