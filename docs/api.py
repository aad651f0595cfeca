"""docs/api.md: every call and object of the admin API, from its OpenAPI description."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from services.modapi.admin.api import make_api
from services.modapi.admin.context import AdminContext
from services.modapi.admin.problems import ErrorCode
from services.modapi.admin.streams import MEDIA_TYPE as STREAM
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.directory import Directory
from services.relay.service.settings import Settings
from services.relay.store.client import Store

PAGE = Path(__file__).parent / "api.md"

HEAD = """\
# The admin API

`make docs` writes this page from the API's own description, which a running relay shows at
`/api/v1/openapi.json` (OpenAPI 3.1): generate a client from that. All paths here follow `/api/v1` on the
admin port of `modapi`. [My panel](panel.md) has examples.

Each call needs a token as `Authorization: Bearer …`: `admin_token` of `[modapi]`, or one that `create_token`
has made. `dayz-relay up` makes another one at each start, the local token, in the file `admin-token` of its
data folder, which only its user may read. Bodies are JSON with `Content-Type: application/json`. What a call
takes after `?` is named with what it means; all of it may be left out. Each answer has the version of the
relay as `X-Dayz-Relay`.

## Repeats

Each `POST` takes an `Idempotency-Key`: any word of 1 to 255 visible ASCII characters that is new for each
call. A repeat with the same word, body and token, at any modapi, gets the first answer for a day, and the
call is carried out once. The last 10,000 calls are remembered. A refused call leaves its word free.

`create_server`, `rotate_mod_key` and `create_token` make a secret, which is not stored. Their repeat makes
the same one, and shows the server as it is now. What is there no more is not made again.

| the first call | a repeat |
|---|---|
| was answered | the same answer |
| made something that is there no more | `idempotency_conflict` |
| runs | `call_under_way` |
| was cut short by the end of modapi | `outcome_unknown`; those three are carried out now |
| had another body | `idempotency_conflict` |

## Streams

`GET /stream`, and `/servers/{slug}/events` and `/commands` with `Accept: text/event-stream`, answer with
server-sent events: `id`, `event` and `data`, which is one of the objects below.

| `event` | `data` |
|---|---|
| `server` | [Server](#server), when anything in it has changed but a clock |
| `removed` | the `slug` of a server that is gone |
| `event`, `command` | [ServerEvent](#serverevent), [ServerCommand](#servercommand), and the `slug` |
| `reset` | nothing. The place in `Last-Event-ID` is not known: forget everything, all follows |

- `/stream` begins with what changes from now on. With `Last-Event-ID: 0` it begins with `reset` and all
  servers.
- `Last-Event-ID` goes on behind a message. In the streams of one server that works at any modapi, without a
  repeat, and without a gap while not more than 50 events (and 50 commands) have ended meanwhile; of more the
  oldest are left out. The place in `/stream` is known to one modapi while it runs; elsewhere `reset` comes.
- A comment comes at least each 15 s. A stream ends with its token, with modapi, and when its reader does not
  read for 20 s or is 1,000 entries (or 1 MiB) behind.
- A modapi has at most 200 streams, and watches events and commands of at most 100 servers.
"""

ERRORS = """\
## Errors

`application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail` and `fix` for people,
and `code` for programs. A code keeps its meaning.

| code | status | what to do |
|---|---|---|
"""


async def description() -> dict[str, Any]:
    """The OpenAPI description, without a running relay."""
    settings, store = Settings(), Store("redis://localhost", opened=False)
    directory = Directory(settings, None, {}, store, lambda _: None)
    return make_api(AdminContext(directory, store, settings, ModapiMetrics(CollectorRegistry()))).openapi()


def page() -> str:
    """The whole page."""
    api = asyncio.run(description())
    return "".join([HEAD, *_calls(api), *_objects(api), ERRORS, *_errors()])


def _calls(api: dict[str, Any]) -> Iterator[str]:
    for tag in api["tags"]:
        yield f"\n## {tag['name'].capitalize()}\n\n{tag['description']}\n\n"
        yield "| call | operation | takes | gives | what it does |\n|---|---|---|---|---|\n"
        for path, verbs in api["paths"].items():
            for verb, call in verbs.items():
                if call["tags"] == [tag["name"]]:
                    cells = f"`{verb.upper()} {path}`", f"`{call['operationId']}`", *_takes_and_gives(call)
                    yield f"| {' | '.join(cells)} | {' '.join(call['description'].split())} |\n"


def _takes_and_gives(call: dict[str, Any]) -> tuple[str, str]:
    body = _name(call.get("requestBody"))
    query = [_query(one) for one in call.get("parameters", []) if one["in"] == "query"]
    answer = next(answer for status, answer in call["responses"].items() if status[0] == "2")
    return "<br>".join(filter(None, [body, *query])), _name(answer)


def _query(parameter: dict[str, Any]) -> str:
    return f"`{parameter['name']}`: {_meaning(parameter['schema'])}"


def _meaning(schema: dict[str, Any]) -> str:
    told = [schema.get("description", "")]
    if "maximum" in schema:
        told.append(f"{schema['minimum']:,.0f} to {schema['maximum']:,.0f}")
    if "maxLength" in schema and schema.get("minLength"):
        told.append(f"{schema['minLength']} to {schema['maxLength']} characters")
    if schema.get("default"):
        told.append(f"without it {schema['default']}")
    return ", ".join(filter(None, told)).replace("|", "\\|")


def _objects(api: dict[str, Any]) -> Iterator[str]:
    yield "\n## Objects\n"
    for name, schema in sorted(api["components"]["schemas"].items()):
        text = " ".join(schema.get("description", "").split())
        if "enum" in schema:
            values = ", ".join(f"`{value}`" for value in schema["enum"])
            yield f"\n### {name}\n\n{text}\n\nOne of {values}.\n"
        elif name not in ("HTTPValidationError", "ValidationError"):
            required = schema.get("required", [])
            yield f"\n### {name}\n\n{text}\n\n| field | type | meaning |\n|---|---|---|\n"
            for field, about in schema.get("properties", {}).items():
                mark = "" if field in required else " (may be left out)"
                yield f"| `{field}` | {_type(about)}{mark} | {_meaning(about)} |\n"
    yield "\n"


def _errors() -> Iterator[str]:
    for code in ErrorCode:
        yield f"| `{code}` | {code.status} | {code.fix} |\n"


def _name(part: dict[str, Any] | None) -> str:
    """The object in a body or an answer."""
    contents = (part or {}).get("content", {})
    shapes = [_type(content["schema"]) for kind, content in contents.items() if kind != STREAM]
    return " or ".join([*shapes, *(["a stream"] if STREAM in contents else [])])


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", "anything"))
