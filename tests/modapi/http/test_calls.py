"""How a mod's request line is read, whatever its operator typed as the base of the URL."""

import pytest

from services.modapi.http.calls import CallKind, read_call

KEY = "secret-key"
BEARER = [(b"host", b"relay"), (b"authorization", b"Bearer " + KEY.encode())]

CALLS = [
    ("POST", "/gameserver/register", CallKind.REGISTER, ""),
    ("POST", "/gameserver/local/events", CallKind.EVENTS, ""),
    ("POST", "/gameserver/agent/events", CallKind.AGENT, ""),
    ("GET", "/gameserver/8a3d-uuid/poll", CallKind.POLL, ""),
    ("POST", "/gameserver/x/operation/giveItem-12/result", CallKind.RESULT, "giveItem-12"),
]
WITHOUT_ID = [
    ("POST", "/gameserver//events", CallKind.EVENTS, ""),
    ("GET", "/gameserver//poll", CallKind.POLL, ""),
    ("POST", "/gameserver//operation/op/result", CallKind.RESULT, "op"),
]


@pytest.mark.parametrize(
    ("prefix", "query", "headers", "key"),
    [
        ("", b"", [], ""),
        (f"/k/{KEY}", b"", [], KEY),
        (f"//k//{KEY}/", b"", [], KEY),
        ("", b"key=" + KEY.encode(), [], KEY),
        ("", b"", BEARER, KEY),
        (f"/k/{KEY}", b"key=other", BEARER, KEY),
        ("", b"key=" + KEY.encode(), [(b"authorization", b"Bearer other")], KEY),
    ],
)
@pytest.mark.parametrize(("method", "path", "kind", "operation_id"), CALLS + WITHOUT_ID)
def test_each_call_is_known_under_each_base(
    method: str,
    path: str,
    kind: CallKind,
    operation_id: str,
    prefix: str,
    query: bytes,
    headers: list[tuple[bytes, bytes]],
    key: str,
) -> None:
    call = read_call(method, prefix + path, query, headers)
    if method == "GET" and not prefix and not query:
        key = ""  # the engine's GET carries no header: a secret there would be somebody else's
    assert (call.kind, call.operation_id, call.key) == (kind, operation_id, key)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/k"),
        ("GET", "/gameserver"),
        ("GET", "/gameserver/x/events"),
        ("POST", "/gameserver/x/poll"),
        ("DELETE", "/gameserver/x/events"),
        ("GET", "/gameserver/x/y/z/poll"),
        ("POST", "/other/x/events"),
        ("POST", "/gameserver/x/operation/result"),
    ],
)
def test_any_other_path_is_no_call_of_a_mod(method: str, path: str) -> None:
    assert read_call(method, path, b"", []).kind is CallKind.OTHER


@pytest.mark.parametrize("value", [b"Basic abc", b"Bearer", b"", b"\xff\xfe"])
def test_an_authorization_that_is_no_bearer_token_is_no_key(value: bytes) -> None:
    assert read_call("GET", "/gameserver/x/poll", b"", [(b"authorization", value)]).key == ""


def test_the_key_is_removed_from_the_path_before_the_application_sees_it() -> None:
    assert read_call("GET", f"/k/{KEY}/health", b"", []).path == "/health"
