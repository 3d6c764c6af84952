"""Write docs/cli.md from the commands themselves: ``python docs/generate_cli.py``."""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hostrisk.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).with_name("cli.md")
_HEAD = """\
# Command line

Made by `python docs/generate_cli.py` from the commands' own help; do not edit.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 whoever read the output left.
An error is one sentence on standard error. A file named by `--out` or `--html` appears whole or not
at all. Characters that a terminal would obey or hide are spelled out (`\\x1b`); CSV that goes to a
pipe or a file keeps them, JSON holds their escapes.
"""


def render() -> str:
    """Return the text of docs/cli.md."""
    return "\n".join([_HEAD, *_sections(main, ("hostrisk",))])


def _sections(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    yield _section(command, path)
    if isinstance(command, click.Group):
        for name, sub in sorted(command.commands.items()):
            yield from _sections(sub, (*path, name))


def _section(command: click.Command, path: tuple[str, ...]) -> str:
    name = " ".join(path)
    options = [param for param in command.params if isinstance(param, click.Option)]
    rows = [f"| `{_usage(option)}` | {option.help} |" for option in options]
    table = ["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []
    head = [f"## {name}", "", f"    {name} {_arguments(command)}", ""]
    return "\n".join([*head, *_help(command), *table])


def _arguments(command: click.Command) -> str:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    words = [param.make_metavar(click.Context(command)) for param in arguments]
    if isinstance(command, click.Group):
        words.append("COMMAND ...")
    return " ".join(["[OPTIONS]", *words])


def _help(command: click.Command) -> Iterator[str]:
    """Turn help into Markdown: examples, which click must not wrap, are set as code."""
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0] == "\b":
            yield from [lines[1], "", *(f"    {line.strip()}" for line in lines[2:]), ""]
        else:
            yield from [*lines, ""]


def _usage(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} " + "\\|".join(option.type.choices)  # a bare bar would end the cell
    return f"{names} {option.metavar or option.type.name.upper()}"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
