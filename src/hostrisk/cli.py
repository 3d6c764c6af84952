"""The command line: score, explain, evaluate and model, each importing what it needs when run.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 the reader of the output left.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from hostrisk.errors import HostriskError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hostrisk._scoring import Source
    from hostrisk._writers import TableWriter

__all__ = ["main"]

_USAGE, _FAILED, _INTERRUPTED, _READER_LEFT = 2, 1, 130, 141


class _ReaderLeftError(Exception):
    """What reads our output, such as ``head``, has had enough."""


class _Program(click.Group):
    """A group whose failures are one sentence on standard error and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, keeping broken pipes apart from other system errors."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise _ReaderLeftError from error
        return result

    def main(self, *args: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run the program; standalone, end the process with the exit status."""
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **more)
        _prepare_streams()
        sys.exit(_exit_status(lambda: run(*args, standalone_mode=False, **more)))


def _prepare_streams() -> None:
    """Let no character make printing fail, and give programs UTF-8 whatever the locale."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _exit_status(run: Callable[[], object]) -> int:  # noqa: PLR0911  # one for each way to end
    try:
        status = run()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return _USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "hostrisk"
        return _complain(f"{error.format_message().rstrip('.')} (see {command} --help)", _USAGE)
    except click.ClickException as error:
        return _complain(error.format_message(), _FAILED)
    except click.Abort:
        return _INTERRUPTED
    except _ReaderLeftError:
        # Python flushes standard output once more at exit; that must not fail aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_LEFT
    except (HostriskError, OSError) as error:
        return _complain(str(error), _FAILED)
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int) -> int:
    from hostrisk._visible import visible

    click.echo(f"hostrisk: error: {visible(' '.join(message.split()))}", err=True)
    return status


def _note(message: str) -> None:
    from hostrisk._visible import visible

    click.echo(f"hostrisk: {visible(message)}", err=True)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if not wanted or ctx.resilient_parsing:
        return
    import hostrisk
    from hostrisk import features, linear

    click.echo(f"hostrisk {hostrisk.__version__}")
    click.echo(f"kernel   {linear.kernel_name()}")
    click.echo(f"features {features.FEATURE_ID}")
    ctx.exit()


