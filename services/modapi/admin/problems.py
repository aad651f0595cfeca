"""The errors of the admin API: `application/problem+json` (RFC 9457), with a `code` for programs."""

import json
from enum import StrEnum, unique
from http import HTTPStatus
from typing import Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from services.relay.protocol.errors import (
    IdempotencyConflict,
    InstanceConflict,
    NoSuchInstance,
    RotationUnderWay,
    StoreError,
    in_our_words,
)
from services.relay.service.logs import clean

MEDIA_TYPE = "application/problem+json"

_NEW_WORD = "send a new call with an Idempotency-Key of its own"


@unique
class ErrorCode(StrEnum):
    """What went wrong. A code keeps its meaning; new ones may come."""

    status: int  # HTTP status of the answer
    fix: str  # what the caller can do

    def __new__(cls, code: str, status: int, fix: str) -> "ErrorCode":
        made = str.__new__(cls, code)
        made._value_, made.status, made.fix = code, status, fix
        return made

    NO_TOKEN = (
        "no_token",
        401,
        "set `admin_token` under `[modapi]`, or use the local token of `dayz-relay up` to make one",
    )
    WRONG_TOKEN = "wrong_token", 401, "send a known token as `Authorization: Bearer <token>`"
    READ_ONLY_TOKEN = "read_only_token", 403, "use a token with the role `full`"
    NOT_FOUND = "not_found", 404, "compare the path with /api/v1/openapi.json"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "compare the method with /api/v1/openapi.json"
    SERVER_NOT_FOUND = "server_not_found", 404, "`GET /servers` lists the slugs"
    TOKEN_NOT_FOUND = "token_not_found", 404, "`GET /tokens` lists the names"
    DEAD_LETTER_NOT_FOUND = (
        "dead_letter_not_found",
        404,
        "it was retried or dropped: list the dead letters again",
    )
    CONFLICT = "conflict", 409, "do what `detail` says: the change contradicts what is there"
    ROTATION_UNDER_WAY = (
        "rotation_under_way",
        409,
        "wait until the key before has ended, or send `force`: that key ends at once then",
    )
    IDEMPOTENCY_CONFLICT = "idempotency_conflict", 409, _NEW_WORD
    CALL_UNDER_WAY = "call_under_way", 409, "send the same call again in a moment"
    OUTCOME_UNKNOWN = "outcome_unknown", 409, f"look at the server; if it is needed, {_NEW_WORD}"
    TOO_LARGE = "too_large", 413, "send less"
    TOO_MANY_STREAMS = "too_many_streams", 503, "close streams that nobody reads, or follow fewer servers"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", 415, "send JSON with `Content-Type: application/json`"
    UNREADABLE_JSON = "unreadable_json", 400, "mend the JSON where `detail` says"
    INVALID = "invalid", 422, "mend the values in `errors`"
    STORE_AWAY = "store_away", 503, "send it again in a moment; `dayz-relay doctor` says what Redis lacks"
    READ_TOO_LATE = "read_too_late", 503, "send it again"
    FAULT = "fault", 500, "report it with what the log of modapi says; look whether the call was carried out"


RAISED: dict[type[Exception], ErrorCode] = {
    NoSuchInstance: ErrorCode.SERVER_NOT_FOUND,
    RotationUnderWay: ErrorCode.ROTATION_UNDER_WAY,
    IdempotencyConflict: ErrorCode.IDEMPOTENCY_CONFLICT,
    InstanceConflict: ErrorCode.CONFLICT,
    StoreError: ErrorCode.STORE_AWAY,
}
"""The errors that calls may raise; of two that fit, the first counts."""


class FieldError(BaseModel):
    """The fault of one value in the body or query of a call."""

    place: str = Field(description="where the value stands, as `overlap_s`", examples=["slug"])
    text: str = Field(examples=["must be 1 to 63 of a-z, 0-9 and -, and start with a letter or digit"])


