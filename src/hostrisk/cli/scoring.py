"""hostrisk score and hostrisk explain."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from hostrisk.cli.options import (
    at_option,
    given,
    model_option,
    refuse_overwriting,
    threshold_of,
    threshold_option,
)
from hostrisk.cli.program import main, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hostrisk._scoring import Source
    from hostrisk._writers import TableWriter

__all__ = ["explain", "score"]


@main.command()
@click.argument("inputs", nargs=-1, metavar="[TEXT]... | [FILE]...")
@click.option(
    "--text",
    default="text",
    metavar="COLUMN",
    help="Column of the files that holds the posts (default: text).",
)
@click.option(
    "--out",
    metavar="FILE",
    help="Write all columns and the new ones to this .csv, .tsv, .jsonl or .parquet file.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    help="How to print to standard output (default: table).",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Print only the N highest scores.")
@threshold_option
@at_option
@model_option
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Threads that score (default: 1).",
)
@click.option(
    "--why", is_flag=True, help="Add the words that raise the score of a flagged text most."
)
@click.option(
    "--prefix",
    default="",
    metavar="NAME",
    help="Put NAME before the names of the new columns, where the file has such names already.",
)
def score(inputs: tuple[str, ...], **options: Any) -> None:
    """Score texts, lines of standard input, or tables.

    Each text gets a score (the probability of violent incitement), whether it is flagged, and, if
    so, which kind it is and whom it targets. One in a language that the model was not trained for
    is left undecided unless it is flagged. Arguments are taken for files where such a file exists
    or the name ends like one (.csv, .tsv, .jsonl, .ndjson, .json, .parquet). Without arguments
    every line of standard input is a text. A null text gets no score; how many there were is said
    at the end.

    \b
    Examples:
      hostrisk score "they should be shot" "shoot me an email"
      tail -f posts.log | hostrisk score --format jsonl
      hostrisk score posts.parquet --text body --out scored.parquet
      hostrisk score january.csv february.csv --top 20
    """
    import hostrisk
    from hostrisk._scoring import Scorer, open_source

    with ExitStack() as stack:
        columns = [options["text"]] if _prints_text_only(options) else None
        source = open_source(inputs, options["text"], columns=columns)
        refuse_overwriting(options["out"], source.paths)
        scorer = Scorer(
            classifier := hostrisk.load(*given(options["model"])),
            options["text"],
            threshold=threshold_of(classifier, options["threshold"], options["at"]),
            threads=options["threads"],
            prefix=options["prefix"],
            why=options["why"],
        )

        def open_sinks() -> list[TableWriter]:
            return [stack.enter_context(sink) for sink in _sinks(options, scorer.added)]

        _run(source, scorer, open_sinks, shown=_shows_progress(options, source))
    _report(scorer, options["out"])


def _prints_text_only(options: Mapping[str, Any]) -> bool:
    return options["out"] is None and options["form"] == "table"


def _sinks(options: Mapping[str, Any], added: Mapping[str, str]) -> Iterator[Any]:
    """Say where the scored rows go, as context managers of table writers."""
    if options["out"] is not None:
        from hostrisk._scoring import KINDS
        from hostrisk._writers import open_table

        yield open_table(options["out"], {added[name]: KINDS[name] for name in added})
    if options["out"] is None or options["top"] is not None:
        yield _standard_output(options, added)


@contextmanager
def _standard_output(options: Mapping[str, Any], added: Mapping[str, str]) -> Iterator[TableWriter]:
    from hostrisk import _terminal
    from hostrisk._scoring import Highest

    writer: TableWriter
    if options["form"] == "table":
        writer = _terminal.TablePrinter(sys.stdout, text=options["text"], added=added)
    else:
        from hostrisk._writers import CsvWriter, JsonLinesWriter

        out = _terminal.VisibleOutput(sys.stdout) if sys.stdout.isatty() else sys.stdout
        writer = CsvWriter(out) if options["form"] == "csv" else JsonLinesWriter(out)
    if options["top"] is not None:
        writer = Highest(writer, options["top"], by=added["score"])
    yield writer
    writer.close()


def _shows_progress(options: Mapping[str, Any], source: Source) -> bool:
    # A bar among the rows of the same terminal would be unreadable.
    rows_on_terminal = options["out"] is None and options["top"] is None and sys.stdout.isatty()
    return bool(source.paths) and sys.stderr.isatty() and not rows_on_terminal


def _run(
    source: Source, scorer: Any, open_sinks: Callable[[], list[TableWriter]], *, shown: bool
) -> None:
    from hostrisk._terminal import progress

    sinks: list[TableWriter] | None = None
    with progress(source.size, shown=shown) as bar:
        for columns in source.read(bar.advance):
            if sinks is None:  # the names of the columns are known now
                for renamed in scorer.name_columns(columns):
                    note(renamed)
                sinks = open_sinks()
            before = scorer.rows
            scored = scorer.add_scores(columns)
            for sink in sinks:
                sink.write(scored)
            if not source.paths:
                sys.stdout.flush()  # who watches a live stream must not wait for a full buffer
            bar.count_rows(scorer.rows - before)
    if sinks is None:
        open_sinks()


def _report(scorer: Any, out: str | None) -> None:
    if out is not None:
        share = f" ({scorer.flagged / scorer.rows:.1%})" if scorer.rows else ""
        note(f"{scorer.rows:,} rows, {scorer.flagged:,} flagged{share}, written to {out}")
    if scorer.encoded_share is not None and 0 < scorer.encoded_share < 1:
        note(f"{scorer.encoded_share:.1%} of the texts were read by the encoder")
    if scorer.unsupported:
        note(
            f"{scorer.unsupported:,} of {scorer.rows:,} texts are in no language that the model "
            "was trained for and are undecided (?), not safe"
        )
    if scorer.nulls:
        note(f"{scorer.nulls:,} of {scorer.rows:,} texts are null and were left without a score")


@main.command()
@click.argument("text", required=False)
@threshold_option
@at_option
@model_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Marked text and a table, or one JSON object (default: text).",
)
def explain(
    text: str | None, threshold: float | None, at: str | None, model: str | None, form: str
) -> None:
    """Show why a text gets its score.

    Says which words weigh how much, which kind of violence it is and against whom. On a terminal,
    red spans raise the score and blue ones lower it, the stronger the more; elsewhere a span stands
    in brackets with its weight. Without TEXT, all of standard input is one text. The bias and the
    weights of all spans add up to the logit of the score.

    \b
    Examples:
      hostrisk explain "lock and load, patriots, this weekend"
      hostrisk explain --format json < letter.txt
    """
    import hostrisk
    from hostrisk._scoring import decide, whole_input
    from hostrisk._terminal import has_color, render_explanation

    post = whole_input(text)
    classifier = hostrisk.load(*given(model))
    explanation = classifier.explain(post)
    limit = threshold_of(classifier, threshold, at)
    decision = decide(classifier, [post], [explanation.score], limit)[0]
    if form == "text":
        click.echo(render_explanation(explanation, decision, color=has_color()), nl=False)
        return
    from hostrisk._writers import JsonLinesWriter

    spans = [span._asdict() for span in explanation.spans]
    record = {**decision._asdict(), **explanation._asdict(), "spans": spans}
    JsonLinesWriter(sys.stdout).write({name: [value] for name, value in record.items()})
