"""The letter to an operator, and statements of reasons in the schema of the DSA database."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from hostrisk.errors import InputError
from hostrisk.host.letters import dsa
from hostrisk.host.letters.dsa import check_statement
from hostrisk.host.letters.notice import draft_notice
from hostrisk.host.letters.statements import render_statements, statements_of_reasons, undrafted
from hostrisk.host.letters.terms import NoticeTerms
from hostrisk.policy import KINDS
from hostrisk.report import drawing, markdown
from tests.test_host_packet import HOST, HOSTILE, make_assessment, make_post, sha256, share

if TYPE_CHECKING:
    import hostrisk

TERMS = NoticeTerms("Example Hosting", "abuse@hosting.example", "section 4.2 of the policy", 7)


@pytest.fixture
def assessment(clf: hostrisk.Classifier) -> dict[str, Any]:
    return make_assessment(clf)


def only_host(assessment: dict[str, Any]) -> dict[str, Any]:
    host: dict[str, Any] = assessment["hosts"][0]
    return host


def with_text(clf: hostrisk.Classifier, text: str, **changes: Any) -> dict[str, Any]:
    """Return an assessment whose only exemplar has this text, redacted."""
    assessment = make_assessment(clf)
    post = make_post(clf, "p9", text=text, sha256=sha256(text), redacted=True) | changes
    only_host(assessment)["exemplars"] = [post]
    return assessment


# --- the letter ----------------------------------------------------------------------------------


def test_the_letter_says_all_in_order(assessment: dict[str, Any]) -> None:
    letter = draft_notice(assessment, HOST, terms=TERMS, root="ab" * 32)
    parts = [
        "A person must read, check and sign", "## Why we write", "section 4.2 of the policy",
        "## What was found",
        "Of 5,200 posts, an estimated 2.1% (95% interval 1.5% to 3.0%) threaten",
        "Method: reviewed sample; people read 300 posts and found 41 of them violent.",
        "flagged 240 posts", "Trend: the share rose from 21 to 55 per 10,000 posts over 12 weeks",
        "By kind: threat, 120 flagged", "By target: politician, 99 flagged",
        "## Examples", "**Example 1, urgent**", "- Post: `p812`", "- Date: 5 Jan 2021, 12:00 UTC",
        "- Address: `https://harbour.example/posts/p812?x=[a](b)`",
        "- Kind: incitement; aimed at: politician",
        "time (“Saturday at noon”), place (“the courthouse”), target",
        "reported 6 Jan 2021, 08:00 UTC; no removal known as of 25 Jan 2021",
        "> hang the traitor on Saturday at noon at the courthouse",
        "## What was and was not acted on", "Of 240 flagged posts, 31 were removed: 13%",
        "Of 410 reported posts, 52 were removed", "Of 400 reported posts, 12 were handled in 24 h",
        "Fewer than half of 410 posts were removed; no median time from report",
        "On 18 Jan 2021, 12 posts stood open.",
        "## What we ask", "1. Look at the 1 urgent post at once", "5. Name a person",
        "## By when", "**1 Feb 2021**, and look at the urgent posts at once",
        "## How to answer, and how to object", "`abuse@hosting.example`",
        "## References", "Classifier: `default-", "Policy: `host-default-1@ab12`",
        "Root hash of the evidence packet: `abab", "drafted for 3 of 3 posts.",
        "## Method and limits", "No score is a finding of fact or of law",
        "31 posts are in languages that the classifier does not know",
        "[signature of the person who checked this letter]",
    ]  # fmt: skip
    at = 0
    for part in parts:
        assert part in letter[at:], part
        at += letter[at:].index(part)
    assert letter.endswith("letter]\n")


def test_the_letter_without_figures(assessment: dict[str, Any]) -> None:
    host = only_host(assessment)
    for group in (host["overall"], *host["kinds"], *host["targets"]):
        group.update(prevalence=None, low=None, high=None)
    host.update(trend=None, responsiveness=None, exemplars=[], unsupported=None)
    assessment.update(period=None, threshold_name=None)
    letter = draft_notice(assessment, HOST)
    for part in (
        "No share of violent posts can be given for the 5,200 posts.",
        "from a time that is not known", "do not allow a statement on a trend",
        "No post is given as an example.", "No times of reports and removals are known to us",
        "1. Look at the posts above", r"From: \[provider\]", "politician, 99 flagged.",
        "drafted for 0 of 0 posts",
    ):  # fmt: skip
        assert part in letter, part
    assert "urgent" not in letter.partition("## By when")[2].partition("##")[0]
    assert "Root hash" not in letter


def test_the_letter_with_all_figures(assessment: dict[str, Any]) -> None:
    host, before = only_host(assessment), share(100, 3, "handled")
    host["views"] = host["overall"] | {"prevalence": 0.002, "low": 0.001, "high": 0.003}
    host["overall"] |= {"method": "model-based", "reviewed": 0, "positives": 0}
    response = host["responsiveness"]
    response["time_to_removal"] |= {"from": "posting", "median_hours": 60.0}
    response["flagged"] = None
    response["notice"] = {
        "date": "2020-12-20", "before": {"handled_24h": before, "flagged_share": None},
        "after": {"handled_24h": share(100, 5, "handled"), "flagged_share": None},
    }  # fmt: skip
    letter = draft_notice(assessment, HOST, terms=TERMS._replace(jurisdiction="Ireland"))
    for part in (
        "Weighted by how often posts were seen, the share is 20 per 10,000",
        "model-based estimate; nobody has reviewed posts of this host",
        "Half of 410 posts were removed within 2.5 days of posting.",
        "How many flagged posts were removed is not known.",
        "Handled within 24 hours: 3.0% (95% interval 2.2% to 3.8%) before the notice of 20 Dec",
        "Jurisdiction named in our terms: Ireland.",
    ):
        assert part in letter, part


def test_at_most_ten_examples_the_urgent_and_surest_first(clf: hostrisk.Classifier) -> None:
    assessment = make_assessment(clf)
    only_host(assessment)["exemplars"] = [
        make_post(clf, "p17", id=f"n{at}", score=at / 20, urgent=at == 3, label=0 if at == 4 else 1)
        for at in range(14)
    ]
    letter = draft_notice(assessment, HOST)
    shown = re.findall(r"^- Post: `(\w+)`$", letter, re.MULTILINE)
    assert shown == ["n3", *(f"n{at}" for at in range(13, 4, -1))]
    assert "10 posts of 13; the others are in the packet" in letter
    assert letter.count("**Example 1, urgent**") == letter.count(", urgent**") == 1
    assert "for the post `n4`: a person found it not violent" in letter


def test_long_texts_are_cut_at_a_word(clf: hostrisk.Classifier) -> None:
    letter = draft_notice(with_text(clf, "hang them " * 1_000), HOST)
    (quoted,) = re.findall(r"^> .*$", letter, re.MULTILINE)
    assert quoted.endswith(("hang…", "them…"))
    assert len(quoted) <= 2_002
    assert "Cut here; the packet has all of it." in letter


def test_marks_do_not_bring_back_what_was_redacted(assessment: dict[str, Any]) -> None:
    letter = draft_notice(assessment, HOST)
    assert "target" in letter
    assert "Harlow" not in letter
    assert "Harlow" not in json.dumps(statements_of_reasons(assessment, HOST))


@pytest.mark.parametrize("days", [0, -1, 366, 1.5, True, "7"])
def test_deadlines_that_cannot_be_used(days: Any, assessment: dict[str, Any]) -> None:
    for draft in (draft_notice, statements_of_reasons):
        with pytest.raises(InputError, match="a whole number from 1 to 365"):
            draft(assessment, HOST, terms=TERMS._replace(deadline_days=days))


def test_empty_terms_are_left_to_fill_in(assessment: dict[str, Any]) -> None:
    empty = NoticeTerms("", "", "", jurisdiction="", law="", restriction="")
    assert draft_notice(assessment, HOST, terms=empty) == draft_notice(assessment, HOST)
    statements = statements_of_reasons(assessment, HOST, terms=empty)
    assert statements == statements_of_reasons(assessment, HOST)
    assert statements[0]["incompatible_content_ground"].startswith("[clause of")


def test_what_the_assessment_does_not_have(assessment: dict[str, Any]) -> None:
    for draft in (draft_notice, statements_of_reasons, undrafted):
        with pytest.raises(InputError, match=r"no host 'other\.example'; it has 'harbour"):
            draft(assessment, "other.example")
    assessment["as_of"] = "soon"
    with pytest.raises(InputError, match="'soon', which is no time"):
        draft_notice(assessment, HOST)
    assessment["hosts"] = []
    with pytest.raises(InputError, match="it has none"):
        draft_notice(assessment, HOST)


# --- hostile text --------------------------------------------------------------------------------

CODE = re.compile(r"(?<!\\)(`+)(?!`)(.*?)(?<!`)\1(?!`)")
HOSTILE_LINES = [
    "# heading", "  ## heading", "===", "---", "***", "* item", "+ item", "- item", "1. item",
    "2) item", "> quote", ": definition", "```", "~~~", "    code", "\tcode", "| a | b |",
    "[a](https://evil.example)", "![a](https://evil.example/a.png)", "<https://evil.example>",
    "[a]: https://evil.example", "[^1]: note", "<img src=x onerror=alert(1)>", "</blockquote>",
    "<!-- a", "https://evil.example", "www.evil.example", "evil.example", "www.!", "10.0.0.1",
    "you@evil.example", "mailto:you", "`code`", "``", "a ``` b", "*a* _a_ ~~a~~", "$a$",
    "&lt;b&gt;", "&#35; a", "\\", "\\`", "\\<b>", "{{ 7 * 7 }}", "{% raw %}", "!spoiler",
    "\u202eabc", "a\u2028# b", "\x1b[31m", "a\r# b", "{#id}", "line  ", "",
]  # fmt: skip


def assert_harmless(line: str) -> None:
    """Assert that a line of the letter holds nothing that a renderer would make more of."""
    outside = CODE.sub("", line)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]~|<>]", outside), line
    assert not re.search(r"://|www\.|@|\w\.[a-z]{2}|mailto:", outside), line
    assert not re.match(r"\s|#|=|-|\+|:|!|\d+[.)]", outside), line
    assert "<" not in outside
    assert line.isprintable(), line


@pytest.mark.parametrize("line", HOSTILE_LINES)
def test_hostile_lines_are_text(line: str, clf: hostrisk.Classifier) -> None:
    letter = draft_notice(with_text(clf, f"one\n{line}\ntwo"), HOST)
    quoted = [found for found in letter.split("\n") if found.startswith(">")]
    assert quoted[0] == "> one  "
    assert quoted[-1] == "> two"
    for found in quoted:
        assert found.startswith("> ") or found.strip() == ">"
        assert_harmless(found[2:].rstrip())


@pytest.mark.parametrize("value", HOSTILE_LINES)
def test_hostile_values_are_text(value: str, clf: hostrisk.Classifier) -> None:
    mark = {"mark": value, "words": value, "start": 0, "end": 1}
    changes = {"id": value, "url": value, "kind": value, "targets": [value], "marks": [mark]}
    assessment = with_text(clf, value, **changes)
    host = only_host(assessment)
    host["host"] = value
    host["trend"]["sentence"] = value
    assessment |= {"model": value, "policy": value}
    terms = NoticeTerms(value, value, value, jurisdiction=value)
    letter = draft_notice(assessment, value, terms=terms, root=value)
    lines = letter.split("\n")
    headings = [line for line in lines if re.match(r"\s*(#|=|---)", line)]
    assert headings[0].startswith("# Notice about")
    assert all(re.fullmatch(r"## [A-Z][a-z ,]+", line) for line in headings[1:])
    assert len(headings) == 10
    for line in lines:
        outside = CODE.sub("", line)
        assert not re.search(r"<|://|www\.|@|mailto:|(?<!\\)!\[|(?<!\\)\]\(", outside), line
        assert not re.match(r"\s*(```|~~~|\|)", line), line
        assert line.isprintable(), line


def test_a_renderer_makes_nothing_of_hostile_text(clf: hostrisk.Classifier) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    render = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for text in (HOSTILE, "\n".join(HOSTILE_LINES), *HOSTILE_LINES):
        page = render.render(draft_notice(with_text(clf, text, id=text, url=text), HOST))
        tags = set(re.findall(r"</?([a-z0-9]+)", page))
        assert tags <= {"h1", "h2", "p", "br", "strong", "ul", "ol", "li", "code", "blockquote"}
        assert page.count("<h1>") == 1
        assert page.count("<h2>") == 9
        assert page.count("<blockquote>") == 1


def test_code_cannot_be_closed_from_inside() -> None:
    for text in ("`", "``", "a`b", "`a", "a``", "` `` ```", "", " a ", "\\"):
        code = markdown.code(text)
        ((fence, inside),) = re.findall(r"(?s)^(`+)(.+?)\1$", code)
        assert fence not in re.findall("`+", inside)
        assert inside.strip() == text.strip()


# --- statements of reasons -----------------------------------------------------------------------


def test_statements_of_the_exemplars(assessment: dict[str, Any]) -> None:
    first, second, third = statements_of_reasons(assessment, HOST, terms=TERMS)
    assert first == {
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": "section 4.2 of the policy",
        "incompatible_content_explanation": "The post calls on others to do violence, or says that "
        "it ought to be done or is deserved. section 4.2 of the policy does not allow this, "
        "whoever it is aimed at.",
        "category": "STATEMENT_CATEGORY_VIOLENCE",
        "category_specification": [
            "KEYWORD_INCITEMENT_VIOLENCE_HATRED", "KEYWORD_COORDINATED_HARM",
        ],
        "content_language": "EN",
        "decision_facts": first["decision_facts"],
        "content_type": ["CONTENT_TYPE_TEXT"],
        "content_date": "2021-01-05",
        "application_date": "2021-02-01",
        "territorial_scope": EU,
        "source_type": "SOURCE_TYPE_OTHER_NOTIFICATION",
        "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_PARTIALLY",
        "puid": first["puid"],
    }  # fmt: skip
    assert second["decision_visibility"] == ["DECISION_VISIBILITY_CONTENT_REMOVED"]
    assert second["application_date"] == "2021-01-08"
    assert second["source_type"] == third["source_type"] == "SOURCE_VOLUNTARY"
    assert second["category_specification"] == ["KEYWORD_OTHER"]
    assert second["category_specification_other"] == "Wish of violence"
    assert third["content_date"] == "2021-01-09"
    for statement in (first, second, third):
        assert check_statement(statement) == []


def test_facts(assessment: dict[str, Any]) -> None:
    first, second, third = (
        statement["decision_facts"] for statement in statements_of_reasons(assessment, HOST)
    )
    assert "flagged the post as incitement (aimed at: politician) with a score of 0.9" in first
    assert "marks of a concrete plan: place, target, time." in first
    assert "reported on 6 Jan 2021. No removal was known on 25 Jan 2021." in first
    assert first.endswith(
        "Its text, redacted: “hang the traitor on Saturday at noon at the courthouse”"
    )
    assert "A person reviewed it and found it violent. It was removed on 8 Jan 2021." in second
    assert "aimed at" not in second
    assert "Its text, redacted: “# Heading <script>" in third
    assert not re.search(r"evil|://|@evil|\u202e|\n", third)
    assert (third.count("[address]"), third.count("[e-mail]")) == (4, 1)
    for facts in (first, second, third):
        assert HOST not in facts


@pytest.mark.parametrize("redacted", [True, False])
def test_facts_hold_no_personal_details(redacted: bool, clf: hostrisk.Classifier) -> None:
    text = (
        "call +1 415 555 0132 or 1234567, mail joe@a.example, see https://b.example/joe, hang @joe"
    )
    (statement,) = statements_of_reasons(with_text(clf, text, redacted=redacted), HOST)
    assert statement["decision_facts"].endswith(
        "“call [phone] or [number] mail [e-mail], see [address] hang [@name]”"
    )


@pytest.mark.parametrize("unit", ["hang them ", "x", "💥", "字 ", "e\u0301 "])
def test_texts_of_any_length_fit(unit: str, clf: hostrisk.Classifier) -> None:
    terms = TERMS._replace(clause=unit * 3_000)
    (statement,) = statements_of_reasons(with_text(clf, unit * 6_000), HOST, terms=terms)
    assert check_statement(statement) == []
    for field, most in (("decision_facts", 5_000), ("incompatible_content_ground", 500)):
        assert most - len(unit) - 2 <= len(statement[field]) <= most
        assert statement[field].rstrip("”").endswith("…")
    if unit.endswith(" "):
        words = statement["incompatible_content_ground"].rstrip("…").split()
        assert set(words) <= set(unit.split())


def test_cutting_keeps_whole_words() -> None:
    assert drawing.cut("one two", 7) == "one two"
    assert drawing.cut("one two three", 8) == "one two…"
    assert drawing.cut("one two three", 7) == "one…"
    assert drawing.cut("one " + "x" * 200, 150) == "one " + "x" * 145 + "…"
    for most in range(1, 14):
        assert len(drawing.cut("one two three", most)) <= most


def test_terms_decide_ground_restriction_and_scope(assessment: dict[str, Any]) -> None:
    terms = TERMS._replace(
        law="section 111 of the Criminal Code", jurisdiction="de",
        restriction="DECISION_PROVISION_PARTIAL_SUSPENSION",
    )  # fmt: skip
    statement = statements_of_reasons(assessment, HOST, terms=terms)[0]
    assert statement["decision_ground"] == "DECISION_GROUND_ILLEGAL_CONTENT"
    assert statement["illegal_content_legal_ground"] == "section 111 of the Criminal Code"
    assert statement["decision_provision"] == "DECISION_PROVISION_PARTIAL_SUSPENSION"
    assert statement["territorial_scope"] == ["DE"]
    assert not {"decision_visibility", "incompatible_content_ground"} & statement.keys()
    for jurisdiction, scope in (("EEA", EEA), ("Ireland", EU), (None, EU), ("US", EU)):
        terms = TERMS._replace(jurisdiction=jurisdiction)
        assert statements_of_reasons(assessment, HOST, terms=terms)[0]["territorial_scope"] == scope


@pytest.mark.parametrize("kind", [*KINDS, None, "other"])
def test_every_kind_has_a_statement(kind: str | None, clf: hostrisk.Classifier) -> None:
    (statement,) = statements_of_reasons(with_text(clf, "a", kind=kind), HOST)
    assert check_statement(statement) == []
    incited = "KEYWORD_INCITEMENT_VIOLENCE_HATRED" in statement["category_specification"]
    assert incited == (kind == "incitement")


def test_texts_that_are_not_english_have_no_language(clf: hostrisk.Classifier) -> None:
    german = "man sollte diese Verräter alle an die Wand stellen und erschießen"
    (statement,) = statements_of_reasons(with_text(clf, german), HOST)
    assert "content_language" not in statement


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"time": None}, "it has no date"),
        ({"time": "yesterday"}, "it has no date"),
        ({"time": "1999-12-31T23:59:59Z"}, "before the year 2000"),
        ({"removed_at": "2019-12-31T00:00:00Z"}, "before the year 2020"),
        ({"label": 0}, "a person found it not violent"),
    ],
)
def test_posts_without_a_statement_are_named(
    changes: dict[str, Any], why: str, clf: hostrisk.Classifier
) -> None:
    assessment = with_text(clf, "hang them", **changes)
    assert statements_of_reasons(assessment, HOST) == []
    ((post, said),) = undrafted(assessment, HOST)
    assert post == "p9"
    assert why in said
    letter = draft_notice(assessment, HOST)
    assert f"No statement of reasons for the post `p9`: {said}" in letter
    assert "drafted for 0 of 1 post." in letter


@pytest.mark.parametrize(
    "restriction",
    ["REMOVE", "DECISION_VISIBILITY_OTHER", "DECISION_MONETARY_OTHER", "ACCOUNT_TYPE_PRIVATE"],
)
def test_restrictions_that_cannot_be_used(restriction: str, assessment: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be a code of the DSA database"):
        statements_of_reasons(assessment, HOST, terms=TERMS._replace(restriction=restriction))


def test_no_statement_is_handed_out_that_would_be_refused(assessment: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="'p812' with these terms: incompatible_content_ground is"):
        statements_of_reasons(assessment, HOST, terms=TERMS._replace(clause=" "))


def test_puids_name_one_statement_and_no_person(assessment: dict[str, Any]) -> None:
    puids = [statement["puid"] for statement in statements_of_reasons(assessment, HOST)]
    again = [
        statement["puid"] for statement in statements_of_reasons(assessment, HOST, terms=TERMS)
    ]
    assert puids == again
    assert len(set(puids)) == 3
    for puid in puids:
        assert re.fullmatch("hostrisk-[0-9a-f]{40}", puid)
    assessment["as_of"] = "2021-01-26T00:00:00Z"
    assert not {one["puid"] for one in statements_of_reasons(assessment, HOST)} & set(puids)


def test_statements_as_the_database_takes_them(assessment: dict[str, Any]) -> None:
    statements = statements_of_reasons(assessment, HOST)
    written = render_statements(statements)
    assert json.loads(written) == {"statements": statements}
    assert written == render_statements(statements)


# --- the checker ---------------------------------------------------------------------------------

EEA = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
EEA = EEA.split()
EU = [country for country in EEA if country not in {"IS", "LI", "NO"}]

# Copied from the documentation of the API, version 2, independently of the schema in the package.
CODES = {
    "decision_visibility": "DECISION_VISIBILITY_CONTENT_REMOVED "
    "DECISION_VISIBILITY_CONTENT_DISABLED DECISION_VISIBILITY_CONTENT_DEMOTED "
    "DECISION_VISIBILITY_CONTENT_AGE_RESTRICTED "
    "DECISION_VISIBILITY_CONTENT_INTERACTION_RESTRICTED DECISION_VISIBILITY_CONTENT_LABELLED "
    "DECISION_VISIBILITY_OTHER",
    "decision_monetary": "DECISION_MONETARY_SUSPENSION DECISION_MONETARY_TERMINATION "
    "DECISION_MONETARY_OTHER",
    "decision_provision": "DECISION_PROVISION_PARTIAL_SUSPENSION "
    "DECISION_PROVISION_TOTAL_SUSPENSION DECISION_PROVISION_PARTIAL_TERMINATION "
    "DECISION_PROVISION_TOTAL_TERMINATION",
    "decision_account": "DECISION_ACCOUNT_SUSPENDED DECISION_ACCOUNT_TERMINATED",
    "account_type": "ACCOUNT_TYPE_BUSINESS ACCOUNT_TYPE_PRIVATE",
    "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "incompatible_content_illegal": "Yes No",
    "content_type": "CONTENT_TYPE_APP CONTENT_TYPE_AUDIO CONTENT_TYPE_IMAGE CONTENT_TYPE_PRODUCT "
    "CONTENT_TYPE_SYNTHETIC_MEDIA CONTENT_TYPE_TEXT CONTENT_TYPE_VIDEO CONTENT_TYPE_OTHER",
    "category": "STATEMENT_CATEGORY_ANIMAL_WELFARE STATEMENT_CATEGORY_CONSUMER_INFORMATION "
    "STATEMENT_CATEGORY_CYBER_VIOLENCE STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN "
    "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS "
    "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH "
    "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS "
    "STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS "
    "STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE STATEMENT_CATEGORY_OTHER_VIOLATION_TC "
    "STATEMENT_CATEGORY_PROTECTION_OF_MINORS STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY "
    "STATEMENT_CATEGORY_SCAMS_AND_FRAUD STATEMENT_CATEGORY_SELF_HARM "
    "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS STATEMENT_CATEGORY_VIOLENCE",
    "source_type": "SOURCE_ARTICLE_16 SOURCE_TRUSTED_FLAGGER SOURCE_TYPE_OTHER_NOTIFICATION "
    "SOURCE_VOLUNTARY",
    "automated_detection": "Yes No",
    "automated_decision": "AUTOMATED_DECISION_FULLY AUTOMATED_DECISION_PARTIALLY "
    "AUTOMATED_DECISION_NOT_AUTOMATED",
}
LISTS = {
    "decision_visibility", "content_type", "category_addition", "category_specification",
    "territorial_scope",
}  # fmt: skip
LIMITS = {
    "decision_visibility_other": 500, "decision_monetary_other": 500, "decision_facts": 5000,
    "decision_ground_reference_url": 500, "illegal_content_legal_ground": 500,
    "illegal_content_explanation": 2000, "incompatible_content_ground": 500,
    "incompatible_content_explanation": 2000, "content_type_other": 500,
    "category_specification_other": 500, "source_identity": 500, "puid": 500,
}  # fmt: skip
# What must be there for a field to be read: the field that decides, and its value.
NEEDS: dict[str, tuple[str, Any]] = {
    "decision_visibility_other": ("decision_visibility", ["DECISION_VISIBILITY_OTHER"]),
    "decision_monetary_other": ("decision_monetary", "DECISION_MONETARY_OTHER"),
    "illegal_content_legal_ground": ("decision_ground", "DECISION_GROUND_ILLEGAL_CONTENT"),
    "illegal_content_explanation": ("decision_ground", "DECISION_GROUND_ILLEGAL_CONTENT"),
    "content_type_other": ("content_type", ["CONTENT_TYPE_TEXT", "CONTENT_TYPE_OTHER"]),
    "category_specification_other": ("category_specification", ["KEYWORD_OTHER"]),
    "source_identity": ("source_type", "SOURCE_ARTICLE_16"),
}
REQUIRED = (
    "decision_facts", "decision_ground", "content_type", "category", "territorial_scope",
    "content_date", "application_date", "source_type", "automated_detection",
    "automated_decision", "puid",
)  # fmt: skip
OPTIONAL = {"category_specification_other", "source_identity"}
RESTRICTIONS = (
    "decision_visibility",
    "decision_monetary",
    "decision_provision",
    "decision_account",
)


def valid(**changes: Any) -> dict[str, Any]:
    """Return the smallest valid statement, with changes; None takes a field out."""
    statement = {
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": "ground", "incompatible_content_explanation": "why",
        "category": "STATEMENT_CATEGORY_VIOLENCE", "decision_facts": "facts",
        "content_type": ["CONTENT_TYPE_TEXT"], "content_date": "2021-01-05",
        "application_date": "2021-02-01", "territorial_scope": ["DE"],
        "source_type": "SOURCE_VOLUNTARY", "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_PARTIALLY", "puid": "TK-421_a",
    } | changes  # fmt: skip
    return {name: value for name, value in statement.items() if value is not None}


def settled(name: str, value: Any) -> dict[str, Any]:
    """Return a statement with a field, and with all that the field needs or brings about."""
    statement = valid()
    deciding, needed = NEEDS.get(name, (name, value))
    statement[deciding] = needed
    if statement["decision_ground"] == "DECISION_GROUND_ILLEGAL_CONTENT":
        del statement["incompatible_content_ground"], statement["incompatible_content_explanation"]
        statement |= {"illegal_content_legal_ground": "a", "illegal_content_explanation": "b"}
    for other, (field, wanted) in NEEDS.items():
        if other not in OPTIONAL and statement.get(field) == wanted:
            statement[other] = "other"
    if name == deciding and str(value).endswith("_OTHER']") and f"{name}_other" in LIMITS:
        statement[f"{name}_other"] = "other"
    return statement | {name: value}


def test_the_smallest_statement_is_valid() -> None:
    assert check_statement(valid()) == []


@pytest.mark.parametrize("name", CODES)
def test_every_code_and_no_other(name: str) -> None:
    codes = CODES[name].split()
    for code in codes:
        assert check_statement(settled(name, [code] if name in LISTS else code)) == [], code
    for wrong in (codes[0].lower(), f"{codes[0]} ", codes[0][:-1], "null", 3, True, {"a": 1}):
        value = [wrong] if name in LISTS else wrong
        assert any(
            said.startswith(f"{name} is ") for said in check_statement(valid(**{name: value}))
        )
    other_form = codes[0] if name in LISTS else [codes[0]]
    assert any(said.startswith(f"{name} ") for said in check_statement(valid(**{name: other_form})))


def test_the_schema_has_no_codes_beside_these() -> None:
    fields = dsa.load_schema()["fields"]
    for name, codes in CODES.items():
        assert sorted(fields[name]["codes"]) == sorted(codes.split())
    assert fields["category_addition"]["codes"] == fields["category"]["codes"]
    assert fields["territorial_scope"]["codes"] == EEA
    assert {name for name, field in fields.items() if field["form"] == "codes"} == LISTS
    assert {name for name, field in fields.items() if "most" in field} == set(LIMITS)
    assert {name for name, field in fields.items() if field.get("required")} == set(REQUIRED)


def test_keywords_of_version_2() -> None:
    keywords = dsa.load_schema()["fields"]["category_specification"]["codes"]
    assert len(set(keywords)) == len(keywords) == 69
    for keyword in (
        "INCITEMENT_VIOLENCE_HATRED", "COORDINATED_HARM", "HUMAN_EXPLOITATION", "HUMAN_TRAFFICKING",
        "TRAFFICKING_WOMEN_GIRLS", "OTHER", "HATE_SPEECH", "CYBER_INCITEMENT", "TERRORIST_CONTENT",
    ):  # fmt: skip
        assert f"KEYWORD_{keyword}" in keywords
        assert check_statement(valid(category_specification=[f"KEYWORD_{keyword}"])) == []
    # Gone since version 1.
    for keyword in ("GENDER_BASED_VIOLENCE", "ONLINE_BULLYING_INTIMIDATION", "MISINFORMATION"):
        assert check_statement(valid(category_specification=[f"KEYWORD_{keyword}"])) != []
    assert check_statement(valid(category_addition=["STATEMENT_CATEGORY_CYBER_VIOLENCE"])) == []
    assert check_statement(valid(category="STATEMENT_CATEGORY_NON_CONSENSUAL_BEHAVIOUR")) != []


@pytest.mark.parametrize("name", LIMITS)
def test_limits_count_code_points(name: str) -> None:
    most = LIMITS[name]
    letter, start = ("a", "https://a.example/") if "url" in name else ("💥", "")
    letter = "a" if name == "puid" else letter
    longest = start + letter * (most - len(start))
    assert check_statement(settled(name, longest)) == []
    said = check_statement(settled(name, longest + letter))
    assert said[0] == f"{name} has {most + 1:,} characters; at most {most:,} are taken."
    assert any("must be text" in said for said in check_statement(settled(name, ["a"])))
    assert check_statement(settled(name, "half \ud800")) != []


@pytest.mark.parametrize("name", REQUIRED)
def test_required_fields(name: str) -> None:
    for missing in (None, "", " \n", []):
        statement = valid() | {name: missing}
        assert f"{name} is required." in check_statement(statement)
    statement = valid()
    del statement[name]
    assert f"{name} is required." in check_statement(statement)


@pytest.mark.parametrize("name", [*NEEDS, "incompatible_content_ground",
                                  "incompatible_content_explanation"])  # fmt: skip
def test_conditional_fields(name: str) -> None:
    whole = settled(name, "text")
    assert check_statement(whole) == []
    without = {key: value for key, value in whole.items() if key != name}
    problems = [said for said in check_statement(without) if said.startswith(name)]
    if name in OPTIONAL:
        assert problems == []
    else:
        assert len(problems) == 1
        assert "is required where" in problems[0]
    if name in NEEDS:
        (said,) = check_statement(valid(**{name: "text"}))
        assert said.startswith((f"{name} is read only where", f"{name} is not read where"))


def test_incompatible_content_illegal_goes_with_its_ground() -> None:
    assert check_statement(valid(incompatible_content_illegal="Yes")) == []
    statement = settled("illegal_content_explanation", "b") | {"incompatible_content_illegal": "No"}
    (said,) = check_statement(statement)
    assert said.startswith("incompatible_content_illegal is read only where")


def test_one_restriction_at_least() -> None:
    said = check_statement(valid(decision_visibility=None))
    assert said == [f"One of {', '.join(RESTRICTIONS)} is required."]
    assert check_statement(valid() | {"decision_visibility": []}) == said
    for name in RESTRICTIONS[1:]:
        code = CODES[name].split()[0]
        assert check_statement(valid(decision_visibility=None, **{name: code})) == []


@pytest.mark.parametrize("name", ["content_date", "application_date"])
def test_dates(name: str) -> None:
    first = {"content_date": "2000-01-01", "application_date": "2020-01-01"}[name]
    for good in (first, "2024-02-29", "2038-01-01"):
        assert check_statement(valid(**{name: good})) == []
    before = {"content_date": "1999-12-31", "application_date": "2019-12-31"}[name]
    for wrong in (
        before, "2038-01-02", "2023-02-29", "2021-1-5", "05-01-2021", "2021-01-05T12:00:00Z",
        "2021-01-05 ", "20210105", "２０２１-01-05", 20210105, ["2021-01-05"],
    ):  # fmt: skip
        assert check_statement(valid(**{name: wrong})) != [], wrong


@pytest.mark.parametrize("what", ["account", "monetary", "service", "visibility"])
def test_ends_come_after_the_start(what: str) -> None:
    name = f"end_date_{what}_restriction"
    assert check_statement(valid(**{name: "2021-02-01"})) == []
    (said,) = check_statement(valid(**{name: "2021-01-31"}))
    assert "before the application_date" in said
    assert check_statement(valid(**{name: "2038-01-02"})) != []


@pytest.mark.parametrize("puid", ["a b", "a.b", "a\n", "é", "a/b", "1 "])
def test_puids_have_few_characters(puid: str) -> None:
    assert any("hyphens and underscores" in said for said in check_statement(valid(puid=puid)))


def test_languages() -> None:
    for good in ("EN", "DE", "UK", "ZU"):
        assert check_statement(valid(content_language=good)) == []
    for wrong in ("en", "XX", "ENG", "EN-GB"):
        assert check_statement(valid(content_language=wrong)) != []
    assert len(dsa.load_schema()["fields"]["content_language"]["codes"]) == 184


def test_addresses_and_product_codes() -> None:
    for good in ("https://host.example/terms#4.2", "http://host.example"):
        assert check_statement(valid(decision_ground_reference_url=good)) == []
    for wrong in ("host.example", "ftp://host.example", "https://", "https://a b.example"):
        assert check_statement(valid(decision_ground_reference_url=wrong)) != []
    assert check_statement(valid(content_id={"EAN-13": "0123456789123"})) == []
    for bad in ({"EAN-13": "123"}, {"EAN-8": "12345678"}, "0123456789123", {"EAN-13": None}):
        assert check_statement(valid(content_id=bad)) != []


def test_unknown_fields() -> None:
    assert check_statement(valid(url="https://a.example")) == ["'url' is not a field."]
    assert len(check_statement({})) == len(REQUIRED) + 1
