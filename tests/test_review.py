"""Labeling a sample: what the file holds afterwards, and who may open the page."""

from __future__ import annotations

import csv
import io
import os
import re
import socket
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import hostrisk
import hostrisk.cli.reviewing
from hostrisk.cli import main
from hostrisk.errors import InputError, MissingExtraError
from hostrisk.policy import KINDS, TARGETS
from hostrisk.review import Agreement, Review, Verdict, open_review
from hostrisk.review.sheet import open_sheet
from hostrisk.review.table import (
    FIRST,
    SECOND,
    SETTLE,
    Pace,
    describe_agreement,
    describe_verdict,
)

pytest.importorskip("starlette", reason="the review page needs the extra host")
testclient = pytest.importorskip("starlette.testclient", reason="needs httpx2")

from hostrisk.review import app as pages_app  # noqa: E402  # only where starlette is

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = "id,text,inclusion_probability,stratum\n"
ROWS = [
    'p1,"we baked a cake, with ""sugar""",0.5,low\n',
    "p2,time to hang the traitors,0.25,high\n",
    "p3,I hope you all starve,0.25,high\n",
    "p4,see you on Saturday,0.5,low\n",
    "p5,fight for our country,0.5,low\n",
]
POSTS = HEADER + "".join(ROWS)
THREAT = Verdict(1, "threat", ("police", "left"))
CALM = Verdict(0)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "review.csv"
    path.write_bytes(POSTS.encode())
    return path


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a file by their ids, as any tool reads them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def place(review: Review, identity: str) -> int:
    return next(at for at in range(len(review)) if review.id(at) == identity)


def give(path: Path, role: str, **verdicts: Verdict | int) -> Review:
    review = open_review(path, role)
    for identity, verdict in verdicts.items():
        given = Verdict(verdict) if isinstance(verdict, int) else verdict
        review.give(place(review, identity), given)
    return review


def outcome(path: Path, identity: str) -> tuple[str, str, str]:
    row = rows(path)[identity]
    return row["label"], row["kind"], row["target"]


def labeled(path: Path, columns: str, cells: Iterable[str]) -> Path:
    """Write the sample with columns that are there already."""
    lines = [f"{line.rstrip()},{cell}" for line, cell in zip(ROWS, cells, strict=True)]
    path.write_text("\n".join([f"{HEADER.rstrip()},{columns}", *lines]) + "\n", encoding="utf-8")
    return path


# --- the file ------------------------------------------------------------------------------------


def test_opening_writes_nothing(sample: Path) -> None:
    review = open_review(sample)
    assert len(review) == 5
    assert sample.read_bytes() == POSTS.encode()
    assert list(sample.parent.iterdir()) == [sample]


def test_a_verdict_is_on_disk_at_once_in_new_columns(sample: Path) -> None:
    give(sample, FIRST, p2=THREAT, p1=CALM)
    found = rows(sample)
    assert list(found["p1"]) == [
        *("id", "text", "inclusion_probability", "stratum"),
        *("label_1", "kind_1", "target_1", "label", "kind", "target"),
    ]
    assert found["p2"]["target_1"] == "police,left"
    assert outcome(sample, "p2") == ("1", "threat", "police,left")
    assert outcome(sample, "p1") == ("0", "", "")
    assert outcome(sample, "p3") == ("", "", "")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"id,text,x\n", b'a,"with ""quotes"", commas",1\nb,plain,2\n'),
        (b"id,text,x\r\n", b'a,"two\r\nlines",1\r\nb,"needlessly quoted","2"\r\n'),
        (b"\xef\xbb\xbfid,text,x\n", b"a,mark,1\nb,no line end,2"),
        (b'"id","text","x"\n', b'"a","","1"\n\n"b",  spaces ,\n\n'),
        (b"text,id,x\n", 'né 🎉 "mid" quote,a,1\n\x1b[31m\x00,b,1e-07\n'.encode()),
    ],
)
def test_all_other_bytes_stay(tmp_path: Path, header: bytes, body: bytes) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(header + body)
    before = rows(path)
    review = open_review(path)
    review.give(place(review, "b"), Verdict(1, "wish", ("police", "media")))
    added = {"label_1": "1", "kind_1": "wish", "target_1": "police,media"}
    added |= {"label": "1", "kind": "wish", "target": "police,media"}
    assert rows(path)["b"] == before["b"] | added
    assert rows(path)["a"] == before["a"] | dict.fromkeys(added, "")
    # Without what was added, to the header and at the end of each row, the bytes are the same.
    after = path.read_bytes().replace(b",label_1,kind_1,target_1,label,kind,target", b"")
    after = after.replace(b',1,wish,"police,media",1,wish,"police,media"', b"")
    assert after.replace(b",,,,,,", b"") == header + body


