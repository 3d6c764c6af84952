"""hostrisk review: label a sample by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hostrisk.cli.options import given, model_option
from hostrisk.cli.program import main

if TYPE_CHECKING:
    from hostrisk.classifier import Classifier
    from hostrisk.review import Review

__all__ = ["review"]


@main.command()
@click.argument("source", metavar="FILE")
@click.option("--second", is_flag=True, help="Label as the second reviewer, unseen by the first.")
@click.option(
    "--settle",
    is_flag=True,
    help="Show only the posts on which two reviewers disagree, and decide.",
)
@model_option
@click.option("--no-highlights", is_flag=True, help="Mark no words; a mark may sway who reads.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port of this computer for the page (default: one that is free).",
)
@click.option("--no-browser", is_flag=True, help="Only print the address of the page.")
def review(source: str, **options: Any) -> None:
    """Label a sample of posts on a page in your browser.

    FILE is a .csv or .tsv with the columns id and text, as `hostrisk sample` draws it. Each verdict
    is saved to it at once, in new columns; all others stay as they are. Stop whenever you like, and
    start again to go on. The page is served to this computer only, to whoever has the address that
    is printed, and loads nothing from outside.

    The first reviewer's verdicts go to label_1, kind_1 and target_1, a second one's to label_2 and
    so on, and what comes of them to label, kind and target: what both say, and nothing where they
    disagree, until that is settled.

    \b
    Examples:
      hostrisk review review.csv
      hostrisk review review.csv --second
      hostrisk review review.csv --settle
    """
    from hostrisk.review.server import serve
    from hostrisk.review.table import FIRST, SECOND, SETTLE, open_review

    if options["second"] and options["settle"]:
        raise click.UsageError(
            "--second and --settle exclude each other: settle when both are done"
        )
    role = SECOND if options["second"] else SETTLE if options["settle"] else FIRST
    table = open_review(source, role)
    summary = _summary(table)  # made once before, so that a missing package is told at the start
    if len(table):
        serve(
            table,
            announce=_announce,
            classifier=_highlighter(options),
            port=options["port"] or 0,
            browser=not options["no_browser"],
        )
        summary = _summary(table)
    click.echo(summary)


def _highlighter(options: dict[str, Any]) -> Classifier | None:
    import hostrisk

    return None if options["no_highlights"] else hostrisk.load(*given(options["model"]))


def _announce(address: str) -> None:
    click.echo(f"The posts are at {address}\nStop with Ctrl-C or on the page; all is saved.")


def _summary(table: Review) -> str:
    """Say in a few lines what has been labeled, and how far the reviewers agree."""
    from hostrisk.review.table import SETTLE, describe_agreement

    done, total, violent = table.progress()
    what = "disagreements settled" if table.role == SETTLE else "posts labeled"
    lines = [f"{done:,} of {total:,} {what}, {violent:,} as violent."]
    if agreement := table.agreement():
        lines.append(describe_agreement(agreement))
        disputes = table.disputes()
        if disputes:
            lines.append(f"{disputes:,} disagreements are to be settled: use --settle.")
    return "\n".join(lines)
