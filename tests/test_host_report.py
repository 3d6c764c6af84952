"""What a host assessment looks like: a page, Markdown and text that hostile posts cannot break."""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import hostrisk
from hostrisk.report.host import charts as host_charts
from hostrisk.report.host import render_html, render_markdown, render_text, summarize
from hostrisk.report.host import words as host_words

pytest.importorskip("matplotlib", reason="the charts need hostrisk[host]")

SCRIPT = "<script>alert(1)</script>"
HOSTILE_NAME = f'{SCRIPT}"><img src=x onerror=alert(1)>{{{{ summary }}}}{{% raw %}}'
HOSTILE_TEXT = (
    f"{SCRIPT}</blockquote></details></main>\u202egnp.exe\x1b[31m\u200b\n"
    "# not a heading\n```\n<b>out of the fence</b> [a](javascript:alert(1)) ~~~~ https://x.example"
)
LONG_NAME = "a-very-long-label-of-a-host" * 9 + ".example"
START = datetime.date(2020, 11, 2)


# --- a realistic assessment ----------------------------------------------------------------------


def prevalence(
    value: float | None, posts: int, *, flagged: int | None = None, method: str = "reviewed sample"
) -> dict[str, Any]:
    known = value is not None
    reviewed = 300 if method == "reviewed sample" else 0
    return {
        "posts": posts,
        "flagged": round((value or 0) * posts * 2.2) if flagged is None else flagged,
        "prevalence": value,
        "low": value * 0.7 if known else None,
        "high": value * 1.45 if known else None,
        "method": method,
        "reviewed": reviewed,
        "positives": 41 if reviewed else 0,
    }


def share(posts: int, hits: int, **names: Any) -> dict[str, Any]:
    found = hits / posts if posts else None
    ends = (None, None) if found is None else (max(0, found - 0.04), min(1, found + 0.05))
    return {"posts": posts, "share": found, "low": ends[0], "high": ends[1], **names}


def trend(ratio: float, p_value: float, *, change: bool = False) -> dict[str, Any]:
    found = {
        "ratio": ratio, "low": ratio * 0.75, "high": ratio * 1.4, "p_value": p_value,
        "p_adjusted": min(1.0, p_value * 4), "weeks": 12, "from": 0.0021, "to": 0.0021 * ratio,
        "of": "violent posts", "change_point": None,
        "sentence": f"rose from 21 to {21 * ratio:.0f} per 10,000 posts over 12 weeks "
        f"(ratio {ratio:.1f}, 95% interval {ratio * 0.75:.1f} to {ratio * 1.4:.1f})",
    }  # fmt: skip
    if change:
        found["change_point"] = {
            "date": "2020-12-14", "before": 0.0026, "after": 0.0049, "p_value": 0.003,
        }  # fmt: skip
    return found


def week(place: int, *, known: bool = True) -> dict[str, Any]:
    value = (0.0021 + 0.00012 * place + 0.0016 * (place > 5)) if known else None
    method = "model-based" if place < 2 else "reviewed sample"
    return {
        "start": (START + datetime.timedelta(7 * place)).isoformat(),
        **prevalence(value, 380 + 17 * place, flagged=7 + place, method=method),
    }


def exemplar(place: int, text: str, **changes: Any) -> dict[str, Any]:
    words = [(match.start(), match.end()) for match in re.finditer(r"\w+", text)][:5]
    found = {
        "id": f"p{812 + place}", "time": "2021-01-05T12:00:00Z", "url": None, "score": 0.93,
        "kind": "incitement", "targets": ["politician", "official"], "text": text,
        "redacted": True, "sha256": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        "spans": [
            {"start": start, "end": end, "weight": (1.2, -0.4, 0.7, 0.3, 0.9)[at]}
            for at, (start, end) in enumerate(words)
        ],
        "marks": [], "urgent": False, "reported_at": None, "removed_at": None, "label": None,
    }  # fmt: skip
    return {**found, **changes}


