"""Which relay a command works at, with which token, and what it says if that fails."""

import contextlib
import gc
import http.server
import json
import os
import ssl
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar
from unittest import mock

import pytest

from services.cli import contexts
from tests.cli.conftest import ADMIN_TOKEN, RelayTerminal
from tests.support.certificates import make_certificate
from tests.support.ports import free_port
from tests.support.terminal import Terminal


@pytest.fixture
def away(tmp_path: Path) -> Terminal:
    """A machine without a relay."""
    return Terminal(tmp_path)


def test_a_relay_elsewhere_is_given_by_options_by_variables_or_by_a_name(
    relay: RelayTerminal, away: Terminal
) -> None:
    (away.folder / "token").write_text(f"{ADMIN_TOKEN}\n")
    for options in (["--token", ADMIN_TOKEN], ["--token-file", "token"]):
        assert away.json("players", "--url", relay.admin, *options).keys() == {"one", "two"}
    assert "one" in away.run(
        "instance", "list", "--url", f"{relay.admin}/", "--token-file", "-", given=ADMIN_TOKEN
    )
    said = away.run("context", "add", "home", "--url", relay.admin, "--token-file", "token")
    assert "context use home" in said and ADMIN_TOKEN not in said
    assert "0 up, 2 down" in away.run("fleet", "--context", "home")
    away.run("context", "use", "home")
    assert "0 up, 2 down" in away.run("fleet")
    assert [line[:7] for line in away.run("context", "list").splitlines()] == ["  local", "* home "]
    assert "relay.toml: does not exist" in away.run("fleet", "--context", "local", code=2)
    assert "elsewhere.toml: does not exist" in away.run("fleet", "--config", "elsewhere.toml", code=2)
    away.run("context", "remove", "home")
    assert away.json("context", "list") == {"current": "local", "contexts": {}}
    away.environ |= {"DAYZ_RELAY_URL": relay.admin, "DAYZ_RELAY_TOKEN_FILE": "token"}
    assert "0 up, 2 down" in away.run("fleet")
    assert "elsewhere.toml: does not exist" in away.run("fleet", "--config", "elsewhere.toml", code=2)
    away.run("context", "add", "open", "--url", relay.admin)
    assert "asks for a token" in away.run("fleet", "--context", "open", code=2)  # not that of the variable


def test_only_its_owner_can_read_the_file_with_the_tokens_and_none_is_lost_when_several_write_it(
    away: Terminal,
) -> None:
    away.run(
        "context", "add", "home", "--url", "https://relay.example.org", "--token-file", "-", given="secret"
    )
    file = away.folder / "config" / "dayz-relay" / "context.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and 'token = "secret"' in file.read_text()
    with (
        contextlib.chdir(away.folder),
        mock.patch.dict(os.environ, away.environ),
        ThreadPoolExecutor() as several,
    ):
        names = [f"relay-{number}" for number in range(20)]
        list(several.map(lambda name: contexts.add(contexts.Context(name, "http://x", "")), names))
        assert contexts.read().known.keys() == {"home", *names}
    file.write_text("nonsense")
    assert f"{file}: is damaged" in away.run("context", "list", code=2)


def test_no_token_and_no_address_damages_the_file_of_the_others(away: Terminal) -> None:
    for url, token in (("http://a", "\U0001f600"), ("http://a", "token\x7fx"), ("http://\x7f", "token")):
        away.run("context", "add", "a", "--url", url, "--token-file", "-", code=2, given=token)
    away.run("context", "add", "a", "--url", "http://\U0001f600.example")
    assert away.json("context", "list")["contexts"] == {"a": "http://\U0001f600.example"}


def test_the_variable_of_the_log_agent_names_no_relay(relay: RelayTerminal) -> None:
    relay.environ["DAYZ_RELAY_URL"] = "http://127.0.0.1:1/k/mod-key"
    try:
        assert "0 up, 2 down" in relay.run("fleet")
    finally:
        del relay.environ["DAYZ_RELAY_URL"]


def test_variables_can_name_the_file_and_the_data_folder(relay: RelayTerminal, away: Terminal) -> None:
    assert "relay.toml: does not exist" in away.run("status", code=2)
    away.environ |= {"DAYZ_RELAY_CONFIG": str(relay.folder / "relay.toml"), "DAYZ_RELAY_DATA": "there"}
    assert "0 up, 2 down" in away.run("fleet")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--url", "127.0.0.1:9088"], "--url: must be as http://127.0.0.1:9088, the admin port of modapi"),
        (["--url", "http://127.0.0.1:8088/k/key"], "--url: this is what mods call: give the admin port"),
        (["--url", "http://127.0.0.1:999999"], "--url: Port out of range"),
        (["--url", "http://relay..example:9088"], "--url: must be as http://127.0.0.1:9088"),
        (
            ["--url", "http://192.168.1.300:9088"],
            "http://192.168.1.300:9088 is no address: Invalid IPv4 address",
        ),
        (["--context", "nowhere"], "there is no context nowhere (local): `dayz-relay context add`"),
        (
            ["--url", "http://127.0.0.1:1", "--token", "\u6771\u4eac"],
            "the token (that of --token) has characters that no token has",
        ),
    ],
)
def test_an_impossible_address_of_a_relay_is_named(away: Terminal, options: list[str], said: str) -> None:
    assert said in away.run("status", *options, code=2)


