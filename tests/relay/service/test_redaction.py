"""Known secrets are hidden everywhere, and so are values at the places of secrets."""

import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.relay.service.redaction import MASK, Redaction
from services.relay.service.settings import Alerts, Instance, ModApi, Redis, Settings, Takaro
from services.relay.service.settings_warnings import secrets_in

SECRET = "Zq9-planted_secret-0123456789"


def hiding(*secrets: str) -> Redaction:
    redaction = Redaction()
    redaction.hide("test", secrets)
    return redaction


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a {SECRET} b {SECRET}", f"a {MASK} b {MASK}"),
        (f"glued{SECRET}glued", f"glued{MASK}glued"),
        (f"cut {SECRET[:20]}", f"cut {MASK}"),
        (f"cut {SECRET[:20]}...", f"cut {MASK}..."),
        ("nothing here", "nothing here"),
        ("", ""),
    ],
)
def test_a_known_secret_is_hidden_wherever_it_stands(text: str, shown: str) -> None:
    assert hiding(SECRET).clean(text) == shown


@pytest.mark.parametrize(
    "secret", ['quo"ted \\ secret', "pass/word?with#marks", "пароль-сервера", "a secret, spaced"]
)
def test_a_secret_is_hidden_in_addresses_and_quotes_too(secret: str) -> None:
    hidden = hiding(secret)
    for text in (secret, repr(secret), quote(secret, safe=""), f"x={secret!r}"):
        assert secret not in hidden.clean(text) and quote(secret, safe="") not in hidden.clean(text)
        assert repr(secret)[1:-1] not in hidden.clean(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pw@db:6379/0 is away", "redis://user:***@db:6379/0 is away"),
        ("redis://:p@w@db", "redis://:***@db"),
        ("GET /k/abc/gameserver/x/poll", "GET /k/***/gameserver/x/poll"),
        ("must be http://host/k/<mod key>", "must be http://host/k/<mod key>"),
        ("GET /gameserver/x/poll?key=abc&x=1", "GET /gameserver/x/poll?key=***&x=1"),
        ("?token=abc", "?token=***"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("(b'authorization', b'Basic abcdefgh')", "(b'authorization', b'Basic ***')"),
        ("Bearer abcdefghi", "Bearer ***"),
        ('{"registrationToken":"abc","name":"x"}', '{"registrationToken":"***","name":"x"}'),
        ("{'identityToken': 'abc'}", "{'identityToken': '***'}"),
        ('mod_keys = ["abc"]', 'mod_keys = ["***"]'),
        ("the identity token of an instance", "the identity token of an instance"),
        ("http://127.0.0.1:8088/k", "http://127.0.0.1:8088/k"),
        (
            "Redis refuses the user or password of redis.url",
            "Redis refuses the user or password of redis.url",
        ),
    ],
)
def test_the_places_of_secrets_are_hidden_whatever_is_in_them(text: str, shown: str) -> None:
    assert Redaction().clean(text) == shown


def test_every_secret_of_the_settings_is_found_by_its_type() -> None:
    settings = Settings(
        takaro=Takaro(registration_token=SecretStr("registration"), proxy=SecretStr("http://u:proxy-pw@p")),
        redis=Redis(url=SecretStr("redis://u:redis%2Fpw@db?password=other-pw")),
        modapi=ModApi(admin_token=SecretStr("admin-token-0123456789")),
        instances=(
            Instance(
                slug="main",
                name="My server",
                identity_token=SecretStr("identity"),
                mod_keys=(SecretStr("mod-key-0123456789"),),
                registration_token=SecretStr("own-registration"),
            ),
        ),
    )
    found = set(secrets_in(settings))
    assert found >= {
        "registration",
        "proxy-pw",
        "redis/pw",
        "redis%2Fpw",
        "other-pw",
        "admin-token-0123456789",
    }
    assert found >= {"identity", "mod-key-0123456789", "own-registration"}


def test_a_token_that_is_the_name_of_the_server_does_not_spoil_the_log() -> None:
    instance = Instance(slug="main", name="Chernarus", identity_token=SecretStr("chernarus"))
    assert set(secrets_in(instance)) == set()


@pytest.mark.parametrize("scheme", ["https", "HTTP"])
def test_the_path_of_a_webhook_is_secret(scheme: str) -> None:
    url = SecretStr(f"{scheme}://discord.example/api/webhooks/12345/a-secret-word?wait=true")
    found = set(secrets_in(Alerts(discord_url=url)))
    assert found == {"api/webhooks/12345/a-secret-word?wait=true"}


def test_an_address_without_a_password_is_not_a_secret() -> None:
    assert set(secrets_in(Redis(url=SecretStr("unix:///run/valkey.sock")))) == set()


def test_the_secrets_of_a_source_are_replaced_and_others_stay() -> None:
    redaction = hiding(SECRET)
    redaction.hide("other", ["another-secret"])
    redaction.hide("other", ["a-third-secret"])
    assert redaction.clean(f"{SECRET} another-secret a-third-secret") == f"{MASK} another-secret {MASK}"


@given(st.lists(st.text(min_size=8, max_size=30), min_size=1, max_size=5), st.text(), st.text(), st.data())
def test_no_secret_is_left_in_any_text(
    secrets: list[str], before: str, after: str, data: st.DataObject
) -> None:
    text = before + data.draw(st.sampled_from(secrets)) + after
    cleaned = hiding(*secrets).clean(text)
    # A mask between two texts can make a new one, of secrets that are made of stars.
    assert "*" in "".join(secrets) or not any(secret in cleaned for secret in secrets)


def test_thousands_of_secrets_cost_no_more_than_one() -> None:
    redaction = hiding(*(f"{number:06d}-identity-token-{number}" for number in range(4_000)))
    line = "03:06:51 uplink INFO    [main] linked to Takaro, game server 99171beb-06f8-48a0-a932-1f7029347914"
    begun_s = time.process_time()
    for _ in range(200):
        assert redaction.clean(line) == line
    assert time.process_time() - begun_s < 0.2