def exemplars() -> list[dict[str, Any]]:
    call = "Saturday at noon, the town hall. Bring rope for every last one of these traitors."
    marks = [
        {"mark": "time", "words": "Saturday at noon", "start": 0, "end": 16},
        {"mark": "place", "words": "the town hall", "start": 18, "end": 31},
        {"mark": "means", "words": "rope", "start": 39, "end": 43},
    ]
    return [
        exemplar(
            0, call, marks=marks, urgent=True, label=1, reported_at="2021-01-05T13:30:00Z",
            url="https://harbour.example/posts/812?a=<b>&c=javascript:alert(1)",
        ),
        exemplar(1, HOSTILE_TEXT, id=HOSTILE_NAME, kind="threat", targets=[SCRIPT], label=0,
                 marks=[{"mark": "weapon", "words": SCRIPT, "start": 0, "end": 25}]),
        exemplar(2, "they should hang " * 400, time=None, removed_at="2021-01-07T08:00:00+01:00"),
        exemplar(3, "שלום they will all be shot, 日本語のテキスト", targets=[], redacted=False),
    ]  # fmt: skip


def group(names: list[str], highest: float) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            **prevalence(highest / (1 + place), 5_200),
            "trend": None
            if place % 3 == 2
            else trend(2.6 / (1 + place), min(1.0, 0.0004 * 9**place)),
        }
        for place, name in enumerate(names)
    ]


def response() -> dict[str, Any]:
    curve = [
        {"hours": 12.0 * n, "open": 0.99 - n / 90, "low": 0.97 - n / 77, "high": 1 - n / 110}
        for n in range(1, 15)
    ]
    backlog = [
        {
            "date": (START + datetime.timedelta(7 * n)).isoformat(),
            "open": 4 + 9 * n + n * n,
            "flagged": 2 + 5 * n,
        }
        for n in range(12)
    ]
    handled = share(400, 12, handled=12)
    reported = {**share(410, 52, removed=52), "flagged": 180, "handled_24h": handled}
    found = {**share(160, 28, removed=28), "flagged": 160, "handled_24h": share(150, 6, handled=6)}
    return {
        "flagged": share(240, 31, removed=31),
        "reported": reported,
        "reported_flagged": found,
        "violent": {**share(41, 11, removed=11), "reported": found},
        "time_to_removal": {
            "from": "report", "posts": 410, "removed": 52, "median_hours": None,
            "low_hours": None, "high_hours": None, "curve": curve,
        },
        "backlog": backlog,
        "notice": {
            "date": "2020-12-20", "from": "report", "p_value": 0.021,
            "before": {"removed_7d": share(190, 19, removed=19), "handled_24h": handled},
            "after": {
                "removed_7d": share(120, 25, removed=25), "handled_24h": share(0, 0, handled=0),
            },
            "difference": {
                "removed_7d": {"difference": 0.108, "low": 0.027, "high": 0.2}, "handled_24h": None,
            },
        },
    }  # fmt: skip


def busy_host(name: str = "harbour.example") -> dict[str, Any]:
    return {
        "host": name,
        "summary": "Of 5,200 posts about 38 per 10,000 are violent incitement (95% interval 27 to "
        "55), and the share rose 2.6 times in 12 weeks. Of 240 flagged posts 13% were removed.",
        "tier": "act",
        "rules": [
            {
                "tier": "act", "rule": "high_and_rising", "figures": {"prevalence_low": 0.0027,
                "trend_low": 1.95, "removed_share_high": 0.18},
                "text": "Prevalence is at least 27 per 10,000, at least 1.9 times what it was, and "
                "at most 18% of flagged posts were removed.",
            },
            {
                "tier": "notice", "rule": "urgent", "figures": {"urgent": 1},
                "text": "1 post names time, place and means.",
            },
        ],
        "unjudged": [{"tier": "act", "rule": "slow_handling", "missing": ["handled_share_high"]}],
        "overall": prevalence(0.0038, 5_200, flagged=240),
        "views": prevalence(0.0061, 5_200),
        "weeks": [week(place, known=place != 3) for place in range(12)],
        "trend": trend(2.6, 0.0001, change=True),
        "kinds": group(["incitement", "threat", "glorification", "wish"], 0.002),
        "targets": group(["politician", "official", "police", "media", SCRIPT, "日本語"], 0.0014),
        "responsiveness": response(),
        "unsupported": {"posts": 31, "share": 0.006},
        "urgent": 1,
        "exemplars": exemplars(),
    }  # fmt: skip


