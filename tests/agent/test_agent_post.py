"""How the agent reads each answer, and what it sends after a failed POST."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.agent.main import Agent, NotTaken, post
from services.agent.outbox import Outbox
from services.agent.settings import AgentSettings, read

KEY = "mod-key-0123456789abcdef"
OK = (200, b'{"ok":true}')


class AnsweringServer:
    """Answers POSTs with `answers`, one after the other, and then with 200."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.paths: list[str] = []
        self.batches: list[list[str]] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                peer.paths.append(self.path)
                peer.batches.append([event["msg"] for event in body["events"]])
                status, answer = peer.answers.pop(0) if peer.answers else OK
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def peer() -> Iterator[AnsweringServer]:
    peer = AnsweringServer()
    thread = threading.Thread(target=peer.server.serve_forever)
    thread.start()
    yield peer
    peer.server.shutdown()
    thread.join()
    peer.server.server_close()


@pytest.mark.parametrize("base", ["", "/", f"/k/{KEY}", f"/k/{KEY}/", f"/relay/k/{KEY}"])
def test_the_agent_posts_below_the_address_that_the_mod_has(peer: AnsweringServer, base: str) -> None:
    post(peer.url + base, ["Żółw", 'a "quoted" \\ line'])
    assert peer.paths == [base.rstrip("/") + "/gameserver/agent/events"]
    assert peer.batches == [["Żółw", 'a "quoted" \\ line']]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, b'{"error":"away"}', "it answered 503"),
        (429, b'{"error":"too much"}', "it answered 429"),
        (302, b"there", "it answered 302"),
        (401, b'{"error":"unknown key"}', "the key in DAYZ_RELAY_URL opens no server"),
        (200, b"", "its answer was empty"),
        (204, b"", "its answer was empty"),
    ],
)
def test_only_a_2xx_with_a_body_means_that_lines_were_taken(
    peer: AnsweringServer, status: int, body: bytes, words: str
) -> None:
    peer.answers = [(status, body)]
    with pytest.raises(NotTaken, match=words):
        post(peer.url, ["a line"])


def test_the_error_for_a_missing_relay_does_not_show_the_key() -> None:
    with pytest.raises(NotTaken) as refused:
        post(f"http://127.0.0.1:1/k/{KEY}", ["a line"])
    assert "127.0.0.1" in str(refused.value) and KEY not in str(refused.value)


@pytest.fixture
def settings(peer: AnsweringServer, tmp_path: Path) -> AgentSettings:
    (tmp_path / "logs").mkdir()
    environ = {"DAYZ_RELAY_URL": peer.url, "DAYZ_LOG_MAX_PER_SEC": "1000"}
    return read(tmp_path / "logs", tmp_path / "state.json", environ)


def add(folder: Path, *lines: str) -> None:
    with (folder / "logs" / "a.RPT").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_lines_that_were_not_taken_are_sent_again_first(
    settings: AgentSettings, peer: AnsweringServer, tmp_path: Path
) -> None:
    agent = Agent(settings, max_delay_s=0.0)
    peer.answers = [(503, b"away"), (200, b"")]
    for line in ("one", "two", "three"):
        add(tmp_path, line)
        agent.read(0.0)
        agent.send()
    assert peer.batches == [["one"], ["one", "two"], ["one", "two", "three"]]


def test_after_a_failure_the_agent_waits_before_it_sends_again(
    settings: AgentSettings, peer: AnsweringServer, tmp_path: Path
) -> None:
    agent = Agent(settings)
    peer.answers = [(503, b"away")] * 10
    add(tmp_path, "one")
    for _ in range(5):
        agent.read(0.0)
        agent.send()
    assert peer.batches == [["one"]]


def test_positions_are_saved_after_each_batch(
    settings: AgentSettings, peer: AnsweringServer, tmp_path: Path
) -> None:
    agent = Agent(settings, Outbox(max_batch=2))
    peer.answers = [OK, (503, b"away")]
    add(tmp_path, "one", "two", "Warning Message: noise", "three")
    agent.read(0.0)
    agent.send()
    assert json.loads((tmp_path / "state.json").read_text())["files"][0]["offset"] == len("one\ntwo\n")


def test_the_number_of_dropped_lines_is_sent_once_there_is_room(
    settings: AgentSettings, peer: AnsweringServer, tmp_path: Path
) -> None:
    agent = Agent(settings, Outbox(max_lines=5))
    add(tmp_path, *[f"line {number}" for number in range(8)])
    agent.read(0.0)
    add(tmp_path, "line 8")
    agent.read(1.0)
    agent.send()
    add(tmp_path, "line 9")
    agent.read(2.0)
    agent.send()
    told = [line for batch in peer.batches for line in batch]
    assert told == [*[f"line {n}" for n in range(5)], "line 9", "dayz-relay agent: 4 log lines dropped"]