def _check_number(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and value != value:  # noqa: PLR0124  # NaN passes every range check
        raise click.BadParameter("nan is not a probability.")
    return value


def _labeled_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what names a table of labeled posts: the file and two columns."""
    for add in (
        click.option(
            "--label", default="label", metavar="C", help="Column of 0 and 1 (default: label)."
        ),
        click.option(
            "--text", default="text", metavar="C", help="Column of the posts (default: text)."
        ),
        click.argument("source", metavar="FILE"),
    ):
        command = add(command)
    return command


_model_option = click.option(
    "--model",
    metavar="MODEL",
    help="default (fast), accurate or cascade, which come with hostrisk, or the folder of a model.",
)
_threshold_option = click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    callback=_check_number,
    metavar="P",
    help="Flag from this probability on (default: that of the policy).",
)
_form_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    help="How to print the figures (default: table).",
)
_html_option = click.option("--html", metavar="FILE", help="Write a page to this file too.")
_at_option = click.option(
    "--at",
    metavar="NAME",
    help="Flag from this threshold of the model on: review, balanced, evidence and others that "
    "`hostrisk model info` lists.",
)


@click.group("hostrisk", cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, the kernel that runs and the feature specification, and exit.",
)
def main() -> None:
    """Find violent incitement in text: threats, calls, praise and wishes of violence.

    \b
    Example:
      hostrisk score "time to hang the traitors"
    """


# --- score ---------------------------------------------------------------------------------------


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
@_threshold_option
@_at_option
@_model_option
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
    so, which kind it is and whom it targets. Arguments are taken for files where such a file exists
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
        _refuse_overwriting(options["out"], source.paths)
        scorer = Scorer(
            classifier := hostrisk.load(*_given(options["model"])),
            options["text"],
            threshold=_threshold(classifier, options["threshold"], options["at"]),
            threads=options["threads"],
            prefix=options["prefix"],
            why=options["why"],
        )

        def open_sinks() -> list[TableWriter]:
            return [stack.enter_context(sink) for sink in _sinks(options, scorer.added)]

        _run(source, scorer, open_sinks, shown=_shows_progress(options, source))
    _report(scorer, options["out"])


def _given(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _threshold(classifier: Any, threshold: float | None, at: str | None) -> float:
    from hostrisk.decide import resolve_threshold

    return resolve_threshold(classifier.artifact, classifier.policy, threshold, at)


def _prints_text_only(options: Mapping[str, Any]) -> bool:
    return options["out"] is None and options["form"] == "table"


def _refuse_overwriting(out: str | None, paths: list[str]) -> None:
    for path in paths:
        if out is not None and os.path.exists(out) and os.path.samefile(out, path):
            raise InputError(f"{out} is being read; write the scores to another file")


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
                for note in scorer.name_columns(columns):
                    _note(note)
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
        _note(f"{scorer.rows:,} rows, {scorer.flagged:,} flagged{share}, written to {out}")
    if scorer.encoded_share is not None and 0 < scorer.encoded_share < 1:
        _note(f"{scorer.encoded_share:.1%} of the texts were read by the encoder")
    if scorer.nulls:
        _note(f"{scorer.nulls:,} of {scorer.rows:,} texts are null and were left without a score")


# --- explain -------------------------------------------------------------------------------------


@main.command()
@click.argument("text", required=False)
@_threshold_option
@_at_option
@_model_option
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

    given = whole_input(text)
    classifier = hostrisk.load(*_given(model))
    explanation = classifier.explain(given)
    limit = _threshold(classifier, threshold, at)
    decision = decide(classifier, [given], [explanation.score], limit)[0]
    if form == "text":
        click.echo(render_explanation(explanation, decision, color=has_color()), nl=False)
        return
    from hostrisk._writers import JsonLinesWriter

    spans = [span._asdict() for span in explanation.spans]
    record = {**decision._asdict(), **explanation._asdict(), "spans": spans}
    JsonLinesWriter(sys.stdout).write({name: [value] for name, value in record.items()})


# --- evaluate ------------------------------------------------------------------------------------


@main.command()
@_labeled_file
@click.option("--group", metavar="C", help="Column to measure by, group by group.")
@click.option("--split", metavar="NAME", help="Split to load, where FILE is a dataset's name.")
@_threshold_option
@_at_option
@_model_option
@_form_option
@_html_option
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
def evaluate(source: str, form: str, html: str | None, **options: Any) -> None:
    """Measure a model on labeled posts.

    FILE is a table or a name that datasets.load_dataset understands. Prints average precision, ROC
    AUC, precision, recall and F1 at the threshold, recall at low false-positive rates, Brier score
    and calibration error, with bootstrap intervals.

    \b
    Examples:
      hostrisk evaluate labeled.csv --text body --label violent
      hostrisk evaluate cases.csv --group capability --html report.html
    """
    from hostrisk.evaluation import evaluate as evaluate_model

    _show_report(source, form, html, lambda: evaluate_model(source, **options))


# --- calibrate -----------------------------------------------------------------------------------


@main.command()
@_labeled_file
@_model_option
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
        hostrisk.load(*_given(model)), *read_sample(source, text=text, label=label), out
    )
    for name, value in artifact.thresholds.items():
        click.echo(f"{name:<10} {value:.4f}")
    _note(f"{artifact.model_id} written to {out}")


# --- attack --------------------------------------------------------------------------------------


@main.command()
@_labeled_file
@click.option("--at", default="balanced", metavar="NAME", help="Threshold (default: balanced).")
@_model_option
@click.option(
    "--generated",
    type=click.IntRange(0),
    default=10_000,
    metavar="N",
    help="Harmless strings to make: ids, code, coordinates, flags (default: 10000).",
)
@_form_option
@_html_option
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
        return measure_robustness(hostrisk.load(*_given(model)), *sample, **options)

    _show_report(source, form, html, measure)


def _show_report(source: str, form: str, html: str | None, measure: Callable[[], Any]) -> None:
    """Print a report, and write its page where one is wanted."""
    from hostrisk._visible import visible
    from hostrisk.files import atomic_writer

    _refuse_overwriting(html, [source] if os.path.exists(source) else [])
    with ExitStack() as stack:
        # Opened first, so that a page that cannot be written costs no measurement.
        page = stack.enter_context(atomic_writer(html)) if html is not None else None
        report = measure()
        if page is not None:
            page.write(report.to_html().encode())
    if form == "json":
        _print_json(report.to_dict())
    else:
        click.echo(visible(report.to_text().rstrip("\n"), keep="\n"))


def _print_json(value: Any) -> None:
    import json

    from hostrisk._writers import escape_unseen

    click.echo(escape_unseen(json.dumps(value, ensure_ascii=False, indent=2, default=str)))


# --- model ---------------------------------------------------------------------------------------


@main.group()
def model() -> None:
    """Look at a model folder, or check it.

    \b
    Example:
      hostrisk model verify
    """


@model.command()
@click.argument("path", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    help="A summary, or the whole manifest as JSON (default: table).",
)
def info(path: str | None, form: str) -> None:
    """Show what a model is made of.

    Id, training data, thresholds and figures, all from its manifest.

    \b
    Examples:
      hostrisk model info
      hostrisk model info my-model --format json
    """
    import hostrisk

    classifier = hostrisk.load(*_given(path))
    manifest = classifier.artifact.manifest
    if form == "json":
        _print_json(manifest)
        return
    from hostrisk._terminal import render_manifest

    click.echo(render_manifest(classifier.model_id, manifest), nl=False)


@model.command()
@click.argument("path", required=False)
def verify(path: str | None) -> None:
    """Check the files of a model and score its golden texts again.

    \b
    Examples:
      hostrisk model verify
      hostrisk model verify my-model
    """
    from hostrisk import artifact
    from hostrisk._visible import visible

    for line in artifact.verify(*_given(path)):
        click.echo(visible(line))
