"""The errors of the admin API: `application/problem+json` (RFC 9457), with a `code` for programs."""

from enum import StrEnum, unique
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.relay.protocol.errors import (
    IdempotencyConflict,
    InstanceConflict,
    NoSuchInstance,
    RotationUnderWay,
    StoreError,
)
from services.relay.service.logs import clean

MEDIA_TYPE = "application/problem+json"


@unique
class ErrorCode(StrEnum):
    """What went wrong. A code keeps its meaning; new ones may come."""

    NO_TOKEN = "no_token"
    WRONG_TOKEN = "wrong_token"
    READ_ONLY_TOKEN = "read_only_token"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    SERVER_NOT_FOUND = "server_not_found"
    TOKEN_NOT_FOUND = "token_not_found"
    DEAD_LETTER_NOT_FOUND = "dead_letter_not_found"
    CONFLICT = "conflict"
    ROTATION_UNDER_WAY = "rotation_under_way"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    CALL_UNDER_WAY = "call_under_way"
    OUTCOME_UNKNOWN = "outcome_unknown"
    TOO_LARGE = "too_large"
    TOO_MANY_STREAMS = "too_many_streams"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNREADABLE_JSON = "unreadable_json"
    INVALID = "invalid"
    STORE_AWAY = "store_away"
    READ_TOO_LATE = "read_too_late"


STATUS: dict[ErrorCode, int] = {
    ErrorCode.NO_TOKEN: 401,
    ErrorCode.WRONG_TOKEN: 401,
    ErrorCode.READ_ONLY_TOKEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.SERVER_NOT_FOUND: 404,
    ErrorCode.TOKEN_NOT_FOUND: 404,
    ErrorCode.DEAD_LETTER_NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.ROTATION_UNDER_WAY: 409,
    ErrorCode.IDEMPOTENCY_CONFLICT: 409,
    ErrorCode.CALL_UNDER_WAY: 409,
    ErrorCode.OUTCOME_UNKNOWN: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.TOO_MANY_STREAMS: 503,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.UNREADABLE_JSON: 400,
    ErrorCode.INVALID: 422,
    ErrorCode.STORE_AWAY: 503,
    ErrorCode.READ_TOO_LATE: 503,
}

RAISED: dict[type[Exception], ErrorCode] = {
    NoSuchInstance: ErrorCode.SERVER_NOT_FOUND,
    RotationUnderWay: ErrorCode.ROTATION_UNDER_WAY,
    IdempotencyConflict: ErrorCode.IDEMPOTENCY_CONFLICT,
    InstanceConflict: ErrorCode.CONFLICT,
    StoreError: ErrorCode.STORE_AWAY,
}
"""The errors that calls may raise. The handler of the nearest class counts."""


class FieldError(BaseModel):
    """What is wrong with one value of the request."""

    place: str = Field(description="where the value stands, as `overlap_s`", examples=["slug"])
    text: str = Field(examples=["must be 1 to 63 of a-z, 0-9 and -, and start with a letter or digit"])


class ApiProblem(BaseModel):
    """Why a call was not carried out (RFC 9457)."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="the name of the status", examples=["Not Found"])
    status: int = Field(examples=[404])
    code: ErrorCode = Field(description="the reason, for programs")
    detail: str = Field(
        description="the reason and what to do, for people", examples=["there is no instance livonia"]
    )
    errors: list[FieldError] = Field(default=[], description="for `invalid`: each wrong value")


class ApiError(Exception):
    """A call is not carried out. `detail` says why, and what to do."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def response(code: ErrorCode, detail: str, errors: list[FieldError] | None = None) -> JSONResponse:
    """The answer that says so. `detail` may hold what was sent, so control characters are taken out."""
    status = HTTPStatus(STATUS[code])
    problem = ApiProblem(
        title=status.phrase, status=status, code=code, detail=clean(detail), errors=errors or []
    )
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    body = problem.model_dump(mode="json", exclude=set() if errors else {"errors"})
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def add_handlers(api: FastAPI) -> None:
    """Has `api` answer every error in this form."""
    for kind, code in RAISED.items():
        api.add_exception_handler(kind, _answers(code))

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return response(error.code, str(error))

    async def no_such_call(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        wrong_method = error.status_code == STATUS[ErrorCode.METHOD_NOT_ALLOWED]
        code = ErrorCode.METHOD_NOT_ALLOWED if wrong_method else ErrorCode.NOT_FOUND
        answer = response(code, "there is no such call: /api/v1/openapi.json describes all")
        answer.headers.update(error.headers or {})
        return answer

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        if found and found[0]["type"] == "json_invalid":
            return response(ErrorCode.UNREADABLE_JSON, _unreadable(found[0], str(error.body or "")))
        # Its words only: what was sent may hold a secret.
        errors = [FieldError(place=place_of(one["loc"]), text=words_of(one["msg"])) for one in found]
        detail = "; ".join(f"{one.place}: {one.text}" for one in errors)
        return response(ErrorCode.INVALID, detail, errors)

    api.add_exception_handler(ApiError, refused)
    api.add_exception_handler(HTTPException, no_such_call)
    api.add_exception_handler(RequestValidationError, invalid)


def _answers(code: ErrorCode) -> Any:
    async def answer(_: Request, error: Exception) -> JSONResponse:
        return response(code, str(error))

    return answer


def _unreadable(error: dict[str, Any], body: str) -> str:
    at = error["loc"][-1]
    before = body[:at] if isinstance(at, int) else ""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"the body is no JSON: {error['ctx']['error']} in line {line}, column {column}"


def place_of(location: tuple[str | int, ...]) -> str:
    """Where a wrong value stands in the request."""
    return ".".join(str(part) for part in location[1:]) or str(location[0])


def words_of(message: str) -> str:
    """What is wrong with it, as this project says it."""
    return message.removeprefix("Value error, ").replace("Input should be", "must be")
