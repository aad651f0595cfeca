"""The tokens of the admin API: `admin_token` of [modapi], the local token of `up`, and those it has made.

The first two may do everything. The others are in Redis, so every modapi knows them at once and no restart is
needed; only their digests are stored.
"""

import hmac
import secrets
import time
from datetime import UTC, datetime

from pydantic import BaseModel, SecretStr

from services.modapi.admin.models import CreatedToken, Role, TokenInfo
from services.modapi.admin.problems import ApiError, ErrorCode
from services.relay.instances.once import Once
from services.relay.instances.records import digest_of
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import ADMIN_TOKENS
from services.relay.store.client import Script, Store, pairs

FRESH_S = 2.0  # how long a token that was deleted may still work at another modapi
UNKNOWN_FRESH_S = 0.1  # time between two looks for unknown tokens, so that a flood of wrong ones costs little

TOKEN_BYTES = 32
MAX_TOKENS = 100

_DELETE = Script("delete_token", drains=True)
_NO_TOKEN = (
    "the admin API has no token yet: set admin_token (or admin_token_file) under [modapi] in relay.toml,"
    " or RELAY_MODAPI__ADMIN_TOKEN, and restart modapi"
)
_WRONG_TOKEN = (
    "unknown token: send the admin_token of [modapi], or a token that create_token has made, in"
    " the header `Authorization`, after `Bearer`"
)


class _Stored(BaseModel):
    digest: str
    role: Role
    created: datetime


class AdminTokens:
    """Which token may do what. `configured` is `admin_token`, `local` the local token of `up`."""

    def __init__(self, store: Store, configured: SecretStr | None, local: str = "") -> None:
        self._store = store
        full = (configured.get_secret_value() if configured else "", local)
        self._full = [digest_of(token) for token in full if token]
        self._stored: dict[str, _Stored] = {}
        self._read_s = float("-inf")

    async def check(self, token: str, method: str) -> Role:
        """What `token` may do. Raises ApiError if it may make no call with this method; StoreError."""
        role = await self.role(token)
        if role is None:
            if self._full or self._stored:
                raise ApiError(ErrorCode.WRONG_TOKEN, _WRONG_TOKEN)
            raise ApiError(ErrorCode.NO_TOKEN, _NO_TOKEN)
        if role is Role.READ and method not in ("GET", "HEAD"):
            raise ApiError(ErrorCode.READ_ONLY_TOKEN, "this token may only read")
        return role

    async def role(self, token: str) -> Role | None:
        """What `token` may do; None: it is unknown. Raises StoreError if that cannot be found out."""
        digest = digest_of(token)
        if any([hmac.compare_digest(digest, full) for full in self._full]):
            return Role.FULL
        known = digest in {one.digest for one in self._stored.values()}
        if time.monotonic() - self._read_s > (FRESH_S if known else UNKNOWN_FRESH_S):
            try:
                await self._read()
            except StoreError:
                if not known:
                    raise
        return next((one.role for one in self._stored.values() if one.digest == digest), None)

    async def all(self) -> list[TokenInfo]:
        """Those in Redis, by name. Raises StoreError."""
        await self._read()
        return [TokenInfo(name=name, **dict(one)) for name, one in sorted(self._stored.items())]

    async def create(self, name: str, role: Role, once: Once | None = None) -> CreatedToken:
        """Makes a token. With `once`, a repeat makes the same one.

        Raises ApiError if the name is taken or there are too many, IdempotencyConflict if the token that the
        first call made was deleted, StoreError.
        """
        token = once.secret("admin token", name) if once else secrets.token_urlsafe(TOKEN_BYTES)
        created = datetime.now(UTC).replace(microsecond=0)
        new = _Stored(digest=digest_of(token), role=role, created=created)
        await self._read()
        if new.digest not in {one.digest for one in self._stored.values()}:
            if once:
                once.refuse_if_done()
            if len(self._stored) >= MAX_TOKENS:
                raise ApiError(ErrorCode.CONFLICT, f"there are {MAX_TOKENS} tokens already: delete one first")
            await self._store.send("HSETNX", ADMIN_TOKENS, name, new.model_dump_json())
            await self._read()
        stored = self._stored.get(name)
        if stored is None or stored.digest != new.digest:
            raise ApiError(ErrorCode.CONFLICT, f"there is a token {name} already: delete it first")
        return CreatedToken(name=name, **dict(stored), token=token)

    async def delete(self, name: str) -> None:
        """Raises ApiError if there is no such token; StoreError."""
        # Durable: a failover must not bring it back. It is deleted also while a replica is missing.
        if not await self._store.run(_DELETE, (ADMIN_TOKENS,), name, durable=True):
            raise ApiError(ErrorCode.TOKEN_NOT_FOUND, f"there is no token {name}")
        self._read_s = float("-inf")

    async def _read(self) -> None:
        found = await self._store.send("HGETALL", ADMIN_TOKENS)
        self._stored = {name.decode(): _Stored.model_validate_json(text) for name, text in pairs(found)}
        self._read_s = time.monotonic()
