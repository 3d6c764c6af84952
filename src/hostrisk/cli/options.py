"""Options and habits that several commands share."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from hostrisk.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "at_option", "balanced_option", "form_option", "given", "html_option", "labeled_file",
    "model_option", "print_json", "refuse_overwriting", "show_report", "threshold_of",
    "threshold_option",
]  # fmt: skip


def _check_number(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and value != value:  # noqa: PLR0124  # NaN passes every range check
        raise click.BadParameter("nan is not a probability.")
    return value


def labeled_file(*, required: bool = True) -> Callable[..., Any]:
    """Add what names a table of labeled posts: the file and two columns."""

    def add_to(command: Callable[..., Any]) -> Callable[..., Any]:
        for add in (
            click.option(
                "--label", default="label", metavar="C", help="Column of 0 and 1 (default: label)."
            ),
            click.option(
                "--text", default="text", metavar="C", help="Column of the posts (default: text)."
            ),
            click.argument("source", metavar="FILE" if required else "[FILE]", required=required),
        ):
            command = add(command)
        return command

    return add_to


model_option = click.option(
    "--model",
    metavar="MODEL",
    help="default (fast), accurate or cascade, which come with hostrisk, or the folder of a model.",
)
threshold_option = click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    callback=_check_number,
    metavar="P",
    help="Flag from this probability on (default: that of the policy).",
)
form_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    help="How to print the figures (default: table).",
)
html_option = click.option("--html", metavar="FILE", help="Write a page to this file too.")
at_option = click.option(
    "--at",
    metavar="NAME",
    help="Flag from this threshold of the model on: review, balanced, evidence and others that "
    "`hostrisk model info` lists.",
)
balanced_option = click.option(
    "--at", default="balanced", metavar="NAME", help="Threshold (default: balanced)."
)


def given(value: str | None) -> tuple[str, ...]:
    """Return what to pass on of an option: nothing where it was not given."""
    return () if value is None else (value,)


def threshold_of(classifier: Any, threshold: float | None, at: str | None) -> float:
    """Return the threshold that the options ask for."""
    from hostrisk.decide import resolve_threshold

    return resolve_threshold(classifier.artifact, classifier.policy, threshold, at)


def refuse_overwriting(out: str | None, paths: list[str]) -> None:
    """Refuse to write to a file that is read."""
    for path in paths:
        if out is not None and os.path.exists(out) and os.path.samefile(out, path):
            raise InputError(f"{out} is being read; name another file to write to")


def show_report(
    source: str | None, form: str, html: str | None, measure: Callable[[], Any]
) -> None:
    """Print a report, and write its page where one is wanted."""
    from hostrisk._visible import visible
    from hostrisk.files import atomic_writer

    refuse_overwriting(html, [source] if source is not None and os.path.exists(source) else [])
    with ExitStack() as stack:
        # Opened first, so that a page that cannot be written costs no measurement.
        page = stack.enter_context(atomic_writer(html)) if html is not None else None
        report = measure()
        if page is not None:
            page.write(report.to_html().encode())
    if form == "json":
        print_json(report.to_dict())
    else:
        click.echo(visible(report.to_text().rstrip("\n"), keep="\n"))


def print_json(value: Any) -> None:
    """Print a value as JSON, with what a terminal would obey escaped."""
    import json

    from hostrisk._writers import escape_unseen

    click.echo(escape_unseen(json.dumps(value, ensure_ascii=False, indent=2, default=str)))
