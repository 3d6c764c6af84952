"""TOML files of settings: read whole, or refused in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from hostrisk.errors import HostriskError

__all__ = ["read_toml"]


def read_toml(path: str | os.PathLike[str], error: type[HostriskError]) -> dict[str, Any]:
    """Return what a TOML file holds.

    :param error: what to raise if it cannot be read or is not TOML.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise error(f"{path} is not TOML: {problem}") from problem
    except RecursionError as problem:
        raise error(f"{path} is nested too deep") from problem
