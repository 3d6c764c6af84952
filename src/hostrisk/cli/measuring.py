"""Commands that measure a model on labeled posts: evaluate, calibrate, attack, audit."""

from __future__ import annotations

from typing import Any

import click

from hostrisk.cli.options import (
    at_option,
    balanced_option,
    form_option,
    given,
    html_option,
    labeled_file,
    model_option,
    show_report,
    threshold_option,
)
from hostrisk.cli.program import main, note

__all__ = ["attack", "audit", "calibrate", "evaluate"]


@main.command()
@labeled_file()
@click.option("--group", metavar="C", help="Column to measure by, group by group.")
@click.option("--split", metavar="NAME", help="Split to load, where FILE is a dataset's name.")
@threshold_option
@at_option
@model_option
@form_option
@html_option
@click.option(
    "--resamples",
    type=click.IntRange(0),
    default=1000,
    metavar="N",
    help="Bootstrap samples behind the intervals (default: 1000).",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Seed of the bootstrap (default: 0).",
)
@click.option(
    "--errors",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Show, group by group, the N misses and N false alarms farthest from the threshold, and "
    "the N nearest (default: 0).",
)
def evaluate(source: str, form: str, html: str | None, **options: Any) -> None:
    """Measure a model on labeled posts.

    FILE is a table or a name that datasets.load_dataset understands. Prints average precision, ROC
    AUC, precision, recall and F1 at the threshold, recall at low false-positive rates, Brier score
    and calibration error, with bootstrap intervals.

    \b
    Examples:
      hostrisk evaluate labeled.csv --text body --label violent
      hostrisk evaluate cases.csv --group capability --html report.html
      hostrisk evaluate cases.csv --group capability --errors 3
    """
    from hostrisk.evaluation import evaluate as evaluate_model

    show_report(source, form, html, lambda: evaluate_model(source, **options))


@main.command()
@labeled_file()
@model_option
@click.option("--out", required=True, metavar="DIR", help="Folder to write the new model to.")
def calibrate(source: str, text: str, label: str, model: str | None, out: str) -> None:
    """Fit a model's probabilities and thresholds to your own posts.

    FILE is a plain random sample of the posts to be scored, at least 200 of them, labeled 0 or 1.
    The weights stay as they are; the new model's probabilities are shares of such posts.

    \b
    Examples:
      hostrisk calibrate labeled.csv --out my-model
      hostrisk calibrate labeled.csv --model accurate --out my-accurate
    """
    import hostrisk
    from hostrisk.calibration import recalibrate
    from hostrisk.labeled import read_sample

    artifact = recalibrate(
        hostrisk.load(*given(model)), *read_sample(source, text=text, label=label), out
    )
    for name, value in artifact.thresholds.items():
        click.echo(f"{name:<10} {value:.4f}")
    note(f"{artifact.model_id} written to {out}")


@main.command()
@labeled_file()
@balanced_option
@model_option
@click.option(
    "--generated",
    type=click.IntRange(0),
    default=10_000,
    metavar="N",
    help="Harmless strings to make: ids, code, coordinates, flags (default: 10000).",
)
@form_option
@html_option
def attack(source: str, form: str, html: str | None, model: str | None, **options: Any) -> None:
    """Measure what tricks of spelling and wording cost a model.

    FILE is a table of posts labeled 0 or 1. Each is written in a dozen ways that try to evade
    moderation; what share of the violent ones is still found, and how many harmless strings (ids,
    code, coordinates, flags) are flagged.

    \b
    Examples:
      hostrisk attack data/cases/test.csv
      hostrisk attack labeled.csv --text body --model accurate --html robustness.html
    """
    import hostrisk
    from hostrisk.labeled import read_sample
    from hostrisk.robustness import measure_robustness

    columns = {name: options.pop(name) for name in ("text", "label")}

    def measure() -> Any:
        sample = read_sample(source, **columns)
        return measure_robustness(hostrisk.load(*given(model)), *sample, **options)

    show_report(source, form, html, measure)


@main.command()
@labeled_file(required=False)
@balanced_option
@model_option
@form_option
@html_option
def audit(source: str | None, form: str, html: str | None, **options: Any) -> None:
    """Measure whether a model treats people alike.

    Scores sentences that come with hostrisk: about 79 groups of people, first names, political
    sides, dialects, condemnations, counter-speech and harmless questions with violent words. With
    FILE, a table of posts labeled 0 or 1, it also measures on the posts that name these groups.

    \b
    Examples:
      hostrisk audit
      hostrisk audit labeled.csv --model accurate --html fairness.html
    """
    import hostrisk
    from hostrisk.fairness import measure_fairness
    from hostrisk.labeled import read_sample

    columns = {name: options.pop(name) for name in ("text", "label")}

    def measure() -> Any:
        sample = ([], []) if source is None else read_sample(source, **columns)
        return measure_fairness(hostrisk.load(*given(options["model"])), *sample, at=options["at"])

    show_report(source, form, html, measure)
