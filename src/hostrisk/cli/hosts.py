"""Commands about a host: draw a sample to review, assess, check an evidence packet."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hostrisk.cli.options import given, model_option, refuse_overwriting
from hostrisk.cli.program import main, note
from hostrisk.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostrisk.host import Columns

__all__ = ["assess", "sample", "verify"]


def _posts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what names the posts: files or a database, and their columns."""
    for name, what, default in (
        ("label", "of 0 and 1, where all posts or a plain random part of them were reviewed", None),
        ("removed", "of when a post was removed", "removed_at"),
        ("reported", "of when a post was reported", "reported_at"),
        ("views", "of how often a post was viewed", "views"),
        ("url", "of the addresses of posts", "url"),
        ("host", "of hosts; without it all posts are those of one host", None),
        ("id", "of ids", "id"),
        ("time", "of when a post was made", "created_at"),
        ("text", "of texts", "text"),
    ):
        shown = f" (default: {default}" + (
            ")" if name in {"id", "time", "text"} else ", where there is one)"
        )
        command = click.option(
            f"--{name}", metavar="C", help=f"Column {what}{shown if default else ''}."
        )(command)
    command = click.option(
        "--columns", metavar="FILE", help="A TOML file that names the columns; options go before."
    )(command)
    command = click.option(
        "--name", metavar="NAME", help="Name of the host, where no column has it (default: host)."
    )(command)
    command = click.option("--query", metavar="SQL", help="What to ask a database for.")(command)
    command = click.option(
        "--threads", type=click.IntRange(1), default=1, metavar="N",
        help="Threads that score (default: 1).",
    )(command)  # fmt: skip
    return click.argument("posts", nargs=-1, required=True, metavar="POSTS...")(command)


@main.command()
@_posts
@click.option(
    "--n",
    "number",
    type=click.IntRange(1),
    default=300,
    metavar="N",
    help="How many posts to draw (default: 300).",
)
@click.option("--out", required=True, metavar="FILE", help="Write the sample to this .csv file.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Seed of the draw (default: 0).",
)
@model_option
def sample(
    posts: tuple[str, ...], number: int, out: str, seed: int, model: str | None, **options: Any
) -> None:
    """Draw the posts that people should review.

    POSTS are .csv, .tsv, .jsonl or .parquet files, or a database: sqlite:///PATH or
    postgresql://USER@HOST/NAME with --query. Posts of high scores are drawn more often, each with
    a known chance, so that a few hundred reviews tell how common violent incitement is. Label the
    sample with `hostrisk review`, or fill its column label with any other tool.

    \b
    Examples:
      hostrisk sample posts.parquet --n 300 --out review.csv
      hostrisk sample posts.csv --text body --time date --id post_id --out review.csv
    """
    from hostrisk._writers import open_table
    from hostrisk.host import sample as draw

    refuse_overwriting(out, _read_files(posts, options["columns"]))
    with _progress(posts) as bar, open_table(out) as table:
        drawn = draw(
            _source(posts), number, seed=seed, columns=_columns(options),
            name=options["name"], query=options["query"], threads=options["threads"],
            advance=bar.advance, **_model(model),
        )  # fmt: skip
        table.write({name: drawn[name].combine_chunks() for name in drawn.column_names})
    note(f"{drawn.num_rows:,} posts written to {out}; label them with: hostrisk review {out}")


