"""The program: its group of commands, its exit status and what it says on standard error.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 the reader of the output left.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from hostrisk.errors import HostriskError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main", "note"]

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


def note(message: str) -> None:
    """Say something on standard error."""
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
