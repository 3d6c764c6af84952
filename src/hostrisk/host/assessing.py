"""The one call: from the posts of hosts to their assessment.

posts -> tally (one pass) -> measuring, responsiveness, exemplars of each host -> trends corrected
together -> tiers -> :class:`hostrisk.host.assessment.HostAssessment`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk import __version__
from hostrisk.classifier import Classifier, load
from hostrisk.decide import judge, resolve_threshold
from hostrisk.errors import InputError
from hostrisk.host.assessment import HostAssessment
from hostrisk.host.changes import compare, read_assessment
from hostrisk.host.exemplars import CANDIDATES, choose_exemplars, moment
from hostrisk.host.labels import PLAIN, STRATIFIED, Label, Labels, read_labels
from hostrisk.host.measuring import Measured, Terms, measure_host, trend_record
from hostrisk.host.prevalence import Rates, special
from hostrisk.host.responsiveness import measure_responsiveness
from hostrisk.host.source.columns import choose_columns
from hostrisk.host.source.posts import open_posts
from hostrisk.host.tally import NO_WEEK, Tally
from hostrisk.host.tiers import HostPolicy, judge_host, load_host_policy
from hostrisk.host.trend import adjust_p_values, statsmodels_api
from hostrisk.report.host.words import rate, share

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from hostrisk.host.source.columns import Columns
    from hostrisk.host.source.posts import Posts
    from hostrisk.host.trend import Trend

__all__ = ["assess"]


def assess(
    posts: Any,
    labels: Any = None,
    *,
    text: str = "text",
    time: str = "created_at",
    id: str = "id",  # noqa: A002  # what the column is called
    host: str | None = None,
    name: str | None = None,
    policy: HostPolicy | str | os.PathLike[str] | None = None,
    model: Classifier | str | os.PathLike[str] = "default",
    columns: Columns | str | os.PathLike[str] | None = None,
    query: str | None = None,
    as_of: datetime | str | None = None,
    notice: datetime | str | None = None,
    since: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    simultaneous: bool = False,
    exemplars: int = 50,
    redacted: bool = True,
    threads: int = 1,
    advance: Callable[[int], object] | None = None,
) -> HostAssessment:
    """Assess hosts by their posts: how much violent incitement, rising or not, and who acts on it.

    :param posts: a path or paths (CSV, JSON Lines, Parquet), a DataFrame, anything that exports
        Arrow, rows as dicts, or the address of a database with ``query``. Read once, in little
        memory.
    :param labels: the table that :func:`sample` gave, with a column ``label`` of 0 and 1; without
        it figures are model-based, and say so.
    :param text: column of the posts' texts; ``time`` of when they were made, ``id`` of their ids,
        ``host`` of their hosts.
    :param name: of the host, where no column names it.
    :param policy: what is flagged, and the rules of tiers; a path of a TOML file, or the default.
    :param model: a classifier, the name of a bundled model, or the folder of one.
    :param columns: names of all columns (url, views, reported_at, removed_at ... too), as
        :class:`hostrisk.host.Columns` or a TOML file; then ``text``, ``time``, ``id`` and ``host``
        are not looked at.
    :param as_of: the moment to which removals and open reports are counted; if None, the latest
        moment in the posts.
    :param notice: when the host was told; what it did is then compared before and after.
    :param since: an earlier assessment, a dict or its ``assessment.json``, to compare with.
    :param simultaneous: whether all weekly intervals hold at once (Bonferroni), and are wider.
    :param exemplars: how many posts are shown of each host.
    :param redacted: whether e-mail addresses, phone numbers and handles are taken out of these.
    :raises InputError: posts, labels or a setting cannot be used.
    :raises PolicyError: the policy file has unknown keys or impossible values.
    :raises MissingExtraError: scipy or statsmodels is not installed.
    """
    # First, so that a missing package is told before millions of posts are read.
    special()
    statsmodels_api()
    rules = policy if isinstance(policy, HostPolicy) else load_host_policy(policy)
    classifier = _classifier(model, rules)
    threshold = resolve_threshold(classifier.artifact, classifier.policy)
    before = None if since is None else read_assessment(since)
    settings = _settings(
        as_of, notice, simultaneous=simultaneous, exemplars=exemplars, redacted=redacted
    )
    chosen = choose_columns(columns, text=text, time=time, id=id, host=host)
    source = open_posts(posts, chosen, host=name, query=query, as_of=settings.until)
    known = _read_labels(labels, chosen)
    tally = Tally(
        classifier, threshold, labels=_numbers(known), highest=CANDIDATES, threads=threads
    )
    for batch in source.batches(advance):
        tally.add(batch)
    if not tally.hosts:
        raise InputError("there is no post to assess: the source has no rows")
    known = _with_column(known, tally)
    reviewed = known if known.by_post else None
    assessor = _Assessor(classifier, rules, threshold, source, tally, reviewed, settings)
    return assessor.assess(before)


class _Settings(NamedTuple):
    until: datetime | None
    told: datetime | None
    simultaneous: bool
    exemplars: int
    redacted: bool


def _settings(as_of: Any, notice: Any, **more: Any) -> _Settings:
    most = more["exemplars"]
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise InputError(f"exemplars is {most!r:.60}; it must be a whole number, 0 or more")
    until, told = _moment(as_of, "as_of"), _moment(notice, "notice")
    # A day later than here it may already be somewhere.
    if until is not None and until > datetime.now(UTC) + timedelta(days=1):
        raise InputError(
            f"as_of is {as_of!s:.60}, which is yet to come; give a moment that has passed"
        )
    return _Settings(until, told, **more)


def _classifier(model: Classifier | str | os.PathLike[str], rules: HostPolicy) -> Classifier:
    if isinstance(model, Classifier):
        return Classifier(model.artifact, rules.text_policy())
    return load(model, policy=rules.text_policy())


def _moment(value: datetime | str | None, name: str) -> datetime | None:
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{name} is {value!r:.60}; it must be a date or time such as 2021-01-08T18:00Z"
        ) from None


def _read_labels(source: Any, columns: Columns) -> Labels:
    if source is None:
        return Labels.none()
    if columns.label is not None:
        raise InputError(
            f"labels come from a table and from the column {str(columns.label)!r} of the posts; "
            "choose one"
        )
    return read_labels(source, several_hosts=columns.host is not None)


def _numbers(labels: Labels) -> dict[tuple[str | None, str], int]:
    return {key: int(label.violent) for key, label in labels.by_post.items()}


def _with_column(labels: Labels, tally: Tally) -> Labels:
    """Add the labels that a column of the posts holds, as those of a plain random sample."""
    if labels.by_post:
        return labels
    for post in tally.reviewed:
        label = Label(bool(post.label), None, None, None, "all")
        labels.by_post[post.host, post.id] = label
    for counts in (labels.drawn, labels.labeled):
        counts["all"] += len(labels.by_post)
    return labels


class _Assessor:
    """Holds what all hosts are assessed with."""

    def __init__(
        self,
        classifier: Classifier,
        rules: HostPolicy,
        threshold: float,
        source: Posts,
        tally: Tally,
        labels: Labels | None,
        settings: _Settings,
    ) -> None:
        self.classifier = classifier
        self.rules = rules
        self.threshold = threshold
        self.source = source
        self.tally = tally
        self.labels = labels
        self.settings = settings
        self.as_of = _end_of(tally, settings.until, source.as_of)
        weeks = len({week for _, week in tally.sums if week != NO_WEEK})
        part = (1 - rules.level) / max(weeks, 1)
        self.terms = Terms(
            labels, _rates(classifier, rules.threshold), rules.level,
            1 - part if settings.simultaneous else rules.level,
        )  # fmt: skip

    def assess(self, before: Mapping[str, Any] | None) -> HostAssessment:
        period = self._period()
        measured = {
            host: measure_host(self.tally, host, self.terms, self._judge)
            for host in self.tally.hosts
        }
        adjusted = _adjust(list(measured.values()))
        hosts = [
            self._host(host, found, p_values, period)
            for (host, found), p_values in zip(measured.items(), adjusted, strict=True)
        ]
        hosts.sort(key=_badness)
        record = {
            "version": __version__,
            "model": self.classifier.model_id,
            "policy": self.rules.id,
            "level": self.rules.level,
            "threshold": self.threshold,
            "threshold_name": _name_of(self.rules.threshold),
            "simultaneous": self.settings.simultaneous,
            "period": period,
            "as_of": f"{self.as_of.astype('datetime64[s]')}Z",
            "rows": sum(part["rows"] for part in self.source.sources),
            "sources": self.source.sources,
            "defects": self.source.defects.to_list(),
            "labels": self._labels_record(),
            "hosts": hosts,
            "since": None,
        }
        if before is not None:
            record["since"] = compare(before, record)
        return HostAssessment(record, classifier=self.classifier, policy=self.rules)

    def _period(self) -> dict[str, str | None]:
        first, last = (moment(value) for value in (self.tally.first, self.tally.last))
        return {"start": first and first[:10], "end": last and last[:10]}

    def _judge(self, text: str) -> tuple[str | None, Any]:
        return judge(self.classifier.artifact, self.classifier.policy, text)

    def _labels_record(self) -> dict[str, Any] | None:
        if self.labels is None:
            return None
        found = [label for post in self.tally.reviewed if (label := self.labels.find(post))]
        uniform = len({label.probability for label in self.labels.by_post.values()}) <= 1
        return {
            "reviewed": len(found),
            "positives": sum(label.violent for label in found),
            "unlabeled": self.labels.unlabeled,
            "unknown_ids": max(len(self.labels.by_post) - len(found), 0),
            "design": PLAIN if uniform else STRATIFIED,
            # How many posts the sample was drawn from, by its probabilities; None if it has none.
            "stand_for": None if uniform else round(self.labels.stands_for()),
        }

    def _host(
        self, host: str, found: Measured, adjusted: _Adjusted, period: dict[str, Any]
    ) -> dict[str, Any]:
        level = self.rules.level
        of = "violent posts" if found.overall["reviewed"] else "flagged posts"
        exemplars, urgent = self._exemplars(host)
        posts = found.overall["posts"]
        record = {
            "host": host,
            "summary": "",
            "overall": found.overall,
            "views": found.views,
            "weeks": found.weeks,
            "trend": trend_record(found.trend, found.starts, adjusted.trend, of=of, level=level),
            **{
                name: _group_records(groups, found.starts, adjusted.groups[name], level)
                for name, groups in found.groups.items()
            },
            "responsiveness": self._responsiveness(host),
            "unsupported": {"posts": found.unsupported, "share": found.unsupported / max(posts, 1)},
            "urgent": urgent,
            "exemplars": exemplars,
        }
        known = period if period["start"] else None
        record.update(judge_host(self.rules, record, period=known).to_dict())
        record["summary"] = _summary(record, level)
        return record

    def _exemplars(self, host: str) -> tuple[list[dict[str, Any]], int]:
        highest = self.tally.highest(host)
        ids = {post.id for post in highest}
        violent = [
            post for post in self.tally.reviewed
            if post.host == host and post.id not in ids and self.labels is not None
            and (label := self.labels.find(post)) is not None and label.violent
        ]  # fmt: skip
        return choose_exemplars(
            [*highest, *violent], self.labels, self.classifier, most=self.settings.exemplars,
            keep=self.rules.keep, redacted=self.settings.redacted,
        )  # fmt: skip

    def _responsiveness(self, host: str) -> dict[str, Any] | None:
        posts = self.tally.followed(host)
        there = self.source.columns_present
        told = self.settings.told
        return measure_responsiveness(
            posts.created,
            posts.reported if "reported" in there else None,
            posts.removed if "removed" in there else None,
            posts.flagged,
            as_of=self.as_of,
            notice=None if told is None else _in_utc(told),
            level=self.rules.level,
            violent=np.ma.masked_array(posts.label == 1, mask=posts.label < 0)
            if self.labels is not None
            else None,
        )


def _end_of(tally: Tally, until: datetime | None, now: datetime) -> np.datetime64:
    """Return the moment of the figures: the one asked for, or the latest in the posts, or today.

    A report or removal of the days to come is an error of its clock, and no such moment.
    """
    if until is not None:
        return _in_utc(until)
    latest = None if tally.last is None else np.datetime64(tally.last, "us")
    for host in tally.hosts:
        for times in tally.followed(host)[1:3]:
            known = times[times <= _in_utc(now + timedelta(days=1))]
            if len(known):
                latest = known.max() if latest is None else max(latest, known.max())
    return _in_utc(now).astype("datetime64[D]") if latest is None else latest


def _in_utc(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _name_of(threshold: float | str) -> str | None:
    return threshold if isinstance(threshold, str) else None


def _rates(classifier: Classifier, threshold: float | str) -> Rates | None:
    """Return what was measured of the model at a named threshold; None at any other."""
    manifest = classifier.artifact.manifest
    measured = manifest.get("thresholds", {}).get(threshold)
    size = manifest.get("calibration", {})
    if not measured or "recall" not in measured or not size.get("positives"):
        return None
    positives, rows = float(size["positives"]), float(size["rows"])
    return Rates(measured["recall"], measured["false_positive_rate"], positives, rows - positives)


class _Adjusted(NamedTuple):
    trend: float | None
    groups: dict[str, list[float | None]]


def _adjust(measured: Sequence[Measured]) -> list[_Adjusted]:
    """Correct the p-values of all trends of all hosts together."""
    trends: list[Trend] = []

    def place(trend: Trend | None) -> int | None:
        if trend is None:
            return None
        trends.append(trend)
        return len(trends) - 1

    places = [
        (
            place(found.trend),
            {
                name: [place(one["trend"]) for one in groups]
                for name, groups in found.groups.items()
            },
        )
        for found in measured
    ]
    adjusted = adjust_p_values([trend.p_value for trend in trends])

    def value(at: int | None) -> float | None:
        return None if at is None else adjusted[at]

    return [
        _Adjusted(value(own), {name: [value(at) for at in group] for name, group in groups.items()})
        for own, groups in places
    ]


def _group_records(
    groups: list[dict[str, Any]], starts: list[str], adjusted: list[float | None], level: float
) -> list[dict[str, Any]]:
    return [
        {**one, "trend": trend_record(one["trend"], starts, p, of="flagged posts", level=level)}
        for one, p in zip(groups, adjusted, strict=True)
    ]


_ORDER = ("act", "notice", "watch", "low")
_MUCH_UNSUPPORTED = 0.1  # of the posts; from there on the model alone does not speak of the host


def _badness(host: Mapping[str, Any]) -> tuple[Any, ...]:
    overall = host["overall"]
    return (
        _ORDER.index(host["tier"]), -(overall["low"] or 0.0), -(overall["prevalence"] or 0.0),
        host["host"],
    )  # fmt: skip


def _summary(host: Mapping[str, Any], level: float) -> str:
    overall, name = host["overall"], f"{level * 100:g}%"
    if overall["prevalence"] is None:
        return (
            "How common violent incitement is cannot be said: no posts were reviewed, and the "
            "model was not measured at this threshold."
        )
    said = (
        f"About {rate(overall['prevalence'])} posts were violent incitement"
        if overall["prevalence"] < 0.01
        else f"About {share(overall['prevalence'])} of the posts were violent incitement"
    )
    basis = (
        f"{overall['reviewed']:,} posts read by people"
        if overall["reviewed"]
        else "by the model alone, nobody read posts"
    )
    said += f" ({name} interval {rate(overall['low'])} to {rate(overall['high'])}; {basis})."
    unknown = host["unsupported"]["share"]
    if not overall["reviewed"] and unknown >= _MUCH_UNSUPPORTED:
        said += (
            f" {share(unknown)} of the posts are in languages that the model does not know; of "
            "these that says nothing."
        )
    if host["trend"]:
        subject = "The share" if host["trend"]["of"] == "violent posts" else "The share flagged"
        said += f" {subject} {host['trend']['sentence'].replace(' (flagged posts)', '')}."
    return said
