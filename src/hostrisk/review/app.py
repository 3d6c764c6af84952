"""The pages on which a person labels posts, as an application that a server runs.

Whoever can open the pages can read the posts and set labels, so each request is checked:

* It must name this server as its host: else a page elsewhere could let its own name point to this
  computer and read what is here (DNS rebinding).
* It must carry a secret that only the address printed at the start holds; that address hands it to
  the browser as a cookie, and is left at once.
* What changes labels must besides carry a second secret that stands only in the pages, and come
  from them: other programs of this computer share its cookies, whatever their port.

No page loads anything from outside, runs a script but its own, or can be shown inside another.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from hostrisk.errors import HostriskError, InputError, MissingExtraError
from hostrisk.review import pages
from hostrisk.review.table import Pace, Review, Verdict, describe_verdict

try:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("The review page", package="starlette", extra="host") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hostrisk.classifier import Classifier

__all__ = ["Access", "make_app"]

_LONGEST_FORM = 10_000
_SEE_OTHER, _BAD, _FORBIDDEN, _MISSING, _CONFLICT = 303, 400, 403, 404, 409
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_GOES = ("open", "stay", "previous", "next", "finish")


class Access:
    """Where the pages are, and the secrets that open them."""

    def __init__(self, port: int) -> None:
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.cookie = f"hostrisk_review_{port}"
        self.token = secrets.token_urlsafe(32)
        self.form_key = secrets.token_urlsafe(32)

    @property
    def address(self) -> str:
        """The address to open; whoever knows it can read and label the posts."""
        return f"http://{self.hosts[0]}/?token={self.token}"


def make_app(
    review: Review,
    access: Access,
    *,
    classifier: Classifier | None = None,
    stop: Callable[[], object] = lambda: None,
) -> ASGIApp:
    """Return the application for one reviewer.

    :param classifier: finds the words to highlight; None for none.
    :param stop: called once the page for the end has been sent.
    """
    desk = _Desk(review, access, classifier, stop)
    routes = [
        Route("/", desk.start),
        Route("/post", desk.post),
        Route("/finish", desk.finish),
        Route("/verdict", desk.take_verdict, methods=["POST"]),
        Route("/undo", desk.undo, methods=["POST"]),
        Route("/stop", desk.stop, methods=["POST"]),
    ]
    return _Guard(Starlette(routes=routes), access)


class _Guard:
    """Lets through only who may come in, and gives each answer the headers that keep it safe."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        nonce = scope.setdefault("state", {})["nonce"] = secrets.token_urlsafe(16)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS | {"Content-Security-Policy": _POLICY.format(nonce=nonce)})
            await send(message)

        app = self._answer(Request(scope)) or self._app
        await app(scope, receive, send_safely)

    def _answer(self, request: Request) -> Response | None:
        """Return what to say to who may not come in, or comes in only now."""
        access = self._access
        if request.headers.get("host") not in access.hosts:
            return _refusal(f"This review is only at {access.hosts[0]}.", _BAD)
        if _same(request.query_params.get("token", ""), access.token):
            answer = RedirectResponse("/", _SEE_OTHER)
            answer.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
            return answer
        if not _same(request.cookies.get(access.cookie, ""), access.token):
            return _refusal("Open the address that hostrisk review printed when it started.")
        if request.method not in ("GET", "HEAD") and not _from_here(request.headers, access):
            return _refusal("Only the pages of this review can change it.")
        return None


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), secret.encode())


def _from_here(headers: Headers, access: Access) -> bool:
    """Tell whether a browser says that one of these pages made it send a request."""
    origin = headers.get("origin", f"http://{access.hosts[0]}")
    site = headers.get("sec-fetch-site", "same-origin")
    return origin in {f"http://{host}" for host in access.hosts} and site in ("same-origin", "none")


def _refusal(why: str, status: int = _FORBIDDEN) -> Response:
    return PlainTextResponse(f"{why}\n", status)


class _RefusedFormError(Exception):
    """A form that no page of the review sends."""


