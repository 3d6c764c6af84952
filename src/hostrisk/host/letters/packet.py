"""Evidence packets: an assessment, its posts and its pages in one file that can be checked again.

A packet is a zip file (APPNOTE 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT)
of which every byte follows from its contents:

1. The files have plain names, in order of their bytes, and nothing lies between, before or behind
   them. Their times are 1980-01-01, their permissions 0644, their system Unix.
2. They are stored, not compressed: what a compressor writes depends on its version, and a stored
   file cannot unpack to more than it is. The zip is written here and not by zipfile, so that a
   packet of today is found whole by the Python of ten years from now.
3. ``manifest.json`` names the model with the hash of each of its files, the policy, the version,
   and size and SHA-256 of every other file. The root hash of a packet is the SHA-256 of
   ``manifest.json``, and so covers all of it. It cannot stand in the packet itself.

``verify_packet`` reads the files one behind the other, compares them with the manifest, builds the
zip anew and compares it byte by byte. Whoever rewrites a packet together with its hashes is found
out only by a root hash that was kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from hostrisk import __version__
from hostrisk._checks import MANIFEST, read_manifest
from hostrisk._lines import open_file
from hostrisk._templates import make_environment
from hostrisk._visible import visible
from hostrisk.artifact import ACCURATE, CASCADE, FAST, bundled_path
from hostrisk.classifier import Classifier, load
from hostrisk.errors import InputError
from hostrisk.files import atomic_writer
from hostrisk.records import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Verification", "canonical_json", "verify_packet", "write_packet"]

FORMAT = 1
ASSESSMENT, POSTS, README = "assessment.json", "posts.jsonl", "README.txt"
_OWN = (ASSESSMENT, POSTS, README, MANIFEST)
_MEANINGS = {
    ASSESSMENT: "all figures of the assessment",
    POSTS: "one post a line: text, score, kind, targets, the words that carry the score, SHA-256",
    MANIFEST: "classifier, policy, and size and SHA-256 of every other file",
    README: "this text",
    "report.html": "the report as a page",
    "report.md": "the report as Markdown",
    "notice.md": "a draft of the letter to the operator",
    "statements.json": "drafts of statements of reasons",
}
_REQUIRED = ("id", "host", "score", "text", "redacted")
_POST = (
    *_REQUIRED, "time", "url", "kind", "targets", "spans", "marks", "urgent", "sha256",
    "reported_at", "removed_at", "label",
)  # fmt: skip
_EMPTY = {"targets": [], "spans": [], "marks": [], "urgent": False}
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_HASH = re.compile("[0-9a-f]{64}")
_BUNDLED = (
    ("default-", "default", FAST),
    (f"accurate-{FAST}-", "accurate", FAST),
    (f"accurate-{CASCADE}-", "accurate", CASCADE),
    ("accurate-", "accurate", ACCURATE),
)
_MOST_BYTES = 2 << 30
_MOST_FILES = 1_000
_MOST_NAMED = 5
_EXACT = 1e-9
_ENCODED = 0.02  # 8-bit products are rounded differently by different processors


class Verification(NamedTuple):
    """What was found about a packet.

    ``ok`` is True where nothing is wrong; ``problems`` says what is, a sentence each. ``notes``
    say what a reader should know though it is no fault. ``files`` counts the files, ``posts`` the
    posts; ``rescored`` of them were scored again, and ``differing`` got another score than is
    written; ``redacted`` ones cannot be scored again.
    """

    ok: bool
    root: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    files: int
    posts: int
    rescored: int
    redacted: int
    differing: int
    model: str
    version: str

    def to_text(self) -> str:
        """Render as lines for a terminal; what comes from the packet is made visible."""
        lines = [
            "The packet is whole." if self.ok else "THE PACKET IS NOT AS IT SHOULD BE.",
            f"root     {self.root}",
            f"model    {self.model}",
            f"made by  hostrisk {self.version}",
            f"files    {self.files:,}",
            f"posts    {self.posts:,}: {self._scores()}",
            *(f"problem  {said}" for said in self.problems),
            *(f"note     {said}" for said in self.notes),
        ]
        return "".join(f"{visible(line)}\n" for line in lines)

    def _scores(self) -> str:
        same = self.rescored - self.differing
        said = f"{same:,} scored again with the same score"
        if self.differing:
            said += f", {self.differing:,} with ANOTHER score"
        if self.redacted:
            said += f"; {self.redacted:,} redacted, which cannot be scored again"
        left = self.posts - self.rescored - self.redacted
        return f"{said}; {left:,} not scored again" if left else said


def canonical_json(value: Any) -> bytes:
    """Write a value as JSON in one way only: keys in order, UTF-8, a line end at the end.

    :raises InputError: something in it is not JSON, such as NaN or half a character.
    """
    return _json(value, indent=1)


def _json(value: Any, indent: int | None = None) -> bytes:
    try:
        text = json.dumps(
            plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent
        )
        return f"{text}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"an evidence packet can hold JSON only: {error}") from error


# --- writing -------------------------------------------------------------------------------------


def write_packet(
    path: str | os.PathLike[str],
    assessment: Mapping[str, Any],
    posts: Sequence[Mapping[str, Any]],
    *,
    pages: Mapping[str, bytes] | None = None,
    model: Classifier | None = None,
) -> str:
    """Write an evidence packet and return its root hash: 64 hexadecimal digits.

    The same input makes the same bytes. Nothing is left behind where it cannot be written.

    :param assessment: what ``HostAssessment.to_dict`` gives.
    :param posts: records such as the exemplars of the assessment, each with its ``host``. Of a
        redacted text ``sha256`` must be given; of any other it is checked.
    :param pages: more files by name, such as ``report.html``.
    :param model: the classifier that the assessment names; needed unless it is a bundled one.
    :raises InputError: the path cannot be written, a post or a page cannot be used, or the model
        is another one than the assessment names.
    """
    for key in ("model", "policy"):
        if not isinstance(assessment.get(key), str):
            raise InputError(f"the assessment names no {key}, which a packet needs")
    contents = {
        ASSESSMENT: canonical_json(dict(assessment)),
        POSTS: b"".join(_post_lines(posts)),
        **_checked_pages(pages or {}),
    }
    contents[README] = _readme(assessment, [*contents, README, MANIFEST])
    contents[MANIFEST] = canonical_json(
        {
            "format": FORMAT,
            "version": __version__,
            "model": _describe_model(assessment["model"], model),
            "policy": assessment["policy"],
            "files": {name: _describe(content) for name, content in contents.items()},
        }
    )
    packed = _pack(contents)
    with atomic_writer(path) as file:
        file.write(packed)
    return _hash(contents[MANIFEST])


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _describe(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": _hash(content)}


def _checked_pages(pages: Mapping[str, bytes]) -> dict[str, bytes]:
    taken = {name.lower() for name in _OWN}
    for name, content in pages.items():
        if not _NAME.fullmatch(name) or name.lower() in taken:
            raise InputError(
                f"a page of a packet cannot be named {name!r:.120}; take letters, digits, dots, "
                "hyphens and underscores, and no name of a file that is there already"
            )
        if not isinstance(content, bytes):
            raise InputError(f"the page {name} is {type(content).__name__}, not bytes; encode it")
        taken.add(name.lower())
    return dict(pages)


def _post_lines(posts: Sequence[Mapping[str, Any]]) -> list[bytes]:
    records = [_record(post, place) for place, post in enumerate(posts)]
    keyed = [(str(record["id"]), str(record["host"]), _json(record)) for record in records]
    return [line for _, _, line in sorted(keyed)]


def _record(post: Mapping[str, Any], place: int) -> dict[str, Any]:
    where = f"post {place}"
    missing = next((key for key in _REQUIRED if post.get(key) is None), None)
    if missing is not None:
        raise InputError(f"{where} has no {missing}, which a packet needs")
    if not isinstance(post["text"], str) or not isinstance(post["redacted"], bool):
        raise InputError(f"{where} must have a str as text, and True or False as redacted")
    record = {key: post.get(key, _EMPTY.get(key)) for key in _POST}
    digest = record["sha256"]
    if not record["redacted"]:
        own = _hash(_utf8(post["text"], where))
        record["sha256"] = digest = own if digest is None else digest
        if digest != own:
            raise InputError(f"{where} has a sha256 that is not that of its text in UTF-8")
    if not (isinstance(digest, str) and _HASH.fullmatch(digest)):
        raise InputError(f"{where} has no sha256 of 64 small hexadecimal digits of its whole text")
    return record


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where} holds half a character, which no text has") from error


def _readme(assessment: Mapping[str, Any], names: Iterable[str]) -> bytes:
    # Plain text, not HTML; visible() spells out what is put in.
    environment = make_environment(
        "hostrisk.host.letters",
        what="An evidence packet",
        escaped=False,
        keep_trailing_newline=True,
    )
    longest = max(map(len, names))
    listing = (f"{name:{longest}}  {_MEANINGS.get(name, 'another page')}" for name in sorted(names))
    text: str = environment.get_template("packet.txt").render(
        version=__version__,
        model=visible(assessment["model"]),
        policy=visible(assessment["policy"]),
        listing="\n".join(listing),
    )
    return text.encode()


def _describe_model(model_id: str, model: Classifier | None) -> dict[str, Any]:
    model = model or _bundled(model_id)
    if model is None or model.model_id != model_id:
        at_hand = "is not bundled" if model is None else f"is not {model.model_id}"
        raise InputError(
            f"the model {model_id!r:.80} of the assessment {at_hand}; give it as model"
        )
    return {"id": model_id, "files": _model_files(model)}


def _bundled(model_id: str) -> Classifier | None:
    """Load the bundled model of this id, None where there is none."""
    for start, folder, tier in _BUNDLED:
        if model_id.startswith(start):
            found = load(bundled_path(folder), tier=tier)
            return found if found.model_id == model_id else None
    return None


def _model_files(model: Classifier) -> dict[str, str]:
    listed = model.artifact.manifest["files"]
    files = {name: file["sha256"] for name, file in listed.items()}
    return {MANIFEST: _hash(read_manifest(model.artifact.path)), **files}


# --- the zip -------------------------------------------------------------------------------------

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_FIRST_DAY = 1 << 5 | 1  # 1980-01-01 at midnight
_NEEDED, _UNIX, _MODE = 20, 3 << 8, 0o100644 << 16
_FLAGS = _STORED = _TIME = _NO_EXTRA = 0


def _pack(contents: Mapping[str, bytes]) -> bytes:
    """Build the only zip file that these contents have."""
    parts: list[bytes] = []
    central: list[bytes] = []
    at = 0
    for name in sorted(contents):
        content, raw = contents[name], name.encode("ascii")
        shared = (
            _NEEDED, _FLAGS, _STORED, _TIME, _FIRST_DAY, crc32(content), len(content),
            len(content), len(raw), _NO_EXTRA,
        )  # fmt: skip
        if at + len(content) > _MOST_BYTES or len(central) >= _MOST_FILES:
            raise InputError("the packet would be over 2 GiB or 1,000 files; take fewer posts")
        header = _LOCAL.pack(b"PK\3\4", *shared) + raw
        # No comment, first disk, no internal attributes, then permissions and place.
        central.append(_CENTRAL.pack(b"PK\1\2", _UNIX | _NEEDED, *shared, 0, 0, 0, _MODE, at) + raw)
        parts += [header, content]
        at += len(header) + len(content)
    listing = b"".join(central)
    end = _END.pack(b"PK\5\6", 0, 0, len(central), len(central), len(listing), at, 0)
    return b"".join([*parts, listing, end])


def _unpack(packed: bytes, path: object) -> dict[str, bytes]:
    """Read the files of a packet one behind the other, as they were written.

    Sizes are checked against what is there before anything is taken, and names must be plain.
    """
    contents: dict[str, bytes] = {}
    at, names = 0, set[str]()
    while packed[at : at + 4] == b"PK\3\4" and len(contents) < _MOST_FILES:
        if at + _LOCAL.size > len(packed):
            raise _not_packet(path, at, "ends in the middle of a header")
        _, _, flags, method, _, _, _, stored, size, length, extra = _LOCAL.unpack_from(packed, at)
        start = at + _LOCAL.size + length
        name = packed[at + _LOCAL.size : start].decode("latin-1")
        if (flags, method, extra) != (_FLAGS, _STORED, _NO_EXTRA) or stored != size:
            raise _not_packet(path, at, "holds a file that is compressed, encrypted or extended")
        if not _NAME.fullmatch(name) or name.lower() in names:
            raise _not_packet(path, at, f"holds a file with the name {name!r:.60}")
        if start + size > len(packed):
            raise _not_packet(path, at, f"holds {name}, which should go on beyond the end")
        contents[name], at = packed[start : start + size], start + size
        names.add(name.lower())
    for name in _OWN:
        if name not in contents:
            raise _not_packet(path, at, f"has no {name} before")
    return contents


def _not_packet(path: object, at: int, fault: str) -> InputError:
    return InputError(
        f"{path} is no evidence packet, or was changed: it {fault} (at byte {at:,}); get the "
        "original"
    )


# --- verifying -----------------------------------------------------------------------------------


def verify_packet(
    path: str | os.PathLike[str],
    *,
    root: str | None = None,
    model: Classifier | str | os.PathLike[str] | None = None,
) -> Verification:
    """Check every byte of a packet, and score the texts that are not redacted again.

    :param root: the root hash that was kept elsewhere, to compare with; only it can show that a
        packet was not rewritten together with its hashes.
    :param model: the classifier to score with, or the folder of one; the bundled one of the id
        that the packet names if None.
    :raises InputError: the file cannot be read, or is no packet; ``root`` is no hash.
    :raises ModelError: the folder of the model cannot be loaded.
    """
    wanted = None if root is None else _checked_root(root)
    packed = _read(path)
    contents = _unpack(packed, path)
    manifest = _object(contents[MANIFEST], MANIFEST, path)
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"{path} is a packet of format {manifest.get('format')!r:.40}, and this hostrisk reads "
            f"format {FORMAT}; use the hostrisk that wrote it"
        )
    own = _hash(contents[MANIFEST])
    problems = [*_root_problems(own, wanted), *_file_problems(manifest, contents)]
    problems += _byte_problems(packed, contents)
    assessment = _object(contents[ASSESSMENT], ASSESSMENT, path)
    problems += _named_problems(manifest, assessment)
    checked = _check_posts(contents[POSTS], manifest, model)
    problems += checked.problems
    notes = (*_version_notes(manifest), *checked.notes)
    return Verification(
        not problems, own, tuple(problems), notes, len(contents), checked.posts, checked.rescored,
        checked.redacted, checked.differing, _id_of(manifest), _text(manifest.get("version")),
    )  # fmt: skip


def _checked_root(root: str) -> str:
    wanted = root.strip().lower()
    if not _HASH.fullmatch(wanted):
        raise InputError(f"the root hash {root!r:.80} is not 64 hexadecimal digits")
    return wanted


def _read(path: str | os.PathLike[str]) -> bytes:
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder, not an evidence packet")
    with open_file(Path(path)) as file:
        packed = file.read(_MOST_BYTES + 1)
    if len(packed) > _MOST_BYTES:
        raise InputError(f"{path} is over 2 GiB, which no evidence packet is")
    return packed


def _object(raw: bytes, name: str, path: object) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: {name} in it is not a JSON object; get the original")
    return value


def _root_problems(own: str, wanted: str | None) -> Iterator[str]:
    if wanted is not None and own != wanted:
        yield f"The root hash is {own}, not {wanted}: this is another packet, or it was rewritten."


def _file_problems(manifest: Mapping[str, Any], contents: Mapping[str, bytes]) -> Iterator[str]:
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        yield f"{MANIFEST} does not list the files."
        return
    for name in sorted(contents.keys() - {MANIFEST} - listed.keys()):
        yield f"{name} is not in the manifest: it was added."
    for name in sorted(listed.keys() - contents.keys()):
        yield f"{name!r:.120} is in the manifest but not in the packet: it was removed."
    for name, content in contents.items():
        if name in listed and listed[name] != _describe(content):
            yield f"{name} was changed: its size or SHA-256 is not the one of the manifest."


def _byte_problems(packed: bytes, contents: Mapping[str, bytes]) -> Iterator[str]:
    rebuilt = _pack(contents)
    if rebuilt != packed:
        at = _first_difference(packed, rebuilt)
        yield (
            f"The zip file differs from the one that hostrisk writes of these files, from byte "
            f"{at:,} on: it has {len(packed):,} bytes, and should have {len(rebuilt):,}."
        )


def _first_difference(one: bytes, other: bytes) -> int:
    """Return the place of the first byte that differs, by halving the stretch where it lies."""
    low, high = 0, min(len(one), len(other))
    one_view, other_view = memoryview(one), memoryview(other)
    while low < high:
        middle = (low + high) // 2
        if one_view[low : middle + 1] == other_view[low : middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


def _named_problems(manifest: Mapping[str, Any], assessment: Mapping[str, Any]) -> Iterator[str]:
    pairs = (
        ("model", _id_of(manifest), assessment.get("model")),
        ("policy", manifest.get("policy"), assessment.get("policy")),
    )
    for what, named, other in pairs:
        if named != other:
            yield f"The manifest names the {what} {named!r:.80}, the assessment {other!r:.80}."


def _version_notes(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest.get("version") != __version__:
        yield (
            f"It was made by hostrisk {_text(manifest.get('version'))}; checked by {__version__}."
        )


def _id_of(manifest: Mapping[str, Any]) -> str:
    model = manifest.get("model")
    return _text(model.get("id")) if isinstance(model, dict) else "unknown"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "unknown"


class _Checked(NamedTuple):
    """What was found about the posts of a packet."""

    problems: list[str]
    notes: list[str]
    posts: int
    rescored: int = 0
    redacted: int = 0
    differing: int = 0


def _check_posts(
    raw: bytes, manifest: Mapping[str, Any], model: Classifier | str | os.PathLike[str] | None
) -> _Checked:
    lines = raw.split(b"\n")
    posts = [_read_post(line) for line in lines[:-1]]
    problems = [
        f"{POSTS}, line {at} is not a post." for at, post in enumerate(posts, 1) if not post
    ]
    if lines[-1]:
        problems.append(f"{POSTS} does not end with a line end.")
    read = [post for post in posts if post]
    open_texts = [post for post in read if not post["redacted"]]
    problems += _hash_problems(open_texts)
    redacted = len(read) - len(open_texts)
    scorer, unfit = _scorer(manifest, model)
    if scorer is None:
        return _Checked([*problems, *unfit], [], len(posts), redacted=redacted)
    differing = _differing(scorer, open_texts)
    problems += (
        f"The post {post['id']!r:.80} scores {score!r}, not {post['score']!r} as is written."
        for post, score in differing[:_MOST_NAMED]
    )
    if len(differing) > _MOST_NAMED:
        problems.append(f"{len(differing) - _MOST_NAMED:,} more posts have other scores.")
    return _Checked(
        [*problems, *unfit], _score_notes(scorer, redacted), len(posts), len(open_texts), redacted,
        len(differing),
    )  # fmt: skip


def _read_post(line: bytes) -> dict[str, Any] | None:
    try:
        post = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(post, dict) or not isinstance(post.get("redacted"), bool):
        return None
    texts = [post.get(key) for key in ("id", "text", "sha256")]
    if not all(isinstance(text, str) and _is_whole(text) for text in texts):
        return None
    score = post.get("score")
    number = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    return post if number and _HASH.fullmatch(post["sha256"]) else None


def _is_whole(text: str) -> bool:
    return re.search("[\ud800-\udfff]", text) is None


def _hash_problems(posts: Iterable[Mapping[str, Any]]) -> list[str]:
    wrong = [post for post in posts if _hash(post["text"].encode()) != post["sha256"]]
    said = [
        f"The sha256 of the post {post['id']!r:.80} is not that of its text."
        for post in wrong[:_MOST_NAMED]
    ]
    more = len(wrong) - _MOST_NAMED
    return (
        [*said, f"{more:,} more posts have another sha256 than their text."] if more > 0 else said
    )


def _scorer(
    manifest: Mapping[str, Any], model: Classifier | str | os.PathLike[str] | None
) -> tuple[Classifier | None, list[str]]:
    """Return the classifier that the packet names, or why there is none."""
    wanted = _id_of(manifest)
    if model is None:
        found = _bundled(wanted)
    else:
        found = model if isinstance(model, Classifier) else load(model)
    if found is None or found.model_id != wanted:
        at_hand = "which is not bundled with this hostrisk" if found is None else found.model_id
        join = ", " if found is None else "; at hand is "
        return None, [
            f"No text was scored again: the packet names the model {wanted!r:.80}{join}{at_hand}."
        ]
    if manifest["model"].get("files") != _model_files(found):
        return found, ["The files of the model are others than the manifest says."]
    return found, []


def _differing(
    scorer: Classifier, posts: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], float]]:
    """Return the posts that have another score than is written, with the score that they have."""
    scores = scorer.score([post["text"] for post in posts])
    near = _near(scorer)
    return [
        (post, score)
        for post, score in zip(posts, scores, strict=True)
        if not abs(score - post["score"]) <= near
    ]


def _near(scorer: Classifier) -> float:
    return _EXACT if scorer.artifact.tier == FAST else _ENCODED


def _score_notes(scorer: Classifier, redacted: int) -> list[str]:
    notes = []
    if redacted:
        are = "is redacted" if redacted == 1 else "are redacted"
        notes.append(
            f"{redacted:,} of the texts {are}: neither score nor SHA-256 can be checked without "
            "the whole text."
        )
    if _near(scorer) != _EXACT:
        notes.append(f"Scores of an encoder count as the same within {_near(scorer)}.")
    return notes
