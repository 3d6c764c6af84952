"""hostrisk model: look at a model folder, or check it."""

from __future__ import annotations

import click

from hostrisk.cli.options import given, print_json
from hostrisk.cli.program import main

__all__ = ["model"]


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

    classifier = hostrisk.load(*given(path))
    manifest = classifier.artifact.manifest
    if form == "json":
        print_json(manifest)
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

    for line in artifact.verify(*given(path)):
        click.echo(visible(line))