class ApiProblem(BaseModel):
    """Why a call was not carried out (RFC 9457)."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="the name of the status", examples=["Not Found"])
    status: int = Field(examples=[404])
    code: ErrorCode = Field(description="the reason, for programs")
    detail: str = Field(description="the reason, for people", examples=["there is no server livonia"])
    fix: str = Field(
        description="what to do about errors with this code", examples=["`GET /servers` lists the slugs"]
    )
    errors: list[FieldError] = Field(default=[], description="for `invalid`: each wrong value")


class ApiError(Exception):
    """A call is not carried out. `detail` says why, and what to do."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def code_of(error: Exception) -> ErrorCode:
    """The code of an ApiError, or of one in RAISED."""
    if isinstance(error, ApiError):
        return error.code
    return next(code for kind, code in RAISED.items() if isinstance(error, kind))


def response(code: ErrorCode, detail: str, errors: list[FieldError] | None = None) -> JSONResponse:
    """The answer for an error. `detail` may hold what was sent, so control characters are taken out."""
    status = HTTPStatus(code.status)
    problem = ApiProblem(
        title=status.phrase, status=status, code=code, detail=clean(detail), fix=code.fix, errors=errors or []
    )
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    body = problem.model_dump(mode="json", exclude=set() if errors else {"errors"})
    return JSONResponse(body, status, headers, MEDIA_TYPE)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return response(code_of(error), str(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == ErrorCode.UNREADABLE_JSON.status:  # what FastAPI says of a body without a place
        what = "the body is no JSON: it has to be in UTF-8, and not as deeply nested"
        return response(ErrorCode.UNREADABLE_JSON, what)
    wrong_method = error.status_code == ErrorCode.METHOD_NOT_ALLOWED.status
    code = ErrorCode.METHOD_NOT_ALLOWED if wrong_method else ErrorCode.NOT_FOUND
    answer = response(code, "there is no such call: /api/v1/openapi.json describes all")
    if wrong_method:  # Starlette names the methods of one route alone
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        calls = request.app.openapi()["paths"].items()
        methods = {method.upper() for one, of in calls if compile_path(one)[0].match(path) for method in of}
        answer.headers["allow"] = ", ".join(sorted(methods or {"GET"}))  # or the description itself
    return answer


async def _fault(_: Request, __: Exception) -> JSONResponse:
    """The answer to a fault of ours. It is logged by the server, to which Starlette passes it on."""
    return response(ErrorCode.FAULT, "a fault of the relay: its log says more")


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found and found[0]["type"] == "json_invalid":
        at, what = found[0]["loc"][-1], found[0]["ctx"]["error"]
        place = json.JSONDecodeError("", str(error.body or ""), at if isinstance(at, int) else 0)
        what = f"the body is no JSON: {what} in line {place.lineno}, column {place.colno}"
        return response(ErrorCode.UNREADABLE_JSON, what)
    errors = wrong_values(error)
    return response(ErrorCode.INVALID, in_words(errors), errors)


HANDLERS: dict[Any, Any] = {
    **dict.fromkeys((ApiError, *RAISED), _refused),
    HTTPException: _http_error,
    RequestValidationError: _invalid,
    Exception: _fault,
}


def wrong_values(error: RequestValidationError) -> list[FieldError]:
    """The fault of each value, named once. The values are left out: they may hold a secret."""
    found: dict[tuple[str, str], FieldError] = {}
    for one in error.errors():
        where, text = one["loc"], in_our_words(one["msg"])
        # Without the types that pydantic tried, as `str-enum[State]`.
        place = ".".join(str(part) for part in where[1:] if "[" not in str(part)) or str(where[0])
        found[place, text] = FieldError(place=place, text=text)
    return list(found.values())


def in_words(errors: list[FieldError]) -> str:
    return "; ".join(f"{one.place}: {one.text}" for one in errors)
