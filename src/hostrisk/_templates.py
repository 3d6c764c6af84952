"""The one way in which templates of the package are filled."""

from __future__ import annotations

from typing import Any

from hostrisk.errors import MissingExtraError

__all__ = ["make_environment"]


def make_environment(package: str, *, what: str, escaped: bool = True, **more: Any) -> Any:
    """Return a jinja2 environment over the templates of a package; an unknown name is an error.

    :param what: is made of them, for the message if jinja2 is not installed.
    :param escaped: whether all that is put in is escaped for HTML.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError(what, package="jinja2") from error
    return Environment(
        loader=PackageLoader(package),
        autoescape=escaped,  # noqa: S701  # what is not HTML escapes by itself
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **more,
    )
