"""Tiers: each rule at its edge, what is not known fires nothing, what is wrong is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hostrisk import Policy, PolicyError
from hostrisk.host import tiers
from hostrisk.host.responsiveness import measure_responsiveness
from hostrisk.host.tiers import (
    FIGURES,
    TIERS,
    Condition,
    HostPolicy,
    NoticeTerms,
    figures_of,
    judge_host,
    load_host_policy,
)
from hostrisk.policy import KINDS, TARGETS, load_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT = Path(tiers.__file__).parents[1] / "policies" / "host.toml"
RULE = '[[rules]]\ntier = "watch"\nname = "r"\nwhen = ["posts >= 1"]\ntext = "x"\n'


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "own.toml"


def rule(when: str, text: str = "x", tier: str = "watch", name: str = "r") -> str:
    return f"[[rules]]\ntier = '{tier}'\nname = '{name}'\nwhen = [{when!r}]\ntext = '''{text}'''\n"


def a_host(**changes: Any) -> dict[str, Any]:
    """Return a host about which all is known and nothing is wrong."""
    share = {"posts": 400, "share": 0.9, "low": 0.87, "high": 0.93}
    host: dict[str, Any] = {
        "host": "harbour.example",
        "overall": {
            "posts": 5200, "flagged": 40, "prevalence": 0.0004, "low": 0.0002, "high": 0.0009,
            "method": "reviewed sample", "reviewed": 300, "positives": 12,
        },
        "views": {"low": 0.0001},
        "weeks": [{"start": "2020-11-02", "prevalence": 0.003},
                  {"start": "2020-11-09", "prevalence": 0.004}],
        "trend": {"ratio": 1.0, "low": 0.8, "high": 1.3, "p_adjusted": 0.9},
        "urgent": 0,
        "unsupported": {"posts": 60, "share": 0.012},
        "responsiveness": {
            "flagged": share,
            "reported": {**share, "handled_24h": share},
            "violent": {**share, "reported": {**share, "handled_24h": share}},
            "backlog": [{"date": "2020-11-09", "open": 4, "flagged": 2},
                        {"date": "2020-12-07", "open": 5, "flagged": 3}],
        },
    }  # fmt: skip
    for path, value in changes.items():
        *way, last = path.split("__")
        found = host
        for key in way:
            found = found[int(key)] if isinstance(found, list) else found[key]
        found[last] = value
    return host


# --- the default policy --------------------------------------------------------------------------


def test_the_package_loads_the_default_file_and_a_copy_says_the_same(toml: Path) -> None:
    policy = load_host_policy()
    assert policy == load_host_policy(DEFAULT)
    toml.write_bytes(DEFAULT.read_bytes())
    assert load_host_policy(toml) == policy
    assert load_host_policy(str(toml)).id == policy.id
    assert policy.id.startswith("host-default-1@")
    assert len(policy.id.partition("@")[2]) == 12
    assert (policy.threshold, policy.level, policy.keep) == ("balanced", 0.95, ())
    assert policy.notice == NoticeTerms()


def test_the_text_policy_is_what_a_classifier_takes(toml: Path) -> None:
    policy = load_host_policy()
    assert policy.text_policy() == Policy("host-default-1", "balanced", KINDS, TARGETS)
    toml.write_text('threshold = 0.5\nkinds = ["threat"]')
    assert load_host_policy(toml).text_policy() == load_policy(toml)


def test_a_host_without_anything_is_low_and_all_is_judged() -> None:
    assert judge_host(load_host_policy(), a_host()) == ("low", (), ())


FIRING: dict[str, dict[str, Any]] = {
    "present": {"overall__low": 0.001},
    "seen": {"views__low": 0.001},
    "not_understood": {"unsupported__share": 0.2},
    "rising": {"trend__low": 1.2, "trend__p_adjusted": 0.05},
    "reports_stay_up": {"responsiveness__reported__handled_24h": {"low": 0.3, "high": 0.5}},
    "much": {"overall__low": 0.005, "overall__reviewed": 100, "overall__positives": 10},
    "much_even_unread": {"overall__low": 0.02},
    "urgent": {"urgent": 1},
    "reports_pile_up": {
        "responsiveness__backlog__0__flagged": 50, "responsiveness__backlog__1__flagged": 100,
    },
    "violent_reports_stay_up": {
        "responsiveness__violent__reported__handled_24h": {"high": 0.5}, "overall__positives": 10,
    },
    "much_and_left_up": {
        "overall__low": 0.01, "overall__reviewed": 100, "overall__positives": 10,
        "responsiveness__violent__high": 0.5,
    },
    "much_and_hardly_touched": {
        "overall__low": 0.01, "overall__reviewed": 100, "overall__positives": 10,
        "responsiveness__flagged": {"high": 0.05},
    },
    "rising_and_unanswered": {
        "overall__low": 0.005, "overall__reviewed": 100, "overall__positives": 10,
        "trend__low": 1.2, "trend__p_adjusted": 0.05,
        "responsiveness__violent__reported__handled_24h": {"high": 0.5},
    },
    "rising_and_piling_up": {
        "overall__low": 0.005, "overall__reviewed": 100, "overall__positives": 10,
        "trend__low": 1.2, "trend__p_adjusted": 0.05,
        "responsiveness__backlog__0__flagged": 50, "responsiveness__backlog__1__flagged": 100,
    },
    "urgent_and_unanswered": {
        "urgent": 5, "overall__reviewed": 100, "overall__positives": 10,
        "responsiveness__violent__reported__handled_24h": {"high": 0.5},
    },
}  # fmt: skip


def test_every_default_rule_has_its_example() -> None:
    assert set(FIRING) == {rule.name for rule in load_host_policy().rules}
    assert {rule.tier for rule in load_host_policy().rules} == set(TIERS[1:])


@pytest.mark.parametrize("name", FIRING)
def test_a_rule_fires_at_its_edge(name: str) -> None:
    policy = load_host_policy()
    (meant,) = (rule for rule in policy.rules if rule.name == name)
    judged = judge_host(policy, a_host(**FIRING[name]))
    (fired,) = (found for found in judged.rules if found["rule"] == name)
    assert fired["tier"] == meant.tier
    assert list(fired["figures"]) == [condition.figure for condition in meant.when]
    for condition in meant.when:
        assert fired["figures"][condition.figure] == condition.number
    assert "{" not in fired["text"]
    assert TIERS.index(judged.tier) >= TIERS.index(meant.tier)
    assert judged.rules[0]["tier"] == judged.tier
    json.dumps(judged.to_dict(), allow_nan=False)


def beside_edges() -> Iterator[tuple[str, int]]:
    for found in load_host_policy().rules:
        yield from ((found.name, at) for at in range(len(found.when)))


@pytest.mark.parametrize(("name", "at"), list(beside_edges()))
def test_a_rule_does_not_fire_beside_any_of_its_edges(name: str, at: int) -> None:
    (meant,) = (rule for rule in load_host_policy().rules if rule.name == name)
    figures = figures_of(a_host(**FIRING[name]))
    assert tiers._judge(meant, figures) is True
    figure, sign, number = meant.when[at]
    beside = math.nextafter(number, -math.inf if sign == ">=" else math.inf)
    assert tiers._judge(meant, {**figures, figure: beside}) is False
    assert tiers._judge(meant, {**figures, figure: None}) is None


@pytest.mark.parametrize("name", FIRING)
def test_no_model_alone_reaches_act(name: str) -> None:
    worst = {"overall__low": 0.5, "overall__method": "model-based", "urgent": 900,
             "trend__low": 9.0, "trend__p_adjusted": 1e-9}  # fmt: skip
    for reviewed in (0, 5000):
        host = a_host(**FIRING[name] | worst | {"overall__reviewed": reviewed})
        judged = judge_host(load_host_policy(), host)
        assert judged.tier == "notice"
        for found in judged.unjudged:
            assert {"reviewed", "positives"} & set(found["missing"])


def test_a_host_that_answers_is_not_acted_on_for_false_flags() -> None:
    """Of 1,000 flagged posts 100 are violent; all these are removed, and within a day."""
    violent = np.arange(1000) < 100
    made = np.full(1000, np.datetime64("2020-11-02", "us"))
    removed = np.where(violent, made + np.timedelta64(5, "h"), np.datetime64("NaT", "us"))
    response = measure_responsiveness(
        made, made, removed, np.ones(1000, dtype=bool), as_of=np.datetime64("2021-01-25"),
        violent=violent,
    )  # fmt: skip
    host = a_host(overall__low=0.02, responsiveness=response, urgent=9, trend__low=3.0,
                  trend__p_adjusted=0.001)  # fmt: skip
    judged = judge_host(load_host_policy(), host)
    assert judged.tier == "notice"
    assert "reports_stay_up" in [found["rule"] for found in judged.rules]


def test_the_case_is_one_to_act_on() -> None:
    """More than 100 violent posts reported, more each week, most of them still up."""
    rng = np.random.default_rng(1)
    made = np.datetime64("2020-11-02", "us") + (
        84 * np.sqrt(rng.random(400)) * 86_400e6
    ).astype("timedelta64[us]")  # fmt: skip
    reported = made + np.timedelta64(6, "h")
    removed = np.where(rng.random(400) < 0.2, reported + np.timedelta64(9, "D"),
                       np.datetime64("NaT", "us"))  # fmt: skip
    yes = np.ones(400, dtype=bool)
    response = measure_responsiveness(
        made, reported, removed, yes, as_of=np.datetime64("2021-01-25"), violent=yes
    )
    host = a_host(overall__low=0.012, responsiveness=response, trend__low=2.0,
                  trend__p_adjusted=0.001)  # fmt: skip
    judged = judge_host(load_host_policy(), host)
    assert judged.tier == "act"
    fired = {found["rule"] for found in judged.rules}
    assert {"much_and_left_up", "rising_and_unanswered", "rising_and_piling_up"} <= fired


# --- figures -------------------------------------------------------------------------------------


def test_the_figures_of_a_host() -> None:
    figures = figures_of(a_host(), period={"start": "2020-11-02", "end": "2020-11-15"})
    assert figures == {
        "posts": 5200, "reviewed": 300, "positives": 12, "prevalence": 0.0004,
        "prevalence_low": 0.0002, "prevalence_high": 0.0009, "views_prevalence_low": 0.0001,
        "violent_posts_low": 1, "last_prevalence": 0.004, "trend_ratio": 1.0, "trend_low": 0.8,
        "trend_p_adjusted": 0.9, "urgent_posts": 0, "unsupported_share": 0.012,
        "removed_share_high": 0.93,
        "violent_removed_high": 0.93, "handled_24h_low": 0.87, "handled_24h_high": 0.93,
        "violent_handled_24h_high": 0.93, "backlog_open": 5, "backlog_growth": 1,
        "flagged_backlog_open": 3, "flagged_backlog_growth": 1,
    }  # fmt: skip
    assert list(figures) == list(FIGURES)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({"start": "2020-11-02", "end": "2020-11-15"}, 0.004),  # a Sunday
        ({"start": "2020-11-02", "end": "2020-11-14"}, 0.003),
        ({"start": "2020-11-02", "end": "2020-11-07"}, None),
        (None, 0.003),
    ],
)
def test_the_last_week_counts_once_it_is_whole(period: Any, expected: float | None) -> None:
    assert figures_of(a_host(), period=period)["last_prevalence"] == expected


def test_reviews_that_the_prevalence_does_not_rest_on_are_not_known() -> None:
    for change in ({"overall__method": "model-based: no labels"}, {"overall__reviewed": 0},
                   {"overall__method": None}):  # fmt: skip
        figures = figures_of(a_host(**change))
        assert figures["reviewed"] is None
        assert figures["positives"] is None
    assert figures_of(a_host(overall__method="prediction-powered"))["reviewed"] == 300


def test_backlog_growth_needs_four_weeks() -> None:
    backlog = [{"date": f"2020-11-{day:02}", "open": day, "flagged": 0} for day in range(1, 29)]
    figures = figures_of(a_host(responsiveness={"backlog": backlog}))
    assert figures["backlog_open"] == 28
    assert figures["backlog_growth"] is None
    backlog += [{"date": "2020-11-30", "open": 20, "flagged": 9}]
    figures = figures_of(a_host(responsiveness={"backlog": backlog}))
    assert figures["backlog_growth"] == 18  # over that of 2 November, 28 days before
    assert figures["flagged_backlog_growth"] == 9


@pytest.mark.parametrize("host", [{}, {"overall": None, "responsiveness": None, "weeks": None}])
def test_of_a_host_of_which_nothing_is_known_nothing_is_judged(host: dict[str, Any]) -> None:
    assert figures_of(host) == dict.fromkeys(FIGURES)
    judged = judge_host(load_host_policy(), host)
    assert (judged.tier, judged.rules) == ("low", ())
    assert len(judged.unjudged) == len(load_host_policy().rules)


def test_numbers_that_are_none_count_as_not_known() -> None:
    figures = figures_of(a_host(overall__low=math.nan, trend__low=math.inf))
    assert figures["prevalence_low"] is figures["trend_low"] is figures["violent_posts_low"] is None


def test_what_is_missing_is_said_in_words() -> None:
    host = a_host(responsiveness=None, overall__low=0.02)
    judged = judge_host(load_host_policy(), host)
    unjudged = {found["rule"]: found for found in judged.unjudged}
    found = unjudged["much_and_left_up"]
    assert found["missing"] == ["violent_removed_high"]
    assert found["tier"] == "act"
    assert found["text"].endswith(
        "is not known: upper end of the share removed of posts found violent by people."
    )
    assert "urgent_and_unanswered" not in unjudged  # no urgent posts, so false whatever is missing
    assert judged.tier == "notice"


# --- sentences -----------------------------------------------------------------------------------


def test_figures_are_written_by_their_kind(toml: Path) -> None:
    toml.write_text(rule("posts >= 1", "{posts} {prevalence_low} {trend_low} {trend_p_adjusted} "
                         "{views_prevalence_low} {method} {host} {{a}}"))  # fmt: skip
    host = a_host(overall__posts=1234567.0, overall__low=0.0123456, views=None,
                  trend__low=2.34567)  # fmt: skip
    (fired,) = judge_host(load_host_policy(toml), host).rules
    assert fired["text"] == (
        "1,234,567 1.23% 2.35 0.9 (not known) reviewed sample harbour.example {a}"
    )
    assert fired["figures"] == {"posts": 1234567.0}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[31m\n\u202eb", "a\\x1b[31m\\n\\u202eb"),
        ("{posts} {0} {__class__}", "{posts} {0} {__class__}"),
        ("x" * 5000, "x" * 200 + "…"),
        (None, "None"),
        ("\ud800", "\\ud800"),
    ],
)
def test_hostile_names_of_hosts_stay_words(toml: Path, name: str | None, shown: str) -> None:
    toml.write_text(rule("posts >= 1", "of {host}"))
    (fired,) = judge_host(load_host_policy(toml), a_host(host=name)).rules
    assert fired["text"] == f"of {shown}"
    json.dumps(fired, ensure_ascii=False).encode()


# --- the file ------------------------------------------------------------------------------------


def test_keys_left_out_keep_their_defaults(toml: Path) -> None:
    toml.write_text('level = 0.9\nkeep = ["@mayor"]\n[notice]\nprovider = "Hosting & Co"')
    default, found = load_host_policy(), load_host_policy(toml)
    assert found == default._replace(
        name="custom", level=0.9, keep=("@mayor",), notice=NoticeTerms(provider="Hosting & Co")
    )
    toml.write_text(rule("posts <= -1.5e3"))
    (only,) = load_host_policy(toml).rules
    assert only == ("watch", "r", "x", (Condition("posts", "<=", -1500.0),))


def test_the_id_changes_with_all_that_a_policy_says() -> None:
    policy = load_host_policy()
    changes: dict[str, Any] = {
        "name": "other", "threshold": 0.5, "level": 0.9, "kinds": ("threat",),
        "targets": ("police",), "keep": ("@a",), "notice": NoticeTerms(deadline_days=3),
        "rules": policy.rules[1:],
    }  # fmt: skip
    assert set(changes) == set(HostPolicy._fields)
    ids = {policy._replace(**{key: value}).id.partition("@")[2] for key, value in changes.items()}
    assert len(ids | {policy.id.partition("@")[2]}) == len(changes) + 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("treshold = 0.5", "unknown key 'treshold'; known are name, threshold, level"),
        ("threshold = 1.5", "threshold must be from 0 to 1 or the name of a threshold, not 1.5"),
        ("threshold = ''", "threshold must be"),
        ("threshold = true", "threshold must be"),
        ("threshold = nan", "threshold must be"),
        ("level = 1", "level must be between 0 and 1, not 1"),
        ("level = '95%'", "level must be between 0 and 1"),
        ("name = ''", "name must be text"),
        ("kinds = ['theft']", "kinds must be a list out of threat"),
        ("targets = 'police'", "targets must be a list out of politician"),
        ("keep = [1]", "keep must be a list of texts"),
        ("keep = ['']", "keep must be a list of texts"),
        ("notice = 3", "notice must be a table, not 3"),
        ("[notice]\nsender = 'x'", "notice has the unknown key 'sender'; known are provider"),
        ("[notice]\nclause = 4", "clause of notice must be text, not 4"),
        ("[notice]\ndeadline_days = 1.5", "deadline_days of notice must be a whole number of days"),
        ("[notice]\ndeadline_days = true", "deadline_days of notice"),
        ("[notice]\ndeadline_days = -1", "deadline_days of notice"),
        ("rules = []", "at least one, or every host would be low"),
        ("[rules]\ntier = 'act'", "rules must be tables [[rules]]"),
        ("rules = [1]", "rule 1 must be a table, not 1"),
        (RULE + RULE, "more than one rule has the name 'r'"),
        (RULE.replace("text", "txt"), "rule 1 has the unknown key 'txt'; known are tier, name"),
        (RULE.replace("watch", "low"), "rule 1, 'r': tier must be one of watch, notice, act"),
        ("[[rules]]\ntier = 'watch'", "rule 1: name must be text, not None"),
        ("[[rules]]\nname = 'r'\ntier = []", "tier must be one of"),
        ("[[rules]]\nname = 'r'\ntier = 'act'", "when must be a list of texts, not None"),
        (RULE.replace('["posts >= 1"]', "[]"), "at least one condition"),
        (RULE.replace('["posts >= 1"]', "'posts >= 1'"), "when must be a list of texts"),
        (RULE.replace('"posts >= 1"', "{figure = 'posts'}"), "when must be a list of texts"),
        (rule("post >= 1"), "rule 1, 'r' has the unknown figure 'post'; known are posts, reviewed"),
        (rule("posts > 1"), "'posts > 1' is no condition; write one as"),
        (rule("posts >= 1.2.3"), "is no condition"),
        (rule("posts >= nan"), "is no condition"),
        (rule("posts >= 1e999"), "'1e999' is too large a number"),
        (rule("posts >= 1 and posts <= 2"), "is no condition"),
        (rule("posts >= 1", ""), "text must be text, not ''"),
        (rule("posts >= 1", "{post}"), "text has the unknown figure 'post'"),
        (rule("posts >= 1", "{}"), "text has the unknown figure ''"),
        (rule("posts >= 1", "{posts.__class__}"), "unknown figure 'posts.__class__'"),
        (rule("posts >= 1", "{posts:>999999999}"), "text must name figures alone"),
        (rule("posts >= 1", "{posts!r}"), "text must name figures alone"),
        (rule("posts >= 1", "a { b"), "text has a brace without its other half"),
        (rule("posts >= 1", tier="act"), "must ask for posts that people have read"),
        (rule("reviewed <= 100", tier="act"), "must ask for posts that people have read"),
        (rule("reviewed >= 0", tier="act"), "add a condition such as 'reviewed >= 100'"),
        ("name", "is not TOML"),
        ("a = " + "[" * 5000, "is "),
    ],
)
def test_wrong_policies_are_refused(toml: Path, content: str, words: str) -> None:
    toml.write_text(content)
    with pytest.raises(PolicyError) as caught:
        load_host_policy(toml)
    assert str(caught.value).startswith(str(toml))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_refused(toml: Path) -> None:
    for path in (toml, toml.parent):
        with pytest.raises(PolicyError, match="cannot be read"):
            load_host_policy(path)
    toml.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="is not TOML"):
        load_host_policy(toml)