@main.command()
@_posts
@click.option("--labels", metavar="FILE", help="The reviewed sample, with its column label.")
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="Folder for report.html, report.md and assessment.json.",
)
@click.option("--packet", metavar="FILE", help="Write an evidence packet, a .zip, too.")
@click.option("--policy", metavar="FILE", help="TOML file of what is flagged and of tiers.")
@click.option(
    "--as-of",
    metavar="TIME",
    help="Count removals and open reports up to this moment (default: the latest in the posts).",
)
@click.option("--notice", metavar="TIME", help="When the host was told; compare before and after.")
@click.option("--since", metavar="FILE", help="An earlier assessment.json; show what changed.")
@click.option(
    "--simultaneous", is_flag=True, help="Make all weekly intervals hold at once; they are wider."
)
@click.option(
    "--exemplars",
    type=click.IntRange(0),
    default=50,
    metavar="N",
    help="Posts to show of each host (default: 50).",
)
@click.option(
    "--unredacted",
    is_flag=True,
    help="Keep e-mail addresses, phone numbers and handles in the posts shown.",
)
@model_option
def assess(posts: tuple[str, ...], out: str, packet: str | None, model: str | None,
           **options: Any) -> None:  # fmt: skip
    """Assess hosts by their posts: how much violent incitement, rising or not, who acts on it.

    POSTS are as for `hostrisk sample`. Without --labels figures rest on the model alone, and say
    so. Times without a zone are UTC.

    \b
    Examples:
      hostrisk assess posts.parquet --labels review.csv --out report
      hostrisk assess a.csv b.csv --host site --text body --out report --packet evidence.zip
      hostrisk assess sqlite:///posts.db --query "SELECT * FROM posts" --out report
    """
    from hostrisk.host import assess as assess_hosts
    from hostrisk.report.host import summarize

    settings = (options[name] for name in ("labels", "columns", "policy", "since"))
    _check_targets(out, packet, _read_files(posts, *settings))
    names = (
        "labels",
        "name",
        "policy",
        "query",
        "as_of",
        "notice",
        "since",
        "simultaneous",
        "exemplars",
    )
    with _progress(posts) as bar:
        found = assess_hosts(
            _source(posts), columns=_columns(options), threads=options["threads"],
            redacted=not options["unredacted"], advance=bar.advance, **_model(model),
            **{name: options[name] for name in names},
        )  # fmt: skip
    paths = found.write(out)
    for host in found.record["hosts"]:
        note(f"{host['host']}: {host['tier']}. {host['summary']}")
    for defect in found.record["defects"]:
        what = "post" if defect["count"] == 1 else "posts"
        note(f"{defect['count']:,} {what}: {defect['meaning']}")
    for caution in summarize(found.record)["cautions"]:
        note(caution)
    note(f"report written to {paths['report.html']}")
    if packet is not None:
        note(f"evidence packet written to {packet}; keep its root hash elsewhere:")
        click.echo(found.write_packet(packet))


@main.command()
@click.argument("packet", metavar="PACKET")
@click.option("--root", metavar="HASH", help="The root hash that was kept elsewhere.")
@model_option
def verify(packet: str, root: str | None, model: str | None) -> None:
    """Check an evidence packet: every byte by its hash, every unredacted text by its score.

    Ends with status 1 where anything differs.

    \b
    Example:
      hostrisk verify evidence.zip
    """
    from hostrisk.host.letters.packet import verify_packet

    found = verify_packet(packet, root=root, model=model)
    click.echo(found.to_text(), nl=False)
    if not found.ok:
        raise click.ClickException(f"{packet} is not as it was written")


def _files(posts: tuple[str, ...]) -> list[str]:
    return [path for path in posts if os.path.exists(path)]


def _read_files(posts: tuple[str, ...], *others: str | None) -> list[str]:
    """Return the files that will be read, of a database its own."""
    from hostrisk.host.source.sql import database_file

    named = [str(database_file(path)) if path.startswith("sqlite:///") else path for path in posts]
    return [path for path in (*named, *others) if path is not None and os.path.exists(path)]


class _NothingToWriteError(Exception):
    """Raised to leave a file as it is."""


def _check_targets(out: str, packet: str | None, read: list[str]) -> None:
    """Refuse what cannot be written, or is read, before anything is measured."""
    from hostrisk.files import atomic_writer
    from hostrisk.host.assessment import FILES

    there = out
    while there and not os.path.exists(there):
        there = os.path.dirname(there.rstrip(os.sep))
    if not os.path.isdir(there or os.curdir):
        raise InputError(f"{out} cannot be made, because {there} is no folder")
    reports = [os.path.join(out, name) for name in FILES]
    if packet is not None and os.path.realpath(packet) in map(os.path.realpath, reports):
        raise InputError(f"{packet} is a file of the report; name another one for the packet")
    for target in (*given(packet), *reports):
        refuse_overwriting(target, read)
        if os.path.isdir(out) or os.path.dirname(os.path.realpath(target)) != os.path.realpath(out):
            with suppress(_NothingToWriteError), atomic_writer(target):
                raise _NothingToWriteError


def _source(posts: tuple[str, ...]) -> Any:
    return posts[0] if len(posts) == 1 else list(posts)


def _model(model: str | None) -> dict[str, Any]:
    return {} if model is None else {"model": model}


def _columns(options: Mapping[str, Any]) -> Columns:
    from hostrisk.host import Columns, load_columns

    path = options["columns"]
    columns = Columns() if path is None else load_columns(path)
    chosen = {name: options[name] for name in columns._fields if options.get(name) is not None}
    return columns._replace(**chosen)


def _progress(posts: tuple[str, ...]) -> Any:
    from hostrisk._terminal import progress

    size = sum(os.path.getsize(path) for path in _files(posts))
    return progress(size, shown=size > 0 and sys.stderr.isatty())
