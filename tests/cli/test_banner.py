"""What `up` says before it starts, for one server and for many."""

from typing import Any

import pytest

from services.cli.up import banner
from services.relay.service.settings import Settings


def said(*instances: dict[str, Any], **modapi: Any) -> list[str]:
    blocks = [
        {"identity_token": f"identity of {one['slug']}", "name": "A server", **one} for one in instances
    ]
    return banner(Settings.model_validate({"modapi": modapi, "instances": blocks}))


def complete(slug: str) -> dict[str, Any]:
    return {"slug": slug, "mod_keys": [f"mod-key-of-{slug}-012345"], "registration_token": "token"}


def test_the_banner_shows_both_addresses_and_what_is_missing() -> None:
    assert said({"slug": "one"}) == [
        "Mods call http://127.0.0.1:8088/k/<mod key>",
        "Status page: http://localhost:9088/",
        'Server one ("A server"): no Takaro registration token yet, its events are kept;'
        " no mod key, whoever is on this machine can speak for it",
    ]
    assert said(complete("one"))[2:] == ['Server one ("A server"): complete']


@pytest.mark.parametrize(
    ("modapi", "line"),
    [
        ({"admin_token": "x" * 20}, "http://localhost:9088/ (it asks for the admin_token of [modapi])"),
        ({"admin_host": "0.0.0.0"}, "http://localhost:9088/ (once admin_token is set under [modapi])"),
        (
            {"admin_host": "10.1.2.3", "admin_port": 80, "admin_token": "x" * 20},
            "http://10.1.2.3:80/ (it asks for the admin_token of [modapi])",
        ),
        ({"admin_host": "::"}, "http://localhost:9088/ (once admin_token is set under [modapi])"),
        ({"admin_host": "::1"}, "http://[::1]:9088/"),
        ({"admin_host": "127.0.0.2"}, "http://127.0.0.2:9088/"),
        ({"admin_host": "fd00::1"}, "http://[fd00::1]:9088/ (once admin_token is set under [modapi])"),
    ],
)
def test_the_banner_says_what_the_status_page_asks_for(modapi: dict[str, Any], line: str) -> None:
    assert said(complete("one"), **modapi)[1] == f"Status page: {line}"


def test_the_banner_names_only_some_of_many_incomplete_servers() -> None:
    lines = said(*(complete(f"good-{n}") for n in range(1_000)), {"slug": "bad"})
    assert len(lines) == 4 and lines[2].startswith("Server bad") and lines[3] == "1,000 servers are complete"
    lines = said(*({"slug": f"bad-{n}"} for n in range(30)))
    assert len(lines) == 23 and lines[-1] == "10 more lack something: `dayz-relay doctor` names them"