class _Desk:
    """Answers the requests of one reviewer, who is the only one at work."""

    def __init__(
        self,
        review: Review,
        access: Access,
        classifier: Classifier | None,
        stop: Callable[[], object],
    ) -> None:
        self._review = review
        self._access = access
        self._classifier = classifier
        self._stop = stop
        self._pace = Pace()
        self._message = ""

    async def start(self, request: Request) -> Response:
        """Show the first page."""
        return self._page(request, "start.html", pages.start_values(self._review, self._pace))

    async def post(self, request: Request) -> Response:
        """Show the post with a number, or the next without a verdict."""
        wanted = request.query_params.get("at")
        if wanted is not None:
            try:
                return self._show(request, self._place(wanted))
            except InputError as error:
                return _refusal(str(error), _MISSING)
        self._pace.begin()
        at = self._review.next_open()
        return RedirectResponse("/finish", _SEE_OTHER) if at is None else _to(at)

    async def finish(self, request: Request) -> Response:
        """Show what has been done and what to do next."""
        return self._page(request, "finish.html", pages.finish_values(self._review, self._pace))

    async def take_verdict(self, request: Request) -> Response:
        """Save a verdict and go on."""
        try:
            form = await self._form(request)
            at, verdict, go = self._place(form.get("at", [""])[0]), _verdict(form), _go(form)
        except (_RefusedFormError, InputError) as error:
            return _refusal(str(error), _BAD)
        try:
            self._review.give(at, verdict)
        except (HostriskError, OSError) as error:
            return self._show(request, at, problem=str(error))
        self._message = f"Saved as {describe_verdict(verdict)}."
        if go == "stay":
            self._message += " Choose its kind and target groups; Enter goes on."
            return _to(at)
        self._pace.step()
        return self._leave(at, go)

    async def undo(self, request: Request) -> Response:
        """Take back the last verdict and show its post."""
        try:
            form = await self._form(request)
            at = self._place(form.get("at", [""])[0])
        except (_RefusedFormError, InputError) as error:
            return _refusal(str(error), _BAD)
        try:
            undone = self._review.undo()
        except (HostriskError, OSError) as error:
            return self._show(request, at, problem=str(error))
        if undone is None:
            self._message = "Nothing to undo; go back to a post to label it anew."
            return _to(at)
        self._message = f"Undone: back to {describe_verdict(self._review.verdict(undone))}."
        return _to(undone)

    async def stop(self, request: Request) -> Response:
        """Say goodbye and end the server."""
        try:
            await self._form(request)
        except _RefusedFormError as error:
            return _refusal(str(error), _BAD)
        values = pages.finish_values(self._review, self._pace)
        return self._page(request, "closed.html", values, background=BackgroundTask(self._stop))

    def _leave(self, at: int, go: str) -> Response:
        if go in ("previous", "next"):
            beside = at + (1 if go == "next" else -1)
            return _to(min(max(beside, 0), len(self._review) - 1))
        place = self._review.next_open(at) if go == "open" else None
        return RedirectResponse("/finish", _SEE_OTHER) if place is None else _to(place)

    def _place(self, value: str) -> int:
        """Read the number of a post, from 1.

        :raises InputError: there is no such post.
        """
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
        if not 1 <= number <= len(self._review):
            raise InputError("There is no such post.")
        return number - 1

    async def _form(self, request: Request) -> Mapping[str, list[str]]:
        """Read a form.

        :raises _RefusedFormError: it is none of these pages'.
        """
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST_FORM:
                raise _RefusedFormError("The form is too long.")
        form = parse_qs(body.decode("ascii", "replace"))
        if not _same(form.get("key", [""])[0], self._access.form_key):
            raise _RefusedFormError("Only the pages of this review can change it.")
        return form

    def _show(self, request: Request, at: int, problem: str = "") -> Response:
        values = pages.post_values(self._review, self._pace, at, self._classifier)
        status = _CONFLICT if problem else 200
        return self._page(request, "post.html", values, problem=problem, status=status)

    def _page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any],
        *,
        problem: str = "",
        status: int = 200,
        background: BackgroundTask | None = None,
    ) -> Response:
        message, self._message = self._message, ""
        content = pages.render(
            template,
            **values,
            nonce=request.state.nonce,
            key=self._access.form_key,
            message=message,
            problem=problem,
        )
        return HTMLResponse(content, status, background=background)


def _to(at: int) -> Response:
    return RedirectResponse(f"/post?at={at + 1}", _SEE_OTHER)


def _verdict(form: Mapping[str, list[str]]) -> Verdict:
    label = form.get("label", [""])[0]
    if label not in ("0", "1"):
        raise _RefusedFormError("The form has no label of 0 or 1.")
    targets = tuple(dict.fromkeys(form.get("targets", [])))
    return Verdict(int(label), form.get("kind", [""])[0], targets)


def _go(form: Mapping[str, list[str]]) -> str:
    go = form.get("go", ["open"])[0]
    if go not in _GOES:
        raise _RefusedFormError("The form does not say where to go on.")
    return go
