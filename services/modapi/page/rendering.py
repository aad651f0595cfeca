"""Renders the templates. They escape every value: most of what the page shows was written by players."""

import hashlib
import re
import secrets
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from services.modapi.admin.models import utc
from services.modapi.page import figures
from services.modapi.page.access import Reader
from services.relay.instances.mod_config import mod_config, mod_url
from services.relay.protocol.ends import STATE_WORDS
from services.relay.protocol.link_states import link_word
from services.relay.service.durations import span
from services.relay.service.http.addresses import is_every_address

ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
VERSION = version("dayz-relay")

_FOLDER = Path(__file__).parent

# Characters that turn the text around them, hide in it or end a line. The page shows their codes instead.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


Fragments = dict[str, Markup]  # parts of a page by the id of the element that they fill


def render(template: str, **values: Any) -> Markup:
    """The template `<template>.html` with these values."""
    return Markup(ENVIRONMENT.get_template(f"{template}.html").render(values))


def page(
    template: str,
    title: str,
    fragments: Fragments | None = None,
    reader: Reader | None = None,
    status: int = 200,
    **values: Any,
) -> Response:
    """A whole page; with a reader, its forms have the reader's key. `live` is the address of its changes."""
    if reader:
        values |= {"form_key": reader.form_key, "logged_in": reader.logged_in}
    shown = render(template, title=title, fragments=fragments or {"notes": Markup()}, **values)
    return Response(shown, status, media_type="text/html")


@cache
def asset(name: str) -> bytes:
    """The content of one of ASSETS."""
    return (_FOLDER / "assets" / name).read_bytes()


@cache
def asset_url(name: str) -> str:
    """The address of an asset. It changes with the content, so browsers may keep the asset for ever."""
    return f"/assets/{hashlib.sha256(asset(name)).hexdigest()[:12]}/{name}"


def _visible(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return "" if value is None else _UNSEEN.sub(_code, str(value))


def _code(unseen: re.Match[str]) -> str:
    code = ord(unseen[0])
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"


ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    auto_reload=False,
    undefined=StrictUndefined,
    finalize=_visible,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals |= {"asset_url": asset_url, "live": "", "logged_in": False, "about": None}
ENVIRONMENT.globals |= {"link_heights": figures.LINK_HEIGHTS, "causes": figures.CAUSES}
ENVIRONMENT.globals |= {"mod_config": mod_config, "mod_url": mod_url}
# The word by which a form that is sent twice is recognised.
ENVIRONMENT.globals["new_once"] = partial(secrets.token_urlsafe, 16)
ENVIRONMENT.filters |= {
    "readable": lambda raw: raw.decode("utf-8", "backslashreplace"),
    "state_words": lambda state: STATE_WORDS.get(state, state),
    "whole": lambda number: f"{number:.0f}" if isinstance(number, int | float) else "?",
}
ENVIRONMENT.filters |= {
    function.__name__: function
    for function in (
        *(figures.ago, figures.counted, figures.duration, figures.polls, figures.thousands),
        *(figures.day_in_words, figures.nice, is_every_address, link_word, span, utc),
    )
}
