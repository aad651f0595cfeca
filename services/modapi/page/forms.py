"""The forms of the page: add and change servers by the admin API, retry and drop dead letters.

They change what is stored in Redis, never relay.toml.
"""

import hmac
from collections import Counter
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.modapi.admin import servers
from services.modapi.admin.authentication import token_of
from services.modapi.admin.context import AdminContext
from services.modapi.admin.dead_letters import retry
from services.modapi.admin.models import NewServer, Rotation
from services.modapi.page import server
from services.modapi.page.access import PageAccess, Reader, form_of, own_path
from services.modapi.page.pages import Pages
from services.modapi.page.rendering import page
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.messages import MAX_MESSAGE_CHARS, check_enabled, send_message
from services.relay.instances.once import Once
from services.relay.protocol.errors import InstanceConflict, NotCarriedOut, StoreError, in_our_words
from services.relay.protocol.records import DEAD_LETTER_ID
from services.relay.service.settings_values import slug_of


class Forms:
    """Carries out the forms."""

    def __init__(self, access: PageAccess, context: AdminContext, pages: Pages) -> None:
        self._access = access
        self._context = context
        self._pages = pages

    async def add(self, request: Request, reader: Reader) -> Response:
        """Adds a server and shows its page with the config of its mod. A repeat changes nothing."""
        form = await self._access.form(request, reader)
        fields = {name: form.get(name, "").strip() for name in ("name", "slug", "registration_token")}
        try:
            new = NewServer(
                name=fields["name"],
                slug=fields["slug"] or slug_of(fields["name"]),
                registration_token=fields["registration_token"] or None,  # type: ignore[arg-type]
            )
            made = await servers.create_server(new, _once_of(request, form), self._context)
        except ValidationError as error:
            return await self._pages.add_form(request, reader, 422, problem=_problem(error), fields=fields)
        except InstanceConflict as error:
            return await self._pages.add_form(request, reader, 409, problem=str(error), fields=fields)
        return await self._pages.server(
            request, reader, new.slug, config=made.mod_config, notice=server.ADDED
        )

    async def change(self, request: Request, reader: Reader) -> Response:
        """Disables or enables a server, replaces its mod key, shows its mod's config, or sends a message."""
        form = await self._access.form(request, reader)
        slug, verb = request.path_params["slug"], request.path_params["verb"]
        row = await self._context.fleet.row(slug)
        try:
            match verb:
                case "disable" | "enable":
                    await self._context.registry.patch(slug, disabled=verb == "disable")
                    return RedirectResponse(f"{own_path(form.get('next', ''))}?{verb}d={slug}", 303)
                case "rotate":
                    rotation, once = Rotation(force=bool(form.get("force"))), _once_of(request, form)
                    made = await servers.rotate_mod_key(slug, once, self._context, rotation)
                    return await self._pages.server(
                        request, reader, config=made.mod_config, notice=server.ROTATED
                    )
                case "config":
                    known = await servers.get_mod_config(row, request, self._context)
                    if not known.has_key:
                        raise HTTPException(404, "Only a hash of this key is kept. A new key can be made.")
                    return await self._pages.server(request, reader, config=known.mod_config)
                case "say":
                    check_enabled(row.definition)
                    return await self._say(slug, form.get("text", "").strip())
                case _:
                    raise HTTPException(404, "There is no such form.")
        except InstanceConflict as error:
            return await self._pages.server(request, reader, status=409, problem=str(error))

    async def dead_letters(self, request: Request, reader: Reader) -> Response:
        """Retries or drops one dead letter, or all of a server."""
        await self._access.form(request, reader)
        slug, id, verb = (request.path_params[name] for name in ("slug", "id", "verb"))
        if slug not in await self._context.fleet.rows() or not (id == "all" or DEAD_LETTER_ID.fullmatch(id)):
            raise HTTPException(404, "There is no such dead letter.")
        if verb not in ("retry", "drop"):
            raise HTTPException(404, "There is no such form.")
        letters = DeadLetters(self._context.store, slug)
        ids = await letters.all_ids() if id == "all" else [id]
        if verb == "drop":
            dropped = await letters.drop(*ids)
            outcomes = Counter(dropped=dropped, gone=len(ids) - dropped)
        else:
            retried = await retry(self._context, slug, ids)
            outcomes = Counter({outcome or "gone": count for outcome, count in retried.items()})
        return RedirectResponse(f"/instance/{slug}?{urlencode(+outcomes)}#dead-title", 303)

    async def login(self, request: Request) -> Response:
        """The form by which a session begins."""
        if self._access.is_open:
            return RedirectResponse("/", 303)
        return _login("", own_path(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        form = await form_of(request)
        next = own_path(form.get("next", ""))
        if self._access.log_in(request, form.get("token", "").strip()):
            return RedirectResponse(next, 303)
        if self._access.count_wrong_token(request):
            return _login("Too many wrong tokens from this address. Wait a minute.", next, 429)
        return _login("That is not the admin token.", next, 401)

    async def log_out(self, request: Request, reader: Reader) -> Response:
        await self._access.form(request, reader)
        request.session.clear()
        return RedirectResponse("/login", 303)

    async def _say(self, slug: str, text: str) -> Response:
        if not text or len(text) > MAX_MESSAGE_CHARS:
            raise HTTPException(422, f"A message has 1 to {MAX_MESSAGE_CHARS} characters.")
        most_waiting = self._context.settings.limits.open_commands
        try:
            sent = await send_message(self._context.store, slug, text, most_waiting)
        except NotCarriedOut:
            raise
        except StoreError as error:  # to load the answer again would send the message again
            unknown = "Whether the message was sent is not known: look at the last commands of the server."
            raise HTTPException(503, f"{error}. {unknown}") from error
        return RedirectResponse(f"/instance/{slug}?message={sent.state}", 303)


def _once_of(request: Request, form: dict[str, str]) -> Once | None:
    """Makes the same key if the same form is sent again: the word `once` is in no other."""
    sent = f"{request.url.path} {urlencode(form)}"
    return Once(hmac.digest(token_of(request).encode(), sent.encode(), "sha256")) if "once" in form else None


def _login(problem: str, next: str, status: int = 200) -> Response:
    """The login, after a refusal with its reason. It leads to the page `next`."""
    return page("login", "Log in", status=status, problem=problem, next=next)


def _problem(error: ValidationError) -> str:
    """The faults of the fields, without their values: they may be secrets."""
    return "; ".join(
        f"{str(problem['loc'][0]).replace('_', ' ')}: {in_our_words(problem['msg'])}"
        for problem in error.errors(include_input=False)
    )
