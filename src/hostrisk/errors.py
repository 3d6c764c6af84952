"""Errors of hostrisk: a short tree, each message one sentence naming what, where and the way out.

HostriskError
├── InputError (also ValueError)            text, table or file that cannot be used as given
├── ModelError                              a model folder that must not be loaded
├── PolicyError                             a policy file with unknown or impossible settings
└── MissingExtraError (also ImportError)    a feature whose dependency is not installed
"""

from __future__ import annotations

__all__ = ["HostriskError", "InputError", "MissingExtraError", "ModelError", "PolicyError"]


class HostriskError(Exception):
    """Base of every error that hostrisk raises on purpose."""


class InputError(HostriskError, ValueError):
    """A text, table or file cannot be used as given."""


class ModelError(HostriskError):
    """A model folder is damaged, foreign or of another format, and must not be loaded."""


class PolicyError(HostriskError):
    """A policy file holds unknown or impossible settings."""


class MissingExtraError(HostriskError, ImportError):
    """A package that was left out of this installation is needed for what was asked."""

    def __init__(self, what: str, *, package: str, extra: str | None = None) -> None:
        wanted = package if extra is None else f'"hostrisk[{extra}]"'
        super().__init__(
            f"{what} needs the package {package}, which is not installed; "
            f"install it with: pip install {wanted}"
        )