def test_a_tsv_is_labeled_too(tmp_path: Path) -> None:
    path = tmp_path / "review.tsv"
    path.write_text("id\ttext\na\tone, two\n", encoding="utf-8")
    give(path, FIRST, a=Verdict(1, "threat", ("police", "tech")))
    assert path.read_text(encoding="utf-8") == (
        "id\ttext\tlabel_1\tkind_1\ttarget_1\tlabel\tkind\ttarget\n"
        "a\tone, two\t1\tthreat\tpolice,tech\t1\tthreat\tpolice,tech\n"
    )


def test_columns_of_a_review_may_stand_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("label_1,id,label,text\n1.0,a,1,one\n,b,,two\n", encoding="utf-8")
    review = give(path, FIRST, b=0)
    assert review.verdict(place(review, "a")) == Verdict(1)  # as pandas writes a 1 beside nulls
    assert path.read_text(encoding="utf-8") == (
        "label_1,id,label,text,kind_1,target_1,kind,target\n1.0,a,1,one,,,,\n0,b,0,two,,,,\n"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"id,text\n", "has a header but no rows"),
        (b"id,body\na,b\n", "has no column 'text'"),
        (b"text\nb\n", "has no column 'id'"),
        (b"id,text\na,b,c\n", "line 2 has 3 fields"),
        (b'id,text\na,"b\n', "quotation mark"),
        (b"id,text\na,\xff\n", "line 2 is not UTF-8"),
        (b"id,text,id\na,b,c\n", "more than one column named 'id'"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        open_review(path)
    assert path.read_bytes() == content


def test_other_formats_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    path.write_text('{"id": "a", "text": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"save it as \.csv"):
        open_review(path)


@pytest.mark.parametrize("change", ["rewritten", "replaced", "removed"])
def test_a_file_that_changed_is_not_overwritten(sample: Path, change: str) -> None:
    review = open_review(sample)
    review.give(0, CALM)
    if change == "removed":
        sample.unlink()
    else:
        other = sample.with_name("other.csv") if change == "replaced" else sample
        other.write_text("somebody else's\n", encoding="utf-8")
        other.replace(sample)
    for step in (lambda: review.give(1, THREAT), review.undo):
        with pytest.raises(InputError, match="changed by another program, so nothing was saved"):
            step()
    assert review.verdict(1) is None
    assert review.verdict(0) == CALM
    assert not sample.exists() or sample.read_text(encoding="utf-8") == "somebody else's\n"


def test_two_reviews_of_one_file_do_not_undo_each_other(sample: Path) -> None:
    one, other = open_review(sample), open_review(sample, SECOND)
    one.give(0, CALM)
    with pytest.raises(InputError, match="changed by another program"):
        other.give(0, CALM)
    one.give(1, CALM)
    assert sum(row["label_1"] == "0" for row in rows(sample).values()) == 2


def test_a_failed_save_takes_no_verdict(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review = open_review(sample)
    review.give(0, CALM)
    before = sample.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device"):
            review.give(1, THREAT)
    assert review.verdict(1) is None
    assert sample.read_bytes() == before
    assert list(sample.parent.iterdir()) == [sample]
    review.give(1, THREAT)
    assert review.progress().done == 2


def test_a_crash_between_verdicts_loses_none(sample: Path) -> None:
    code = (
        "import os, sys; from hostrisk.review import open_review, Verdict\n"
        "review = open_review(sys.argv[1])\n"
        "for at in range(3): review.give(at, Verdict(at % 2))\n"
        "os.kill(os.getpid(), 9)"
    )
    path = str(Path(hostrisk.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, sample], env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert done.returncode == -9
    review = open_review(sample)
    assert [review.verdict(at) for at in range(4)] == [CALM, Verdict(1), CALM, None]
    assert review.next_open() == 3


# --- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict", [Verdict(2), Verdict(1, "insult"), Verdict(1, "threat", ("police", "martians"))]
)
def test_what_is_no_verdict_is_refused(sample: Path, verdict: Verdict) -> None:
    review = open_review(sample)
    with pytest.raises(InputError, match="it must be"):
        review.give(0, verdict)
    assert sample.read_bytes() == POSTS.encode()


def test_a_post_that_is_not_violent_has_no_kind(sample: Path) -> None:
    review = give(sample, FIRST, p2=Verdict(0, "threat", ("police",)))
    assert review.verdict(place(review, "p2")) == CALM
    assert outcome(sample, "p2") == ("0", "", "")


def test_undo_takes_back_step_by_step(sample: Path) -> None:
    review = open_review(sample)
    assert review.undo() is None
    review.give(0, Verdict(1))
    review.give(0, THREAT)  # completes the verdict: no step of its own
    review.give(3, CALM)
    review.give(3, CALM)  # the same again: none either
    review.give(3, Verdict(1))  # another one: a step
    assert review.undo() == 3
    assert review.verdict(3) == CALM
    assert review.undo() == 3
    assert review.undo() == 0
    assert review.undo() is None
    assert review.progress().done == 0
    assert all(row["label"] == row["label_1"] == "" for row in rows(sample).values())


def test_resuming_goes_on_in_the_same_order(sample: Path) -> None:
    review = open_review(sample)
    order = [review.id(at) for at in range(5)]
    for at in (0, 1, 3):
        review.give(at, CALM)
    again = open_review(sample)
    assert [again.id(at) for at in range(5)] == order
    assert [again.next_open(at) for at in (-1, 1, 2, 4)] == [2, 2, 4, 2]
    assert again.progress() == (3, 5, 0)
    again.give(2, CALM)
    again.give(4, THREAT)
    assert again.next_open() is None
    assert again.progress() == (5, 5, 1)


def test_the_order_mixes_strata_and_does_not_hang_on_the_order_of_rows(tmp_path: Path) -> None:
    lines = [f"post-{n},text,{'high' if n < 100 else 'low'}\n" for n in range(200)]
    orders = []
    for name, body in (("a.csv", lines), ("b.csv", lines[::-1])):
        (tmp_path / name).write_text("id,text,stratum\n" + "".join(body), encoding="utf-8")
        for role in (FIRST, SECOND):
            review = open_review(tmp_path / name, role)
            orders.append([review.id(at) for at in range(200)])
    assert orders[0] == orders[2] != [f"post-{n}" for n in range(200)]
    assert orders[1] == orders[3] != orders[0]  # the second reviewer reads in another order
    high = [int(identity.removeprefix("post-")) < 100 for identity in orders[0]]
    runs = 1 + sum(one != other for one, other in pairwise(high))
    assert 75 < runs < 127  # of a fair shuffle: 101, standard deviation 7


def test_two_reviewers_agree_or_leave_the_outcome_open(sample: Path) -> None:
    give(sample, FIRST, p1=0, p2=Verdict(1, "threat"), p3=Verdict(1, "wish"), p4=0)
    second = Verdict(1, "incitement", ("politician",))
    review = give(sample, SECOND, p1=0, p2=second, p3=0, p5=1)
    assert outcome(sample, "p1") == ("0", "", "")
    # The first one's kind, and the second one's target where the first named none.
    assert outcome(sample, "p2") == ("1", "threat", "politician")
    assert outcome(sample, "p3") == ("", "", "")
    assert outcome(sample, "p4") == ("0", "", "")
    assert outcome(sample, "p5") == ("1", "", "")
    assert review.disputes() == 1
    found = rows(sample)["p3"]
    assert (found["label_1"], found["kind_1"], found["label_2"]) == ("1", "wish", "0")
    assert review.verdict(place(review, "p4")) is None  # not seen: only the first one's


def test_settling_shows_only_disagreements_and_decides_them(sample: Path) -> None:
    give(sample, FIRST, p1=0, p2=1, p3=1)
    give(sample, SECOND, p1=0, p2=0, p3=0)
    review = open_review(sample, SETTLE)
    assert {review.id(at) for at in range(len(review))} == {"p2", "p3"}
    at = place(review, "p2")
    assert [review.verdict(at, role) for role in (FIRST, SECOND)] == [Verdict(1), CALM]
    assert review.progress() == (0, 2, 0)
    review.give(at, THREAT)
    assert outcome(sample, "p2") == ("1", "threat", "police,left")
    assert rows(sample)["p2"]["label_1"] == "1"
    assert rows(sample)["p2"]["label_2"] == "0"
    assert open_review(sample, SETTLE).progress() == (1, 2, 1)
    assert review.undo() == at
    assert outcome(sample, "p2") == ("", "", "")


def test_what_was_settled_stays_while_the_disagreement_does(sample: Path) -> None:
    give(sample, FIRST, p2=Verdict(1, "wish"))
    give(sample, SECOND, p2=0)
    give(sample, SETTLE, p2=Verdict(1, "incitement"))
    give(sample, FIRST, p2=Verdict(1, "threat"))
    assert outcome(sample, "p2") == ("1", "incitement", "")
    review = give(sample, FIRST, p2=0)
    assert outcome(sample, "p2") == ("0", "", "")
    review.give(place(review, "p2"), Verdict(1))
    assert outcome(sample, "p2") == ("", "", "")  # disagree anew: to be settled anew


def test_settling_needs_a_second_reviewer(sample: Path) -> None:
    with pytest.raises(InputError, match="collect them with --second"):
        open_review(sample, SETTLE)


@pytest.mark.parametrize("column", ["label", "kind", "target"])
def test_the_outcome_of_another_tool_is_not_destroyed(tmp_path: Path, column: str) -> None:
    path = labeled(tmp_path / "review.csv", column, ["1" if column == "label" else "x"] * 5)
    before = path.read_bytes()
    for role in (FIRST, SECOND):
        with pytest.raises(InputError, match=f"move it to the column '{column}_1'"):
            open_review(path, role)
    assert path.read_bytes() == before


def test_an_empty_column_for_labels_is_used(tmp_path: Path) -> None:
    path = labeled(tmp_path / "review.csv", "label", [""] * 5)
    give(path, FIRST, p1=0)
    assert rows(path)["p1"]["label"] == "0"


@pytest.mark.parametrize(
    ("column", "value"),
    [("label_1", "maybe"), ("label", "2"), ("kind_2", "insult"), ("target_1", "martians")],
)
def test_values_that_are_no_verdicts_are_named(tmp_path: Path, column: str, value: str) -> None:
    path = labeled(tmp_path / "review.csv", column, ["", "", value, "", ""])
    with pytest.raises(InputError, match=f"row 3, column '{column}' is '{value}'"):
        open_review(path)


# --- agreement and pace --------------------------------------------------------------------------


def sample_of(path: Path, counts: dict[tuple[str, str], int]) -> Review:
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    lines = [f"p{n},text,{first},{second}\n" for n, (first, second) in enumerate(pairs)]
    path.write_text("id,text,label_1,label_2\n" + "".join(lines), encoding="utf-8")
    return open_review(path, SECOND)


def test_agreement_is_cohens_kappa_with_its_interval(tmp_path: Path) -> None:
    counts = {("1", "1"): 20, ("1", "0"): 5, ("0", "1"): 10, ("0", "0"): 15, ("1", ""): 3}
    found = sample_of(tmp_path / "review.csv", counts).agreement()
    assert found is not None
    # By hand: agreed 0.7, by chance 0.5, so kappa 0.4; its variance after Fleiss, Cohen & Everitt.
    p = {(1, 1): 0.4, (1, 0): 0.1, (0, 1): 0.2, (0, 0): 0.3}
    first, second = {1: 0.5, 0: 0.5}, {1: 0.6, 0: 0.4}
    kappa, chance = 0.4, 0.5
    same = sum(p[i, i] * (1 - (first[i] + second[i]) * (1 - kappa)) ** 2 for i in (0, 1))
    apart = sum(p[i, 1 - i] * (second[i] + first[1 - i]) ** 2 for i in (0, 1)) * (1 - kappa) ** 2
    rest = (kappa - chance * (1 - kappa)) ** 2
    half = 1.959964 * ((same + apart - rest) / 50) ** 0.5 / (1 - chance)
    assert found[:2] == (50, 35)
    assert found.share == 0.7
    assert found[2:] == pytest.approx((kappa, kappa - half, kappa + half), abs=1e-6)
    assert describe_agreement(found) == (
        "The reviewers agree on 35 of 50 posts (70.0%); Cohen's kappa is 0.40, "
        f"95% interval {found.low:.2f} to {found.high:.2f}."
    )


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({("1", ""): 3}, None),
        ({("0", "0"): 9}, Agreement(9, 9, None, None, None)),
        ({("0", "0"): 9, ("1", "1"): 3}, Agreement(12, 12, 1.0, None, None)),
        ({("0", "0"): 9, ("0", "1"): 3}, Agreement(12, 9, 0.0, None, None)),
        ({("1", "0"): 3, ("0", "1"): 3}, Agreement(6, 0, -1.0, None, None)),
    ],
)
def test_agreement_claims_no_more_than_labels_tell(
    tmp_path: Path, counts: dict[tuple[str, str], int], expected: Agreement | None
) -> None:
    found = sample_of(tmp_path / "review.csv", counts).agreement()
    assert found == expected
    if found is not None:
        assert "interval" in describe_agreement(found) or "cannot be told" in describe_agreement(
            found
        )


def test_agreement_names_the_extra_that_is_missing(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.stats.inter_rater", None)
    assert open_review(sample).agreement() is None  # nobody to agree with
    with pytest.raises(MissingExtraError, match=r"statsmodels.*hostrisk\[host\]"):
        open_review(sample, SECOND).agreement()


def test_the_pace_tells_how_long_the_rest_takes() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    told = []
    for seconds in (20.0, 4000.0, 30.0, 40.0):
        now[0] += seconds
        pace.step()
        told.append(pace.left(100))
    assert told == ["", "", "", "about 50 minutes left"]  # 30 s each; the pause does not count
    assert pace.left(1) == "less than a minute left"
    assert pace.left(2) == "about 1 minute left"
    assert pace.left(1000) == "about 8 hours left"
    assert pace.left(0) == ""


def test_verdicts_in_words() -> None:
    assert describe_verdict(None) == "no verdict"
    assert describe_verdict(CALM) == "not violent"
    assert describe_verdict(THREAT) == "violent, threat, against police, left"


# --- the page ------------------------------------------------------------------------------------

PORT = 51999
HOME = f"http://127.0.0.1:{PORT}"


class Desk:
    """A reviewer's browser: opens the address, then sends the forms of the pages it was shown."""

    def __init__(self, review: Review, **options: Any) -> None:
        self.review = review
        self.access = pages_app.Access(PORT)
        self.app = pages_app.make_app(review, self.access, **options)
        self.http = self.stranger()
        self.shown = self.http.get(self.access.address).text

    def stranger(self) -> Any:
        """Return a browser that has not opened the address."""
        return testclient.TestClient(self.app, base_url=HOME)

    def get(self, path: str) -> str:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        self.shown = answer.text
        return self.shown

    def post(self, path: str, status: int = 200, **fields: Any) -> str:
        answer = self.http.post(path, data={"key": self.access.form_key} | fields)
        assert answer.status_code == status, answer.text
        self.shown = answer.text
        return self.shown


@pytest.fixture
def desk(sample: Path) -> Desk:
    return Desk(open_review(sample))


def words(page: str) -> str:
    """Return what a page shows, without its tags, style and script."""
    body = re.sub(r"(?s)<(style|script)\b.*?</\1>|<[^>]*>", " ", page)
    return " ".join(unescape(body).split())


def test_the_address_lets_in_and_leaves_no_secret_behind(desk: Desk) -> None:
    answer = desk.stranger().get(desk.access.address, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Label 5 posts" in words(desk.shown)
    assert desk.access.token not in desk.shown


@pytest.mark.parametrize("path", ["/", "/post?at=1", "/finish", "/?token=", "/?token=wrong", "/x"])
def test_nobody_else_comes_in(desk: Desk, path: str) -> None:
    stranger = desk.stranger()
    answer = stranger.get(path, follow_redirects=False)
    assert answer.status_code == 403
    assert "cake" not in answer.text
    wrong = {"cookie": f"{desk.access.cookie}=wrong\u00e9".encode()}
    assert stranger.get(path, headers=wrong, follow_redirects=False).status_code == 403


@pytest.mark.parametrize(
    "host", ["attacker.example", f"attacker.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}"]
)
def test_another_name_for_this_computer_is_refused(desk: Desk, host: str) -> None:
    for path in ("/post?at=1", desk.access.address):
        answer = desk.http.get(path, headers={"host": host}, follow_redirects=False)
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers
        assert "cake" not in answer.text


@pytest.mark.parametrize("path", ["/verdict", "/undo", "/stop"])
def test_only_its_own_pages_change_labels(desk: Desk, path: str) -> None:
    right = {"key": desk.access.form_key, "at": "1", "label": "1"}
    stranger = desk.stranger()
    assert stranger.post(path, data=right).status_code == 403  # the key, but not the cookie
    for wrong in ({"key": ""}, {"key": desk.access.token}, {"key": "x" * 43}):
        assert desk.http.post(path, data=right | wrong).status_code == 400
    for header in (
        {"origin": "http://attacker.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert desk.http.post(path, data=right, headers=header).status_code == 403
    assert desk.http.get(path).status_code == 405
    assert desk.review.progress().done == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"at": "1"},
        {"at": "1", "label": "2"},
        {"at": "0", "label": "1"},
        {"at": "6", "label": "1"},
        {"at": "-1", "label": "1"},
        {"at": "9" * 5000, "label": "1"},
        {"at": "1", "label": "1", "go": "elsewhere"},
        {"at": "1", "label": "1", "targets": "x" * 20_000},
    ],
)
def test_a_form_that_no_page_sends_is_refused(desk: Desk, fields: dict[str, str]) -> None:
    desk.post("/verdict", 400, **fields)
    assert desk.review.progress().done == 0


def test_an_unknown_kind_is_told_and_not_saved(desk: Desk) -> None:
    page = desk.post("/verdict", 409, at="1", label="1", kind="<b>insult</b>")
    assert "it must be one of threat" in words(page)
    assert "<b>insult" not in page
    assert desk.review.progress().done == 0


def test_every_answer_keeps_the_page_to_itself(desk: Desk) -> None:
    nonces = set()
    for client, path in [(desk.http, "/"), (desk.http, "/post?at=1"), (desk.stranger(), "/")]:
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        (nonce, again) = re.findall(r"'nonce-([\w-]+)'", policy)
        assert nonce == again
        assert policy == (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src "
            "data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        nonces.add(nonce)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        if answer.status_code == 200:
            assert answer.text.count(f'nonce="{nonce}"') == 3
    assert len(nonces) == 3


class Elements(HTMLParser):
    """Gathers the tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


HOSTILE = (
    "</p><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} \x1b[31mred\u202eegnp "
    "\"'> &amp; kill them all"
)


def hostile_desk(tmp_path: Path, **options: Any) -> Desk:
    path = tmp_path / "review.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], [HOSTILE, HOSTILE + "\r\nsecond\nthird"]])
    return Desk(open_review(path), **options)


@pytest.mark.parametrize("highlights", [False, True])
def test_hostile_posts_are_shown_and_obeyed_by_nobody(
    tmp_path: Path, clf: hostrisk.Classifier, *, highlights: bool
) -> None:
    desk = hostile_desk(tmp_path, classifier=clf if highlights else None)
    page = desk.get("/post?at=1")
    tags = Elements(page).found
    assert [tag for tag, _ in tags].count("script") == 2
    assert not [tag for tag, _ in tags if tag in ("img", "iframe", "object", "base")]
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert re.match(r"(/|data:,$)", attributes.get(name) or "/")
    assert "\x1b" not in page
    assert "\u202e" not in page
    post = re.search(r'(?s)<p class="post" dir="auto">(.*?)</p>', page)
    assert post is not None
    text = unescape(re.sub(r"</?mark[^>]*>", "", post[1]))
    shown = HOSTILE.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
    assert text == shown + "\nsecond\nthird"
    assert ("<mark" in page) == highlights


def test_neither_score_nor_stratum_nor_another_verdict_is_shown(
    sample: Path, clf: hostrisk.Classifier
) -> None:
    give(sample, FIRST, **dict.fromkeys(("p1", "p2", "p3", "p4", "p5"), Verdict(1, "wish")))
    desk = Desk(open_review(sample, SECOND), classifier=clf)
    for number in range(1, 6):
        shown = desk.get(f"/post?at={number}")
        assert 'id="details"' not in shown  # the first reviewer found it violent
        assert not re.search(r"\b(high|low|0\.\d+)\b", words(shown))
        assert "agree" not in words(shown)
    assert "Second reviewer" in words(shown)


def test_labeling_goes_on_to_the_next_and_to_the_end(desk: Desk) -> None:
    assert "Post 1," in words(desk.get("/post"))
    assert "Post 2," in words(desk.post("/verdict", at="1", label="0"))
    assert "Saved as not violent." in desk.shown
    page = desk.post("/verdict", at="2", label="1", go="stay")
    assert "Which kind?" in words(page)
    assert not re.search(r"<input[^>]*\bchecked", page)  # nothing is filled in beforehand
    page = desk.post(
        "/verdict", at="2", label="1", kind="wish", targets=["police", "left"], go="open"
    )
    assert "Post 3," in words(page)
    assert desk.review.verdict(1) == Verdict(1, "wish", ("police", "left"))
    page = desk.get("/post?at=2")
    assert re.findall(r'value="(\w+)" checked', page) == ["wish", "police", "left"]
    for number in ("4", "5", "3"):
        desk.post("/verdict", at=number, label="0")
    assert "All posts labeled 5 labeled, 1 of them violent." in words(desk.shown)
    assert "hostrisk assess POSTS --labels" in words(desk.shown)
    assert "--second" in words(desk.shown)


@pytest.mark.parametrize(("go", "number"), [("previous", 1), ("next", 3), ("stay", 2), ("open", 3)])
def test_where_a_verdict_leads(desk: Desk, go: str, number: int) -> None:
    assert f"Post {number}," in words(desk.post("/verdict", at="2", label="1", go=go))


def test_every_kind_and_target_group_can_be_chosen(desk: Desk) -> None:
    page = desk.post("/verdict", at="1", label="1", go="stay")
    inputs = [about for tag, about in Elements(page).found if tag == "input"]
    chosen = {
        name: [about["value"] for about in inputs if about.get("name") == name]
        for name in ("kind", "targets")
    }
    assert chosen == {"kind": list(KINDS), "targets": list(TARGETS)}


def test_undo_shows_the_post_it_took_back(desk: Desk) -> None:
    assert "Nothing to undo" in desk.post("/undo", at="3")
    desk.post("/verdict", at="2", label="0")
    page = desk.post("/undo", at="3")
    assert "Post 2," in words(page)
    assert "Undone: back to no verdict." in page
    assert "Undone" not in desk.get("/post?at=2")  # said once
    assert desk.review.progress().done == 0


def test_a_page_that_is_started_again_goes_on(desk: Desk, sample: Path) -> None:
    desk.post("/verdict", at="1", label="0")
    desk.post("/verdict", at="3", label="1")
    again = Desk(open_review(sample))
    assert "2 of 5" in words(again.shown)
    assert "Go on" in words(again.shown)
    assert "Post 2," in words(again.get("/post"))


def test_settling_shows_what_both_said(sample: Path) -> None:
    give(sample, FIRST, p2=Verdict(1, "threat", ("police",)))
    give(sample, SECOND, p2=0)
    desk = Desk(open_review(sample, SETTLE))
    assert "Settle 1 post on which two reviewers disagree" in words(desk.shown)
    page = words(desk.get("/post?at=1"))
    assert "First reviewer violent, threat, against police" in page
    assert "Second reviewer not violent" in page
    page = words(desk.post("/verdict", at="1", label="0"))
    assert "All settled" in page
    assert "The reviewers agree on 0 of 1 post (0.0%)" in page
    assert outcome(sample, "p2") == ("0", "", "")
    assert desk.http.get("/post?at=2").status_code == 404


def test_a_file_that_changed_underneath_is_told_on_the_page(desk: Desk, sample: Path) -> None:
    desk.post("/verdict", at="1", label="0")
    sample.write_text(POSTS, encoding="utf-8")
    for path in ("/verdict", "/undo"):
        page = desk.post(path, 409, at="2", label="1")
        assert re.search(r'role="alert">[^<]*was changed by another program', page)
        assert "Post 2," in words(page)
    assert sample.read_text(encoding="utf-8") == POSTS


def test_empty_posts_and_an_odd_file_name_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "<b>my \u202ereview$(x).csv"
    path.write_text("id,text\n,\n", encoding="utf-8")
    desk = Desk(open_review(path))
    assert "This post has no text." in words(desk.get("/post?at=1"))
    page = desk.get("/finish")
    assert "<b>my" not in page
    assert "\u202e" not in page
    assert "hostrisk review '" in unescape(page)  # as a shell needs it


def test_finishing_says_goodbye_and_stops(sample: Path) -> None:
    stopped: list[bool] = []
    desk = Desk(open_review(sample), stop=lambda: stopped.append(True))
    assert "You can close this page" in words(desk.post("/stop"))
    assert stopped == [True]


# --- the command ---------------------------------------------------------------------------------


def complaint(*arguments: str, status: int = 1) -> str:
    result = CliRunner().invoke(main, ["review", *arguments])
    assert result.exit_code == status, result.output
    (line,) = result.stderr.splitlines()
    assert result.stdout == ""
    return line.removeprefix("hostrisk: error: ")


def test_the_command_refuses_in_one_sentence(sample: Path) -> None:
    assert complaint("missing.csv") == "missing.csv does not exist"
    assert "exclude each other" in complaint(str(sample), "--second", "--settle", status=2)
    assert "collect them with --second" in complaint(str(sample), "--settle")
    assert "no-such-model" in complaint(str(sample), "--model", "no-such-model")


def test_a_taken_port_is_told(sample: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = complaint(str(sample), "--no-browser", "--no-highlights", "--port", port)
    assert told.startswith(f"port {port} of this computer cannot be used: ")
    assert "--port" in told


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_extra_is_told(
    sample: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == package or name == "hostrisk.review.app":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    told = complaint(str(sample), "--no-browser", "--no-highlights")
    assert f"needs the package {package}" in told
    assert 'pip install "hostrisk[host]"' in told


def test_nothing_to_settle_needs_no_page(sample: Path) -> None:
    give(sample, FIRST, p1=0, p2=1)
    give(sample, SECOND, p1=0, p2=1)
    result = CliRunner().invoke(main, ["review", str(sample), "--settle"])
    assert result.exit_code == 0
    assert result.stdout == (
        "0 of 0 disagreements settled, 0 as violent.\nThe reviewers agree on 2 of 2 posts "
        "(100.0%); Cohen's kappa is 1.00; these labels give it no interval.\n"
    )


def test_a_sheet_reads_as_csv_does(tmp_path: Path) -> None:
    cells = [["id", "text"], ["a", 'x "y",\n\r\nz'], ["b", ""], ['"', '""'], ["c", " d "]]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        out = io.StringIO()
        csv.writer(out, quoting=quoting).writerows(cells)
        path = tmp_path / f"{quoting}.csv"
        path.write_bytes(out.getvalue().encode())
        sheet = open_sheet(path, text=("id", "text"))
        assert sheet.columns == ("id", "text")
        found = [[sheet.get(row, name) for name in sheet.columns] for row in range(len(sheet))]
        assert found == cells[1:]
        sheet.save()
        assert path.read_bytes().decode() == out.getvalue()
