"""What every page has around it, and the login."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from services.modapi.page.markup import Html, html
from services.relay.instances.diagnosis import Problem

ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FOLDER = Path(__file__).with_name("assets")

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title id="title">{title}</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{style}">
<script type="module" src="{script}"></script>
</head>
<body{live}>
<a class="skip" href="#main">To the content</a>
<header class="top">
<a class="brand" href="/"><img src="{icon}" alt="" width="22" height="22"> dayz-relay</a>
<span id="link" class="link" role="status"></span>
{logout}
</header>
<main id="main">
<div id="notes">{notes}</div>
{body}
</main>
{footer}
</body>
</html>
"""

_LOGOUT = """\
<form method="post" action="/logout"><input type="hidden" name="key" value="{key}">\
<button class="quiet">Log out</button></form>"""

_LOGIN = """\
<form class="login" method="post" action="/login">
<h1>Log in</h1>
<p>With the <code>admin_token</code> that stands under <code>[modapi]</code> in relay.toml.</p>
{problem}
<input type="hidden" name="next" value="{next}">
<input class="user" type="text" name="user" value="admin" autocomplete="username" tabindex="-1" readonly
 aria-hidden="true">
<label for="token">Admin token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
"""


@cache
def asset(name: str) -> bytes:
    """One of ASSETS."""
    return (_FOLDER / name).read_bytes()


@cache
def address(name: str) -> str:
    """Where an asset is: another place for each version of it, so that browsers may keep it."""
    return f"/assets/{hashlib.sha256(asset(name)).hexdigest()[:12]}/{name}"


def title(name: str) -> Html:
    """What a browser calls the page."""
    return html("{name} · dayz-relay", name=name)


def notes(waits_for_restart: Sequence[str], complaint: str, fleet: Sequence[Problem] = ()) -> Html:
    """What concerns the relay as a whole: how relay.toml differs from the settings that are in force, and
    what may concern any of the servers."""
    told = []
    if complaint:
        told.append(
            html(
                "relay.toml has a mistake, the settings from before are in force: {complaint}",
                complaint=complaint,
            )
        )
    if waits_for_restart:
        told.append(
            html(
                "relay.toml was changed. Restart the relay, so that this takes effect: {keys}",
                keys=", ".join(waits_for_restart),
            )
        )
    told += [html("{what}: {fix}", what=problem.what, fix=problem.fix) for problem in fleet]
    return html("{told}", told=[html('<p class="problem" role="status">{one}</p>', one=one) for one in told])


def page(
    name: str,
    body: Html,
    *,
    live: str = "",
    form_key: str = "",
    footer: str = "",
    notes: Html | None = None,
) -> bytes:
    """A whole page. `live`: where its news come from; `form_key` lets its reader log out."""
    return html(
        _PAGE,
        title=title(name),
        body=body,
        notes=notes,
        footer=html("<footer>{footer}</footer>", footer=footer) if footer else None,
        live=html(' data-live="{live}"', live=live) if live else None,
        logout=html(_LOGOUT, key=form_key) if form_key else None,
        icon=address("icon.svg"),
        style=address("page.css"),
        script=address("page.js"),
    ).encode()


def login(problem: str = "", next: str = "/") -> bytes:
    shown = html('<p class="problem" role="alert">{problem}</p>', problem=problem) if problem else None
    return page("Log in", html(_LOGIN, problem=shown, next=next))


def refusal(title: str, text: str) -> bytes:
    """Why there is nothing to see."""
    body = '<h1>{title}</h1><p>{text}</p><p><a href="/">all servers</a></p>'
    return page(title, html(body, title=title, text=text))
