r"""Open the page: draw or take a mask, write a report, generate, compare, take the result home.

    medsyn2 page
    medsyn2 page --model results/train_dit/model

Without --model it is the small model that ships with medsyn2. The command prints a link that works once, opens it in
the browser, and serves until Ctrl-C. Everything stays on this machine: the server listens to it alone, loads nothing
from another host, and keeps its files where only their owner can read them. The session is kept; the next start goes
on with it.

On a machine without a browser of its own, forward the port and open the link on yours:

    ssh -C -L 8000:localhost:8000 MACHINE

Needs the extra packages: pip install 'medsyn2[page]'. What it makes is synthetic and not for clinical use.
"""

import argparse
import logging
import os
import platform
import sys
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from medsyn2.errors import EnvironmentFault
from medsyn2.weights.bundled import choose_model

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PACKAGES = ("starlette", "uvicorn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of a trained model (default: the small one that ships)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; any but this machine's own lets others on the network try, without encryption "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port, 0 for any that is free (default: %(default)s)"
    )
    parser.add_argument(
        "--session", type=Path, metavar="DIR", help="folder of the session (default: medsyn2/page in XDG_STATE_HOME)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the link only")


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until a signal."""
    require_packages()
    from medsyn2.server.app import build_app
    from medsyn2.server.child import UMASK
    from medsyn2.server.security import Access, is_loopback
    from medsyn2.server.serving import listen, serve
    from medsyn2.server.session import Session

    os.umask(UMASK)
    session = Session((arguments.session or default_session()).absolute())
    with session.hold(), listen(arguments.host, arguments.port) as listener:
        access = Access(names_of(arguments.host), listener.getsockname()[1])
        app = build_app(session, choose_model(arguments.model).absolute(), access)
        link = f"http://{url_host(arguments.host)}:{access.port}{access.path}"
        if not is_loopback(listener.getsockname()[0]):
            log.warning("%s can be reached from the network, without encryption; the link is the key", arguments.host)

        def announce() -> None:
            sys.stdout.write(f"Open this link; it works once:\n\n    {link}\n\nCtrl-C ends the server.\n")
            sys.stdout.flush()
            if not arguments.no_browser and has_display():
                threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()

        serve(app, listener, announce)


def require_packages() -> None:
    """Refuse to begin without the packages of the server.

    Raises:
        EnvironmentFault: If one is not installed.
    """
    lacking = [name for name in _PACKAGES if find_spec(name) is None]
    if lacking:
        raise EnvironmentFault(
            f"expected the packages of the page's server, got none of {' and '.join(lacking)}.",
            code="page-packages",
            remedy="install them: pip install 'medsyn2[page]'.",
        )


def has_display() -> bool:
    """Return whether a browser with windows can open; one in the terminal would take it from the server."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def default_session() -> Path:
    """Return the folder of the session of this user."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "medsyn2" / "page"


def names_of(host: str) -> tuple[str, ...]:
    """Return the names by which a browser may call the server."""
    if host in LOOPBACK:
        return LOOPBACK
    if host in ("0.0.0.0", "::", ""):
        return (*LOOPBACK, platform.node())
    return (host,)


def url_host(host: str) -> str:
    """Return the host of the link."""
    name = platform.node() if host in ("0.0.0.0", "::", "") else host
    return f"[{name}]" if ":" in name else name