def bare_host(name: str = "quiet.example") -> dict[str, Any]:
    """Make a host of which next to nothing is known."""
    return {
        "host": name,
        "summary": "Of 3 posts nothing can be said.",
        "tier": "low",
        "rules": [],
        "unjudged": [],
        "overall": prevalence(None, 3, flagged=0, method="model-based"),
        "views": None,
        "weeks": [],
        "trend": None,
        "kinds": [],
        "targets": [],
        "responsiveness": None,
        "unsupported": {"posts": 0, "share": 0.0},
        "urgent": 0,
        "exemplars": [],
    }


def make_record(*hosts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    chosen = list(hosts) or [busy_host(), bare_host(HOSTILE_NAME)]
    found = {
        "version": "0.1.0",
        "model": f"default-348b752a846a{SCRIPT}",
        "policy": "host-default-1@ab12cd34ef56",
        "level": 0.95,
        "threshold": 0.227,
        "threshold_name": "balanced",
        "period": {"start": "2020-11-02", "end": "2021-01-24"},
        "as_of": "2021-01-25T00:00:00Z",
        "simultaneous": True,
        "rows": sum(host["overall"]["posts"] for host in chosen),
        "sources": [{"name": f"posts{SCRIPT}.csv", "rows": 5_203}],
        "defects": [
            {
                "kind": "no_date", "count": 3, "meaning": "no date: in overall figures, in no week",
                "examples": [{"where": "posts.csv, row 17", "id": HOSTILE_NAME}],
            },
            {
                "kind": "duplicate_id", "count": 1_204, "meaning": "the first of each id is kept",
                "examples": [],
            },
        ],
        "labels": {
            "reviewed": 300, "positives": 41, "unlabeled": 2, "unknown_ids": 1,
            "design": "stratified",
        },
        "hosts": chosen,
        "since": {
            "from": {"period": {"start": "2020-08-03", "end": "2020-10-25"}, "model": "older",
                     "version": "0.1.0"},
            "same_terms": False,
            "hosts": [
                {
                    "host": chosen[0]["host"],
                    "changes": [{"what": "prevalence", "before": {}, "after": {},
                                 "text": f"Prevalence rose from 12 to 38 per 10,000 {SCRIPT}."}],
                }
            ],
        },
    }  # fmt: skip
    return {**found, **changes}


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return make_record()


@pytest.fixture(scope="module")
def page(record: dict[str, Any]) -> str:
    return render_html(record)


class Page(HTMLParser):
    """Every element, attribute and word of a page, and whether its elements close."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.shown: list[str] = []
        self.marked: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []
        self.words = " ".join("".join(self.shown).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown.append(data)
        if "mark" in self.open:
            self.marked.append(data)


UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b]")
NO_WORDS = re.compile(r"\b(nan|None|inf|null|True|False)\b")


# --- the page ------------------------------------------------------------------------------------


def test_page_is_whole_and_needs_nothing_from_outside(page: str) -> None:
    found = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(found.names)
    values = dict(found.attributes)
    assert not [name for name in values if name.startswith("on") or name in {"src", "action"}]
    assert all(value.startswith("#") for name, value in found.attributes if name == "href")
    assert not [pair for pair in found.attributes if "://" in pair[1] or "javascript:" in pair[1]]
    assert set(re.findall(r"url\((.)", page)) == {"#"}
    assert "@import" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_ids_are_unique_and_all_that_is_referred_to_is_there(page: str) -> None:
    found = Page(page)
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 40
    for name, value in found.attributes:
        if name == "aria-labelledby":
            assert set(value.split()) <= set(ids)
        if name == "href":
            assert value[1:] in ids
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)
    labels = [value for name, value in found.attributes if name == "aria-label"]
    assert len(labels) == len(set(labels))


def test_hostile_posts_and_names_are_shown_as_text(page: str) -> None:
    found = Page(page)
    assert found.names.count("h1") == found.names.count("main") == 1
    assert found.names.count("blockquote") == 4
    assert HOSTILE_NAME in found.words
    assert "</blockquote></details></main>\\u202egnp.exe\\x1b[31m\\u200b" in found.words
    assert "https://harbour.example/posts/812?a=<b>&c=javascript:alert(1)" in found.words
    assert not UNSEEN.search(page)
    assert not NO_WORDS.search(found.words)


def test_hostile_strings_are_harmless_wherever_they_stand(record: dict[str, Any]) -> None:
    hostile = '<script>alert(1)</script>\x07\u202e"'

    def replaced(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: replaced(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, key) for item in value]
        kept = key in {"date", "start", "end"} or not isinstance(value, str)
        return value if kept else hostile

    changed = replaced(record)
    found = Page(render_html(changed))
    assert "script" not in found.names
    assert not UNSEEN.search("".join(found.shown))
    assert len(found.words.split("<script>alert(1)</script>\\x07\\u202e")) > 80
    assert not UNSEEN.search(render_text(changed))
    assert not UNSEEN.search(render_markdown(changed))


def test_page_says_tier_rules_and_figures(page: str, record: dict[str, Any]) -> None:
    words = Page(page).words
    host = record["hosts"][0]
    for rule in host["rules"]:
        assert rule["text"] in words
    assert "prevalence low = 0.0027, trend low = 1.95, removed share high = 0.18" in words
    assert "act people read the posts, and decide now what the contract" in words
    assert "Could not be judged: act, slow handling: handled share high not known." in words
    assert "38 per 10,000 95% interval 27 to 55; reviewed sample" in words
    assert "gives 462 per 10,000; the estimate is 38" in words
    assert "on 14 Dec 2020: 26 per 10,000 before, 49 per 10,000 after; share of viol" in words
    assert "61 per 10,000 (95% interval 43 to 88)" in words
    assert "31 posts (0.60%), of which a low score says nothing" in words
    assert "median not reached: more than half were still open when last seen" in words
    assert "Before and after the notice of 20 Dec 2020" in words
    assert "10% (95% interval 6.0% to 15%)" in words
    assert "+11 points (+3 to +20)" in words
    assert "before and after it compared (log-rank test): p = 0.02" in words
    assert "Posts that people found violent, removed 41 11 27%" in words
    assert "224 posts open on 18 Jan 2021, 57 of them flagged" in words
    assert "last week to first, 12 weeks; share of violent posts" in words
    assert "hold at the level (Bonferroni)" in words
    assert "1 post carries marks of a credible threat" in words
    assert words.count(host["exemplars"][0]["sha256"]) == 1
    assert "Prevalence rose from 12 to 38 per 10,000" in words
    assert "The model, the policy or the threshold differ" in words
    assert "no date 3 no date: in overall figures, in no week posts.csv, row 17" in words


def test_words_that_carry_the_score_are_marked_where_they_stand() -> None:
    text = "\u202eone \x1btwo three"
    spans = [{"start": 6, "end": 9, "weight": 1.0}, {"start": 10, "end": 15, "weight": -0.6}]
    host = {**busy_host(), "exemplars": [exemplar(0, text, spans=spans)]}
    found = Page(render_html(make_record(host)))
    assert found.marked == ["two", "three"]
    assert r"\u202eone \x1btwo three" in found.words


def test_one_host_is_named_in_the_title_and_not_ranked() -> None:
    page = render_html(make_record(busy_host()))
    words = Page(page).words
    assert "<title>Violent incitement on harbour.example</title>" in page
    assert 'class="host"' not in page
    assert "Hosts, worst first" not in words
    assert words.count("Of 240 flagged posts 13% were removed.") == 1


def test_several_hosts_are_ranked_and_the_first_is_unfolded(page: str) -> None:
    assert "<title>Violent incitement on 2 hosts</title>" in page
    assert re.findall(r'<details class="host"( open)?>', page) == [" open", ""]
    assert re.findall('<a href="(#host-[0-9])">', page) == ["#host-1", "#host-2"]
    assert "2 hosts with 5,203 posts, worst first: 1 act, 1 low." in Page(page).words


def test_page_can_be_drawn_again_from_stored_json(page: str, record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    assert render_html(json.loads(json.dumps(record))) == page
    assert record == before


@pytest.mark.parametrize(
    ("method", "said", "unsaid"),
    [
        ("reviewed sample", "Horvitz-Thompson", "nobody has checked"),
        ("prediction-powered", "How far the model was off", "nobody has checked"),
        ("model-based", "Nobody has checked them on posts from here", "Horvitz-Thompson"),
        ("a new way", "A new way", "Horvitz-Thompson"),
    ],
)
def test_the_method_that_was_used_is_explained(method: str, said: str, unsaid: str) -> None:
    host = {
        **busy_host(),
        "overall": prevalence(0.021, 5_200, method=method),
        "weeks": [],
        "kinds": [],
        "targets": [],
        "views": None,
    }
    for shown in (Page(render_html(make_record(host))).words, render_markdown(make_record(host))):
        assert said in shown
        assert unsaid not in shown


# --- what is not known ---------------------------------------------------------------------------


def check_all(record: dict[str, Any]) -> str:
    """Render everything and return the words of the page."""
    found = Page(render_html(record))
    for shown in (found.words, render_text(record), render_markdown(record)):
        assert not NO_WORDS.search(shown), NO_WORDS.search(shown)
    return found.words


def test_a_host_of_which_nothing_is_known_is_not_called_safe() -> None:
    record = make_record(
        bare_host(), since=None, labels=None, defects=[], sources=[], period=None, as_of=None
    )
    words = check_all(record)
    assert "nobody can say that this host is safe" in words
    assert "nobody can say that this host is safe" in render_text(record)
    assert "nobody can say that this host is safe" in render_markdown(record)
    assert "not known: no removal times were given" in words
    assert "not known: no post has a date" in words
    assert "Kinds of violence are not known." in words
    assert "No posts are shown: none was chosen." in words
    assert "No defects were found in the files." in words
    assert "Since the last assessment" not in words
    assert '<svg class="drawing' not in render_html(record)


# Each line is one record, in which all these places are empty.
PLACES = """
views, trend, unsupported, rules, exemplars, weeks 5 high, responsiveness reported
trend change_point, kinds 0 trend p_adjusted, overall low, exemplars 0 kind, rules 0 figures
trend ratio, overall prevalence, responsiveness flagged share, exemplars 0 spans, kinds 0 high
trend low, trend p_value, responsiveness flagged low, exemplars 0 marks, weeks 0 prevalence
responsiveness, kinds 0 prevalence, targets 1 trend low, targets 0 trend p_value
responsiveness time_to_removal, responsiveness reported handled_24h, responsiveness notice
responsiveness time_to_removal curve, responsiveness backlog, responsiveness notice after
responsiveness time_to_removal curve 0 low, responsiveness notice before handled_24h
""".strip().splitlines()
OUTER = ["threshold_name", "labels", "labels design", "period", "sources", "since", "as_of"]


def emptied(record: dict[str, Any], place: str) -> None:
    *way, last = [int(step) if step.isdigit() else step for step in place.split()]
    inside: Any = record
    for step in way:
        inside = inside[step]
    assert inside[last] is not None
    inside[last] = None


@pytest.mark.parametrize("places", PLACES)
def test_whatever_is_not_known_of_a_host_is_said_in_words(places: str) -> None:
    host = busy_host()
    for place in places.split(", "):
        emptied(host, place)
    assert "not known" in check_all(make_record(host))


@pytest.mark.parametrize("place", OUTER)
def test_whatever_is_not_known_of_all_is_said_in_words(place: str) -> None:
    record = make_record(bare_host())
    emptied(record, place)
    check_all(record)


def test_numbers_that_are_none_count_as_unknown() -> None:
    host = busy_host()
    host["overall"].update(prevalence=float("nan"), low=float("nan"), high=float("inf"))
    assert "nobody can say that this host is safe" in check_all(make_record(host))


def test_a_median_is_told_with_its_interval() -> None:
    host = busy_host()
    host["responsiveness"]["time_to_removal"].update(
        median_hours=30.5, low_hours=12.0, high_hours=None
    )
    words = check_all(make_record(host))
    assert "median 30 hours after report (95% interval 12 hours to not bounded)" in words


def test_removals_that_nobody_recorded_are_not_counted_as_none() -> None:
    host = busy_host()
    unknown = dict.fromkeys(("removed", "share", "low", "high"))
    reports = {"posts": 410, "flagged": 180, "handled_24h": None, **unknown}
    host["responsiveness"] = {
        "flagged": {"posts": 240, **unknown},
        "reported": reports,
        "reported_flagged": reports,
        "violent": None,
        "time_to_removal": None,
        "backlog": [],
        "notice": {"date": "2020-12-20"} | dict.fromkeys(("from", "before", "after", "p_value")),
    }
    words = check_all(make_record(host))
    assert "Flagged posts removed n/a not known: no removal times were given" in words
    assert "410 posts reported, 180 of them flagged" in words
    assert "20 Dec 2020; what it changed is not known" in words
    assert "0%" not in words.partition("Removal of posts")[2].partition("Posts 4 posts")[0]


def test_times_may_count_from_posting() -> None:
    host = busy_host()
    host["responsiveness"]["time_to_removal"].update(
        {"from": "post", "median_hours": 700.0, "low_hours": 500.0, "high_hours": 900.0}
    )
    words = check_all(make_record(host))
    assert "median 29 days after posting (95% interval 21 days to 38 days)" in words
    assert "Posts still open by days since posting" in words


def test_one_week_and_nothing_flagged() -> None:
    zero = {"prevalence": 0.0, "low": 0.0, "high": 0.0012, "flagged": 0}
    host = {
        **bare_host(),
        "overall": {**prevalence(0.0, 900, flagged=0), **zero},
        "weeks": [{**week(0), **zero}],
        "kinds": [{**one, **zero, "trend": None} for one in group(["threat", "wish"], 0.1)],
        "responsiveness": {
            **response(), "flagged": share(0, 0, removed=0), "backlog": [],
            "notice": None,
        },
    }  # fmt: skip
    words = check_all(make_record(host))
    assert "0 flagged (0%)" in words
    assert "0 per 10,000 95% interval 0 to 12" in words
    assert "not known: 1 week with posts, too few or too thin for a trend" in words
    assert "not known: no post is flagged" in words
    assert "nobody can say" not in words


def test_many_targets_and_hosts() -> None:
    hosts = [busy_host(f"host{place}.example") for place in range(20)]
    names = [f"target number {place} $x^2" for place in range(60)]
    hosts[0]["targets"] = group(names, 0.02)
    page = render_html(make_record(*hosts))
    found = Page(page)
    assert found.names.count("details") > 20 * 6
    assert all(name in found.words for name in names)
    drawn = re.findall(r'<svg class="drawing wide".*?</svg>', page)
    chart = next(svg for svg in drawn if "host-1-targets" in svg)
    assert chart.count(">target number…<") + chart.count(">target number") >= 12
    assert "target number 12" not in chart
    assert "The chart shows 12 of 60." in found.words
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert len(page) < 3_000_000


def test_long_names_and_texts_are_cut_and_said_to_be() -> None:
    host = {**busy_host(LONG_NAME), "exemplars": [exemplar(0, "word " * 4_000)]}
    words = check_all(make_record(host))
    assert LONG_NAME not in words
    assert LONG_NAME[:119] + "…" in words
    assert "Shown are the first 2,000 of 20,000 characters." in words


def test_intervals_beyond_the_frame_are_said_to_be_cut() -> None:
    host = busy_host()
    said = "Intervals that reach above the frame are cut"
    assert said not in Page(render_html(make_record(host))).words
    host["weeks"][4]["high"] = 0.4
    assert said in Page(render_html(make_record(host))).words


# --- charts --------------------------------------------------------------------------------------


def charts_of(page: str) -> list[ElementTree.Element]:
    found = re.findall(r'<svg class="drawing.*?</svg>', page, re.DOTALL)
    return [ElementTree.fromstring(svg) for svg in found]


def test_charts_say_what_they_show(page: str) -> None:
    found = {svg.get("aria-labelledby", "").split()[0]: svg for svg in charts_of(page)}
    names = ("weeks", "kinds", "targets", "curve", "backlog")
    assert set(found) == {
        f"host-1-{name}-{kind}-title" for name in names for kind in ("wide", "narrow")
    }
    told = found["host-1-weeks-wide-title"].findtext("desc") or ""
    assert "21 per 10,000 posts (15 to 30) in the week of 2 Nov 2020" in told
    assert "a change on 14 Dec 2020" in told
    assert "incitement 20 per 10,000 posts (14 to 29)" in (
        found["host-1-kinds-narrow-title"].findtext("desc") or ""
    )
    assert "83% still open 7.0 days after report" in (
        found["host-1-curve-wide-title"].findtext("desc") or ""
    )
    assert "notice on 20 Dec 2020" in (found["host-1-backlog-wide-title"].findtext("desc") or "")


def test_levels_of_flagged_posts_are_not_drawn_among_those_of_violent_ones() -> None:
    host = busy_host()
    both = [render_html(make_record(host))]
    host["trend"]["of"] = "flagged posts"
    both.append(render_html(make_record(host)))
    counts = [
        sum(page.count(f"stroke-dasharray: {dash}") for dash in ("1.2,2.5", "1.2, 2.5"))
        for page in both
    ]
    assert counts == [4, 0]  # before and after, wide and narrow
    assert "49 per 10,000 after; share of flagged posts" in Page(both[1]).words


def test_charts_take_colors_and_letters_from_the_page(page: str) -> None:
    for svg in re.findall(r'<svg class="drawing.*?</svg>', page, re.DOTALL):
        assert not re.search(
            "#[0-9a-f]{6}\\b|font-family|DejaVu|matplotlib|<style|nan|word[0-9]", svg
        )
        assert "var(--accent)" in svg
        assert 'role="img"' in svg


def test_hostile_names_reach_charts_as_text_only(page: str) -> None:
    words = [text.text for svg in charts_of(page) for text in svg.iter("text")]
    assert "<script>alert(…" in words
    assert "日本語" in words


def test_charts_are_the_same_bytes_in_every_process_whatever_the_settings(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("axes.grid: True\nfont.size: 30\nlines.linewidth: 9\n")
    code = (
        "import sys, json; from hostrisk.report.host import render_html;"
        "page = render_html(json.load(sys.stdin));"
        "assert 'matplotlib.pyplot' not in sys.modules; sys.stdout.reconfigure(encoding='utf-8');"
        "sys.stdout.write(page)"
    )
    paths = {"PYTHONPATH": str(Path(hostrisk.__file__).parents[1]), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], input=json.dumps(make_record()),
        capture_output=True, encoding="utf-8", cwd=tmp_path, env=os.environ | paths, check=True,
    )  # fmt: skip
    assert done.stdout == render_html(make_record())


def test_charts_leave_the_settings_alone() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31}):
        before = dict(mpl.rcParams)
        render_html(make_record(busy_host()))
        assert dict(mpl.rcParams) == before


def test_without_matplotlib_the_page_says_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(hostrisk.MissingExtraError, match=r"hostrisk\[host\]"):
        render_html(make_record())
    assert "38 per 10,000" in render_markdown(make_record())
    assert "38 per 10,000" in render_text(make_record())


# --- Markdown and text ---------------------------------------------------------------------------


def test_markdown_holds_no_html_and_no_links(record: dict[str, Any]) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(render_markdown(record))
    kinds = {token.type for token in tokens}
    inside = {child.type for token in tokens for child in token.children or []}
    assert not {"html_block", "blockquote", "code_block", "hr"} & kinds
    assert inside <= {
        "text", "text_special", "code_inline", "strong_open", "strong_close", "softbreak",
    }  # fmt: skip
    headings = [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"
    ]
    assert headings[:4] == [
        "Violent incitement on 2 hosts", "Hosts, worst first", "`harbour.example`", "Prevalence",
    ]  # fmt: skip
    assert len(headings) == 4 + 3 + 5 + 4
    assert sum(kind.type == "table_open" for kind in tokens) == 1 + 5 + 1
    posts = [token.content for token in tokens if token.type == "fence"]
    assert len(posts) == 4
    assert "# not a heading\n```\n<b>out of the fence</b> [a](javascript:alert(1))" in posts[1]
    rendered = parser.render(render_markdown(record))
    assert "alert(1)&lt;/script&gt;" in rendered
    assert "<script" not in rendered


@pytest.mark.parametrize(
    "hostile",
    ["# heading", "1. item", "- item", "+ item", "> quote", "---", "===", "```", "~~~", "| a | b",
     "[a](b)", "![a](b)", "<b>", "&lt;", "*a*", "_a_", "`a`", "a\\", "a\n\n# b", "[x]: y", "1) a"],
)  # fmt: skip
def test_markdown_of_any_name_is_one_paragraph_of_it(hostile: str) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    host = {**bare_host(), "summary": hostile}
    tokens = parser.parse(render_markdown(make_record(host, since=None)))
    shown = tokens[4]
    assert tokens[3].type == "paragraph_open"
    assert "".join(child.content for child in shown.children) == hostile.replace("\n", "\\n")


def test_markdown_does_not_become_links_where_addresses_do(record: dict[str, Any]) -> None:
    host = {**bare_host(), "summary": "www.x.example https://x.example mailto:a@x.example"}
    shown = render_markdown(make_record(host))
    assert "`www.x.example` `https://x.example` `mailto:a@x.example`" in shown
    without_code = re.sub("(?s)````text.*?````|`[^`\n]*`", "", render_markdown(record))
    assert "://" not in without_code


def test_text_is_aligned_and_holds_nothing_a_terminal_obeys(record: dict[str, Any]) -> None:
    text = render_text(record)
    assert not UNSEEN.search(text)
    assert text.startswith("Violent incitement on 2 hosts\n2 hosts with 5,203 posts")
    assert "Tier act: people read the posts, and decide now" in text
    assert "- act, high and rising: Prevalence is at least 27 per 10,000" in text
    weeks = text.partition("Prevalence by week, harbour.example\n")[2].partition("\n\n")[0]
    assert len({len(line) for line in weeks.splitlines()}) == 1
    assert len(weeks.splitlines()) == 2 + 12
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "Content warning" in text


# --- words and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 per 10,000"), (0.000022, "0.22 per 10,000"), (0.00021, "2.1 per 10,000"),
     (0.0021, "21 per 10,000"), (0.0099, "99 per 10,000"), (0.01, "1.0%"), (0.0214, "2.1%"),
     (0.134, "13%"), (0.5, "50%"), (0.9964, "99.64%"), (1.0, "100%")],
)  # fmt: skip
def test_rates_are_per_10_000_below_one_percent(value: float, shown: str) -> None:
    assert host_words.rate(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0123, "0.012"), (0.999, "1.0"), (9.96, "10"), (21.5, "22"), (99.4, "99"),
     (99.6, "99.6"), (104.4, "104"), (1234.5, "1,230"), (-0.5, "-0.50")],
)  # fmt: skip
def test_numbers_have_two_or_three_figures(value: float, shown: str) -> None:
    assert host_words.figures(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"),
     (0.0034, "p = 0.003"), (0.0456, "p = 0.05"), (0.2, "p = 0.20"), (1.0, "p = 1.00")],
)  # fmt: skip
def test_p_values(value: float | None, shown: str) -> None:
    assert host_words.p_value(value) == shown


def test_one_table_has_one_unit() -> None:
    assert host_words.unit_for([0.2, 0.01, None, 0.0]) is host_words.PERCENT
    assert host_words.unit_for([0.2, 0.0099]) is host_words.OF_10_000
    assert host_words.unit_for([]) is host_words.OF_10_000
    assert host_words.OF_10_000.between(0.001, 0.2) == "10 to 2,000"
    assert host_words.PERCENT.between(0.001, 0.2) == "0.10% to 20%"


def test_times_are_told_in_utc_and_what_is_no_time_as_it_is() -> None:
    assert host_words.moment("2021-01-05T23:30:00-05:00") == "6 Jan 2021, 04:30 UTC"
    assert host_words.moment("2021-01-05T23:30:00") == "5 Jan 2021, 23:30"
    assert host_words.moment(None) == "not known"
    assert host_words.moment("yesterday") == "yesterday"
    assert host_words.day("2020-11-02") == "2 Nov 2020"
    assert host_words.hours(1.0) == "1 hour"
    assert host_words.hours(36.0) == "36 hours"
    assert host_words.hours(60.0) == "2.5 days"


def test_summary_has_the_words_of_all_formats(record: dict[str, Any]) -> None:
    found = summarize(record)
    assert found["title"] == "Violent incitement on 2 hosts"
    assert [tier["name"] for tier in found["tiers"]] == ["low", "watch", "notice", "act"]
    bars = [row["bar"] for row in found["ranking"]["rows"]]
    assert bars[1] is None
    assert bars[0][2] == 1.0
    assert bars[0][0] == pytest.approx(1 / 1.45)


def test_charts_of_one_place_and_time() -> None:
    one = host_charts.backlog_chart(
        [{"date": "2020-11-02", "open": 0}], name="x", notice="2020-12-01"
    )
    ElementTree.fromstring(f"<g>{one}</g>")
    two = host_charts.survival_chart(
        [{"hours": 0.0, "open": 1.0, "low": None, "high": None}],
        name="y", start="report", level="95%",
    )  # fmt: skip
    ElementTree.fromstring(f"<g>{two}</g>")