def test_a_missing_relay_is_reported_in_one_line_with_the_fix(away: Terminal) -> None:
    port = free_port()
    (away.folder / "relay.toml").write_text(f"[modapi]\nadmin_port = {port}\n")
    at = f"http://127.0.0.1:{port}"
    assert away.run("status", code=1) == (
        f"dayz-relay: modapi does not answer at {at} (nobody listens there): `dayz-relay up` starts the"
        " relay, `dayz-relay doctor` looks for what is wrong\n"
    )
    assert f"no relay answers at {at} (nobody listens there)" in away.run("status", "--url", at, code=1)
    away.environ |= {"DAYZ_RELAY_URL": at, "DAYZ_RELAY_COMMAND": "docker compose run --rm cli"}
    assert away.run("status", code=1) == (
        f"dayz-relay: modapi does not answer at {at} (nobody listens there): `docker compose up --detach"
        " --wait` starts the relay, `docker compose run --rm cli doctor` looks for what is wrong\n"
    )
    away.environ.clear()
    (away.folder / "relay.toml").write_text("[modapi]\nadmin_port = 0\n")
    assert "no relay runs there" in away.run("status", code=2)


def test_a_missing_wrong_or_weak_token_is_reported_in_one_line_with_the_fix(
    relay: RelayTerminal, away: Terminal
) -> None:
    at = relay.admin
    said = away.run("status", "--url", at, code=2)
    assert said == f"dayz-relay: the relay at {at} asks for a token: give --token-file, or DAYZ_RELAY_TOKEN\n"
    said = away.run("status", "--url", at, "--token", "wrong", code=2)
    assert f"the relay at {at} does not know the token (that of --token)" in said and "wrong" not in said
    (away.folder / "relay.toml").write_text(f"[modapi]\nadmin_port = {at.rpartition(':')[2]}\n")
    assert "name the --data of `dayz-relay up`" in away.run("status", code=2)
    weak = relay.json("api-token", "add", "watcher", "--role", "read")["token"]
    assert "0 up, 2 down" in away.run("fleet", "--token", weak)
    assert away.run("instance", "disable", "one", "--token", weak, code=1) == (
        "dayz-relay: this token may only read: use a token with the role `full`\n"
    )
    assert "watcher  read" in relay.run("api-token", "list")
    assert relay.run("api-token", "add", "a b", code=2).startswith("dayz-relay: NAME: must be 1 to 63 of a-z")
    relay.run("api-token", "remove", "watcher")
    assert relay.run("api-token", "remove", "watcher", code=1) == "dayz-relay: there is no token watcher\n"


class Other(http.server.BaseHTTPRequestHandler):
    """Another program, or a relay from before the API had a version."""

    status = 404
    timeout = 2.0
    more: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({"error": "not found", "tokens": []}).encode()
        self.send_response(self.status)
        for name, value in self.more.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def other(status: int, context: ssl.SSLContext | None = None, **more: str) -> Iterator[int]:
    handler = type("Handler", (Other,), {"status": status, "more": more})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "answers 404, and not as a relay of this version: is it the admin port of modapi?"),
        (502, "answers 502, and not as a relay of this version: is it the admin port of modapi?"),
        (200, "answers 200, and not as a relay of this version: is it the admin port of modapi?"),
    ],
)
def test_another_program_or_an_older_relay_is_reported_in_one_line(
    away: Terminal, status: int, said: str
) -> None:
    with other(status) as port:
        for command in (["instance", "list"], ["status", "main"], ["instance", "enable", "main"]):
            assert said in away.run(*command, "--url", f"http://127.0.0.1:{port}", code=1)


def test_changes_are_sent_only_to_a_relay_of_this_version(away: Terminal) -> None:
    """An older relay would carry it out, and its answer, with a key, would be thrown away."""
    Other.asked.clear()
    with other(200) as port:
        for command in (["instance", "enable", "main"], ["instance", "rotate", "main"]):
            away.run(*command, "--url", f"http://127.0.0.1:{port}", code=1)
    assert set(Other.asked) == {"/api/v1/servers?limit=1"}


def test_a_command_asks_the_relay_for_what_it_shows_and_nothing_else(away: Terminal) -> None:
    Other.asked.clear()
    with other(200, **{"X-Dayz-Relay": "0.3.0"}) as port:
        away.run("api-token", "list", "--url", f"http://127.0.0.1:{port}")
    assert Other.asked == ["/api/v1/tokens"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["instance", "set", "one"], "nothing is to be changed: give --name"),
        (["dlq", "retry", "one"], "name one id"),
        (["dlq", "drop", "one", "--all"], "there is no terminal to ask at: add --yes"),
    ],
)
def test_a_wrong_argument_is_named_although_no_relay_answers(
    away: Terminal, command: list[str], said: str
) -> None:
    assert said in away.run(*command, "--url", f"http://127.0.0.1:{free_port()}", code=2)


# asyncio closes a socket whose handshake failed when the loop is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_untrusted_certificate_is_reported_in_one_line_with_the_fix(
    away: Terminal, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path, "localhost"))
    with other(404, context) as port:
        said = away.run("status", "--url", f"https://127.0.0.1:{port}", code=1)
    gc.collect()
    assert f"the certificate of https://127.0.0.1:{port} is not trusted (self-signed certificate)" in said
    assert "SSL_CERT_FILE" in said and len(said.splitlines()) == 1
