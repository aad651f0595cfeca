"""The forms of the page: add and change servers by the admin API, retry and drop dead letters."""

import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.modapi.admin.models import NewServer, Rotation, ServerChange
from services.modapi.admin.servers import ServerCalls
from services.modapi.dead_letter_retry import retry_each
from services.modapi.events import EventIntake
from services.modapi.page import server
from services.modapi.page.access import PageAccess, Reader, own_path
from services.modapi.page.live import LivePages
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.messages import MAX_MESSAGE_CHARS, check_enabled, send_message
from services.relay.protocol.errors import InstanceConflict
from services.relay.service.settings import Settings
from services.relay.service.settings_values import slug_of
from services.relay.store.client import Store

ID = re.compile(r"\d{1,15}-\d{1,10}")


ShowPage = Callable[..., Awaitable[Response]]
"""Renders a page of `routes.py` for a request and a reader, with the outcome of a form on it."""


class Forms:
    """Carries out the forms. They change what is stored in Redis, never relay.toml."""

    def __init__(
        self,
        access: PageAccess,
        live: LivePages,
        calls: ServerCalls,
        store: Store,
        settings: Settings,
        intake_of: Callable[[str], EventIntake],
    ) -> None:
        self._access = access
        self._live = live
        self._calls = calls
        self._store = store
        self._settings = settings
        self._intake_of = intake_of

    async def add(self, request: Request, reader: Reader, show_form: ShowPage, show: ShowPage) -> Response:
        """Adds a server and shows its page with the config of its mod. A repeat changes nothing."""
        form = await self._access.form(request, reader)
        fields = {name: form.get(name, "").strip() for name in ("name", "slug", "registration_token")}
        try:
            new = NewServer(
                name=fields["name"],
                slug=fields["slug"] or slug_of(fields["name"]),
                registration_token=fields["registration_token"] or None,  # type: ignore[arg-type]
            )
            created = await self._calls.create_server(new, request, form.get("once") or None)
        except ValidationError as error:
            return await show_form(request, reader, problem=_problem(error), fields=fields, status=422)
        except InstanceConflict as error:
            return await show_form(request, reader, problem=str(error), fields=fields, status=409)
        return await show(request, reader, slug=new.slug, config=created.mod_config, notice=server.ADDED)

    async def change(self, request: Request, reader: Reader, show: ShowPage) -> Response:
        """Disables or enables a server, replaces its mod key, shows its mod's config, or sends a message."""
        form = await self._access.form(request, reader)
        slug, verb = request.path_params["slug"], request.path_params["verb"]
        if verb not in ("disable", "enable", "rotate", "config", "say"):
            raise HTTPException(404, "There is no such form.")
        row = await self._live.fleet_view.row(slug)
        try:
            if verb in ("disable", "enable"):
                await self._calls.change_server(slug, ServerChange(disabled=verb == "disable"))
                return RedirectResponse(f"{own_path(form.get('next', ''))}?{verb}d={slug}", 303)
            if verb == "rotate":
                rotation = Rotation(force=bool(form.get("force")))
                rotated = await self._calls.rotate_mod_key(slug, request, rotation, form.get("once") or None)
                config = rotated.mod_config
                return await show(request, reader, slug=slug, config=config, notice=server.ROTATED)
            if verb == "say":
                check_enabled(row.entry)
        except InstanceConflict as error:
            return await show(request, reader, slug=slug, problem=str(error), status=409)
        if verb == "config":
            known = await self._calls.get_mod_config(slug, request)
            if not known.has_key:
                raise HTTPException(404, "Only a hash of this key is kept. A new key can be made.")
            return await show(request, reader, slug=slug, config=known.mod_config)
        return await self._say(slug, form.get("text", "").strip())

    async def dead_letters(self, request: Request, reader: Reader) -> Response:
        """Retries or drops one dead letter, or all of a server."""
        await self._access.form(request, reader)
        slug, id, verb = (request.path_params[name] for name in ("slug", "id", "verb"))
        if slug not in await self._live.fleet_view.rows() or not (id == "all" or ID.fullmatch(id)):
            raise HTTPException(404, "There is no such dead letter.")
        if verb not in ("retry", "drop"):
            raise HTTPException(404, "There is no such form.")
        letters = DeadLetters(self._store, slug)
        ids = await letters.all_ids() if id == "all" else [id]
        if verb == "drop":
            dropped = await letters.drop(*ids)
            outcomes = Counter(dropped=dropped, gone=len(ids) - dropped)
        else:
            results = await retry_each(letters, self._intake_of(slug), ids)
            outcomes = Counter({result.name.lower(): count for result, count in results.items()})
        return RedirectResponse(f"/instance/{slug}?{urlencode(+outcomes)}#dead-title", 303)

    async def _say(self, slug: str, text: str) -> Response:
        if not text or len(text) > MAX_MESSAGE_CHARS:
            raise HTTPException(422, f"A message has 1 to {MAX_MESSAGE_CHARS} characters.")
        sent = await send_message(self._store, slug, text, self._settings.limits.open_commands)
        return RedirectResponse(f"/instance/{slug}?message={sent.state}", 303)


def new_once() -> str:
    """The word by which a form that is sent twice is recognised."""
    return secrets.token_urlsafe(16)


def _problem(error: ValidationError) -> str:
    """What is wrong with the fields, without what was typed: it may be a secret."""
    return "; ".join(
        f"{str(problem['loc'][0]).replace('_', ' ')}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_input=False)
    )
