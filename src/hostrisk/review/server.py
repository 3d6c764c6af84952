"""Serve a review to the browser of this computer, and to no other."""

from __future__ import annotations

import os
import socket
import threading
import webbrowser
from typing import TYPE_CHECKING, Any

from hostrisk._lines import reason
from hostrisk.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostrisk.classifier import Classifier
    from hostrisk.review.table import Review

__all__ = ["serve"]

_HERE = "127.0.0.1"


def serve(
    review: Review,
    *,
    announce: Callable[[str], object],
    classifier: Classifier | None = None,
    port: int = 0,
    browser: bool = True,
) -> None:
    """Serve the pages until the reviewer finishes or the process is interrupted.

    :param announce: called with the address of the pages once they can be opened.
    :param port: port to listen on; 0 for one that is free.
    :param browser: also open the address in the browser.
    :raises InputError: the port cannot be used.
    :raises MissingExtraError: starlette or uvicorn is not installed.
    """
    from hostrisk.review.app import Access, make_app

    with _listen(port) as listener:
        access = Access(listener.getsockname()[1])
        server: Any = None

        def stop() -> None:
            server.should_exit = True

        server = _server(make_app(review, access, classifier=classifier, stop=stop))
        try:
            announce(access.address)
            if browser:
                _show(access.address)
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            return


def _show(address: str) -> None:
    # A browser that runs in the terminal must not hold up the server that it asks.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _server(app: Any) -> Any:
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("The review page", package="uvicorn", extra="host") from error
    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )


def _listen(port: int) -> socket.socket:
    """Open a port of this computer that no other computer can reach."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # Lets a review start again at once on its port; elsewhere it would let two share it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HERE, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InputError(
            f"port {port} of this computer cannot be used: {reason(error)}; choose another with "
            "--port, or leave it out to get one that is free"
        ) from error
    return listener
