"""Who may ask: this page in the browser of the person who started the server, and nobody else on the machine.

A page of another site can send requests to a server on this machine, and every user of the machine can connect to it.
So each request passes these checks before any other code sees it:

- its ``Host`` is an address of this server with its port, which a name that was rebound to this machine is not;
- the browser says that the page itself sent it (``Sec-Fetch-Site``, or else ``Origin``): neither another site nor
  another server on this machine, which is of the same site and gets the same cookies;
- it has the cookie that the printed link gave, once. The cookie is unreadable for scripts and strict.

Answers allow no other source of anything, are not kept by the browser and say nothing of the server. Text of reports
cannot become markup: browsers that know trusted types refuse it.

Source: W3C, "Fetch Metadata Request Headers", section 2; OWASP, "Cross-Site Request Forgery Prevention Cheat Sheet".
"""

import hmac
import secrets
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

_SAFE = frozenset({"GET", "HEAD"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer."""
_NO_COOKIE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>MedSyn2</title>
<h1>This page opens by its link</h1>
<p>Open the link that <code>medsyn2 page</code> printed in its terminal. It works once, in one browser.
If it was used, or the server was started again, end the server with Ctrl-C and start it: it prints a new link, and the
session is still there.</p>
</html>
"""


def is_loopback(address: str) -> bool:
    """Return whether an address is this machine's own, so that no other reaches it, or comes from it."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


class Access:
    """The addresses and the secrets of a server.

    Args:
        hosts: Names and addresses by which it may be called.
    """

    def __init__(self, hosts: Iterable[str], port: int) -> None:
        self.port = port
        self.authorities = frozenset(f"{_bracket(host)}:{port}".lower() for host in hosts)
        self.cookie = f"medsyn2-{port}"
        self._token: str | None = secrets.token_urlsafe(32)
        self._secret = secrets.token_urlsafe(32)

    @property
    def path(self) -> str:
        """The path of the link that opens the page, which works once."""
        return f"/?token={self._token}"

    def take_token(self, given: str) -> bool:
        """Return whether a token is the printed one, and forget it if so."""
        if self._token is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            return False
        self._token = None
        return True

    def knows(self, cookie_header: str) -> bool:
        """Return whether a request's cookies hold the secret."""
        given = cookie_parser(cookie_header).get(self.cookie, "")
        return hmac.compare_digest(given.encode(), self._secret.encode())

    def admit(self) -> Response:
        """Return the answer to the link: the cookie, and the way to the page without the token."""
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.cookie, self._secret, httponly=True, samesite="strict", path="/")
        return answer


class Guard:
    """Passes the requests that may be answered to the application, and adds `HEADERS` to the answers."""

    def __init__(self, app: Starlette, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._refusal(scope)
            await (self.app if answer is None else answer)(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if [one.lower() for one in headers.getlist("host")] not in [[one] for one in self.access.authorities]:
            return _refuse("host-unknown", "the request names another host than this server.", 403)
        is_link = scope["path"] == "/" and scope["method"] in _SAFE
        if not _is_own(headers, scope["method"], is_link=is_link):
            return _refuse("cross-site", "the request comes from another site or server.", 403)
        if is_link and self.access.take_token(_token(scope)):
            return self.access.admit()
        if self.access.knows(headers.get("cookie", "")):
            return None
        if is_link:
            return HTMLResponse(_NO_COOKIE, 403)
        return _refuse("cookie-missing", "the request has no cookie of this server.", 403)


def _is_own(headers: Headers, method: str, *, is_link: bool) -> bool:
    """Return whether the page itself sent a request, or a person opened it."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if origin is not None and origin.lower() != f"http://{headers['host'].lower()}":
        return False
    if site is None:
        return True  # an old browser, which sends the origin with all that changes something; or none
    if is_link and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document":
        return True  # a link that somebody clicked: it carries no strict cookie, and reads nothing
    return site == "same-origin" or (site == "none" and method in _SAFE)


def _token(scope: Scope) -> str:
    return QueryParams(scope["query_string"]).get("token", "")


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse(code: str, message: str, status: int) -> Response:
    remedy = "open the link that `medsyn2 page` printed in its terminal."
    return JSONResponse({"code": code, "message": message, "remedy": remedy}, status)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                found[name] = value
        await send(message)

    return send_with_headers
