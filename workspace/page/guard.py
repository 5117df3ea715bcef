"""Restricts the page to the browser of the person who started it.

The page listens on loopback. Yet any site open in the same browser can send requests there: with a
form, a script, a WebSocket, or under a name of its own that it points to 127.0.0.1 (DNS
rebinding). So a request must name loopback as its host; a request from a page must come from this
page; and one that changes something must be JSON, which no form can send.
"""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from yarl import URL

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# No inline script or style, nothing from elsewhere, and no string interpreted as markup.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    hdrs.CACHE_CONTROL: "no-cache",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site's page sent."""
    if not _names_loopback(request.host):
        raise web.HTTPForbidden(text="This page answers to 127.0.0.1 and localhost only.")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != f"http://{request.host}":
        raise web.HTTPForbidden(text="This page takes requests from itself only.")
    if request.method == hdrs.METH_POST and request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Send JSON.")
    return await handler(request)


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the page's policy to every answer."""
    del request
    response.headers.update(_HEADERS)


def _names_loopback(host: str) -> bool:
    try:
        return URL(f"http://{host}").host in _LOOPBACK
    except ValueError:
        return False
