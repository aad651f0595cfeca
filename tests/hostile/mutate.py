"""`python -m tests.hostile.mutate [words of a promise]`: removes each limit and each rule of access from a copy of
the tree, one at a time, and checks that its test turns red for that reason.
"""

# ruff: noqa: E501
import re
import shutil
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

FILES = {
    "addresses": "services/relay/service/http/addresses.py",
    "app": "services/modapi/app.py",
    "calls": "services/modapi/http/calls.py",
    "complaints": "services/relay/service/settings_names.py",
    "connection_limits": "services/relay/service/http/connection_limits.py",
    "events": "services/modapi/events.py",
    "handler": "services/uplink/requests/handler.py",
    "listener": "services/relay/service/http/listener.py",
    "bodies": "services/modapi/dialect/bodies.py",
    "mirror": "services/uplink/requests/mirror/mirror.py",
    "owned_instance": "services/uplink/ownership/owned_instance.py",
    "rate_limits": "services/modapi/http/rate_limits.py",
    "mod_call": "services/modapi/http/mod_call.py",
    "router": "services/modapi/http/router.py",
    "served_instance": "services/modapi/served_instance.py",
    "settings": "services/relay/service/settings.py",
    "socket_session": "services/uplink/connection/socket_session.py",
}
TESTS = {
    "addresses": "tests/relay/service/http/test_addresses.py",
    "connection_limits": "tests/relay/service/http/test_connection_limits.py",
    "credentials": "tests/modapi/http/test_credentials.py",
    "limits": "tests/modapi/http/test_limits.py",
    "mirror": "tests/uplink/requests/mirror/test_mirror.py",
    "rate_limits": "tests/modapi/http/test_rate_limits.py",
    "router": "tests/modapi/http/test_router.py",
    "settings": "tests/relay/service/test_settings.py",
    "uplink": "tests/uplink/test_uplink_limits.py",
}


class Mutant(NamedTuple):
    """A change that breaks `promise`: `old`, which is once in the file, becomes `new`. `test` must fail then.

    `breaks`: a part of the statement in `test` that fails. Any other failure proves nothing.
    """

    promise: str
    file: str
    old: str
    new: str
    test: str
    breaks: str


class Seen(StrEnum):
    """How a test reacts to a mutant."""

    RED = "red"
    UNSEEN = "UNSEEN"
    ELSEWHERE = "ELSEWHERE"  # another statement fails
    FAULTY = "FAULTY"  # the change breaks the program itself, so any test fails


IN_TIME = "connection_limits::test_a_request_that_does_not_come_in_time_ends_its_connection"
HEAD = "connection_limits::test_a_head_beyond_its_limit_is_refused"
PROXIES = "connection_limits::test_connections_in_all_are_limited_also_those_of_a_trusted_proxy"
HANDSHAKE = "connection_limits::test_without_a_handshake_a_connection_is_counted_and_ended"
CERTIFICATE = "connection_limits::test_a_certificate_is_taken_up_when_its_files_change_and_only_if_it_is_good"
OLD_TLS = "connection_limits::test_old_tls_and_renegotiation_are_not_offered"
TOO_LONG = "limits::test_a_result_that_is_too_long_is_refused"
BATCH = "limits::test_the_first_events_of_a_batch_with_too_many_are_stored"
ASIDE = "limits::test_an_event_beyond_a_limit_is_put_aside_and_its_neighbours_are_not"
PACE = "limits::test_an_instance_over_its_rate_limit_is_refused_and_others_are_not"
WRONG_KEYS = "limits::test_wrong_keys_are_limited_and_the_right_key_never_is"
NO_ID = "limits::test_an_id_in_the_path_opens_no_other_instance"
TOLD = "limits::test_a_call_without_a_key_is_told_how_to_set_it"
NO_KEY = "limits::test_a_proxy_or_a_page_in_a_browser_always_needs_a_key"
FORWARDED = "limits::test_only_a_trusted_proxy_can_name_the_address_that_tries_keys"
CALLER = "addresses::test_the_caller_is_the_last_one_that_is_not_trusted"
WRONG_SETTING = "settings::test_a_wrong_setting_is_named_with_its_place"
TOO_BIG = "uplink::test_an_answer_that_is_too_big_is_not_kept"

MUTANTS = [
    # What may come
    Mutant("connections", "connection_limits", "self._count >= self._most:", "False:", PROXIES, 'assert b" 503 " in await (await served.open()).says(b"")'),
    Mutant("connections_per_address", "connection_limits", "count >= self._most_each and", "False and", "connection_limits::test_connections_of_one_address_are_limited_and_come_back", 'assert b" 503 " in await (await served.open()).says(b"")'),
    Mutant("connections: those of a proxy are not one address", "connection_limits", " and not is_in(address, self._trusted)", "", PROXIES, 'assert [b"200" in await one.says(GET) for one in there] == [True] *'),
    Mutant("connections: counted before the handshake", "listener", "not self._limits.enter(address[0])", "self._limits.enter(address[0]) is None", HANDSHAKE, "assert await (await served.open()).closed_after_s() < 2.0"),
    Mutant("connections: the handshake comes in time", "listener", "timeout=certificate.handshake_within_s", "timeout=60", HANDSHAKE, "assert 2.4 < await silent[0].closed_after_s() < SOON_S"),
    Mutant("header_bytes: whole", "connection_limits", "self._received + self._chunk > self._limits.header_bytes", "False", HEAD, 'assert b" 431 " in await (await served.open()).says(b"GET / HTTP/1.1'),
    Mutant("header_bytes: unfinished", "connection_limits", "(self._in_head or self._in_chunks) and self._received > self._limits.header_bytes", "False", HEAD, 'assert b" 431 " in await (await served.open()).says(b"GET / HTTP/1.1'),
    Mutant("header_bytes: trailers", "connection_limits", "(self._in_head or self._in_chunks) and", "self._in_head and", "connection_limits::test_a_trailer_beyond_the_limit_of_a_head_is_refused", "assert await stranger.closed_after_s(drip) < SOON_S"),
    Mutant("receive_within_s", "connection_limits", "connection.end_overdue()", "pass", IN_TIME, "assert 0.9 < await stranger.closed_after_s(drip) < SOON_S"),
    Mutant("receive_within_s: silent", "connection_limits", "self._address = address\n        self.due_s = self.loop.time() + self._limits.receive_within_s", "self._address = address", IN_TIME, "assert 0.9 < await stranger.closed_after_s(drip) < SOON_S"),
    Mutant("receive_within_s: after another request", "connection_limits", "super().on_message_begin()\n        self.due_s = self.loop.time() + self._limits.receive_within_s", "super().on_message_begin()", "connection_limits::test_a_second_request_has_to_come_in_time_too", 'assert 0.9 < await stranger.closed_after_s(b"x") < SOON_S'),
    Mutant("receive_within_s: bytes that begin nothing", "connection_limits", "elif self.due_s == math.inf and", "elif False and", "connection_limits::test_a_connection_that_was_good_once_gets_no_more_time", 'assert await stranger.closed_after_s(b"\\r\\n") < SOON_S'),
    Mutant("receive_within_s: bodies", "connection_limits", "        self._in_head = False\n", "        self._in_head = False\n        self.due_s = math.inf\n", IN_TIME, "assert 0.9 < await stranger.closed_after_s(drip) < SOON_S"),
    Mutant("requests in a row", "connection_limits", "len(self.pipeline) >= MAX_PIPELINED", "False", "connection_limits::test_requests_do_not_queue_up_without_end_behind_one_that_is_held", "assert await stranger.closed_after_s(held * (MAX_PIPELINED + 2), 5.0"),
    Mutant("not_http", "connection_limits", 'self._limits.refused("not_http")', "pass", "connection_limits::test_bytes_that_are_not_http_are_refused_without_a_line_in_the_log", 'assert served.refused == {"not_http": 1} and not caplog.records'),
    Mutant("body_bytes", "router", "keep_bytes=self._limits.body_bytes", "keep_bytes=self._limits.result_bytes", "limits::test_the_beginning_of_a_body_that_is_too_long_is_stored", 'assert 80 < len(kept) < 200 and kept[0]["data"]["msg"] == "line 0"'),
    Mutant("body_bytes: what is read at most", "router", "refuse_beyond_bytes=self._limits.result_bytes", "refuse_beyond_bytes=1 << 40", "router::test_a_body_beyond_its_limit_is_refused_by_its_length_alone", 'assert b" 413 " in await asyncio.wait_for(reader.readline(), 30)'),
    Mutant("body_bytes: of a registration", "router", "refuse_beyond_bytes=MAX_REGISTER_BYTES", "refuse_beyond_bytes=1 << 40", "limits::test_a_registration_has_a_small_limit_because_its_sender_is_unknown", 'assert (await port.call("POST", "/gameserver/register", content=body'),
    Mutant("result_bytes", "router", "limit = self._limits.result_bytes", "limit = 1 << 40", TOO_LONG, 'assert (await port.call("POST", path, content=content)).status_code'),
    Mutant("result_bytes: of no length that it names", "mod_call", "if size_bytes > refuse_beyond_bytes:", "if False:", TOO_LONG, 'assert (await port.call("POST", path, content=content)).status_code'),
    Mutant("bodies on their way", "mod_call", "memory and not memory.reserve(len(chunk))", "memory and memory.reserve(len(chunk)) is None", "limits::test_incomplete_bodies_of_one_instance_share_one_limit", 'assert [task.result().split()[1] for task in answered if task.done()] == [b"429"] * 2'),
    Mutant("batch_events", "events", "read = read_batch(body, self._limits.batch_events)", "read = read_batch(body, 1 << 40)", BATCH, 'assert [event["data"]["msg"] for event in await port.stored(slug)] ='),
    Mutant("batch_events: of a long body", "events", "read_batch, body, self._limits.batch_events", "read_batch, body, 1 << 40", BATCH, 'assert [event["data"]["msg"] for event in await port.stored(slug)] ='),
    Mutant("event_bytes", "bodies", "len(data) > limits.event_bytes", "False", ASIDE, 'assert [event["data"]["msg"] for event in await port.stored(slug)] ='),
    Mutant("event_levels", "bodies", "levels(raw) > limits.event_levels", "False", ASIDE, 'assert [event["data"]["msg"] for event in await port.stored(slug)] ='),
    Mutant("text_chars", "bodies", "len(data) > limits.text_chars", "False", "limits::test_a_long_text_is_cut", 'assert event["data"]["msg"] == "ä" * 200'),
    Mutant("requests_per_s", "rate_limits", "self._calls.level(now_s) < 1", "False", PACE, "await until(post, met=lambda status: status == 429)"),
    Mutant("events_per_s", "rate_limits", "self._events.level(now_s) < 1", "False", PACE, "await until(post, met=lambda status: status == 429)"),
    Mutant("events_per_s: repaired bodies cost more", "rate_limits", "REPAIRED_BYTES_AN_EVENT if repaired else BYTES_AN_EVENT", "BYTES_AN_EVENT", "rate_limits::test_a_body_that_must_be_repaired_uses_more_of_the_rate_than_a_plain_one", 'assert repaired.beyond(0.0, CallKind.EVENTS) == "events_per_s"'),
    Mutant("events_per_s: long bodies", "router", "posted(events, len(body), repaired=repaired)", "posted(events, 0)", PACE, "assert posts <= 20"),
    Mutant("result_bytes: those that nobody asked for, together", "router", "instance.rate_limits.posted_unasked(len(body))", "pass", PACE, "await until(post, met=lambda status: status == 429)"),
    Mutant("result_bytes: asked for, it is never put off", "router", "parsed.kind is CallKind.RESULT and await instance", "False and await instance", "limits::test_a_result_that_a_request_waits_for_is_not_refused", 'assert (await port.result(slug, name, b'),
    Mutant("results on their way", "router", "not asked or not await instance.result_memory.wait_to_reserve(held_bytes, MEMORY_WITHIN_S)", "False", "limits::test_incomplete_bodies_of_one_instance_share_one_limit", 'assert [task.result().split()[1] for task in answered if task.done()] == [b"429"] * 2'),
    Mutant("events_per_s: of this instance alone", "served_instance", "self.rate_limits = RateLimits(limits, time.monotonic())", "self.rate_limits = globals().setdefault('P', RateLimits(limits, time.monotonic()))", PACE, 'assert await port.post(f"{slug}-b", logs(1)) == 200'),
    Mutant("wrong_keys_per_minute", "rate_limits", "        return bucket.admits(now_s)\n", "        return True\n", WRONG_KEYS, "assert tried == [401, 401, 401, 429, 429]"),
    Mutant("wrong_keys_per_minute: in constant memory", "rate_limits", "self._sources.popitem(last=False)", "pass", "rate_limits::test_a_million_sources_take_no_more_memory_than_the_limit", "assert len(tried) == rate_limits.MAX_SOURCES"),
    Mutant("wrong_keys_per_minute: never the right one", "router", 'served.instances.get(self._credentials', "served.instances.get(self._callers._wrong_keys.count('127.0.0.1', time.monotonic()) and self._credentials", WRONG_KEYS, "assert tried == [401, 401, 401, 429, 429]"),
    Mutant("wrong_keys_per_minute: before a body is repaired", "router", "read_object(body) if repairs else orjson.loads(body)", "read_object(body)", "limits::test_broken_bodies_of_a_limited_caller_are_not_repaired", "assert (tried, len(repaired)) == ([401, 401, 401, 429, 429, 429], 3)"),
    Mutant("wrong_keys_per_minute: on every path", "router", "if not parsed.key or slug or not", "if True or not", WRONG_KEYS, 'assert (await port.call("GET", WRONG + "/health")).status_code == 42'),
    Mutant("open_commands", "owned_instance", "CommandStream(store, instance.slug, limits.open_commands)", "CommandStream(store, instance.slug)", "uplink::test_more_commands_than_may_wait_get_an_error", 'assert limited.beyond("open_commands") == 1'),
    Mutant("mirror_players: a list", "mirror", "len(value) > self._limits.mirror_players", "False", "uplink::test_a_list_of_players_is_kept_up_to_its_limit", 'assert payload and [player["gameId"] for player in orjson.loads(payl'),
    Mutant("mirror_players: who connects", "mirror", "len(self._online) >= self._limits.mirror_players", "False", "uplink::test_connecting_players_are_kept_up_to_the_limit", 'assert payload and [player["gameId"] for player in orjson.loads(payl'),
    Mutant("mirror_players: places and inventories", "mirror", "len(kept) > self._limits.mirror_players", "False", "mirror::test_memory_is_bounded_and_the_oldest_goes", 'assert [mirror.position_of(name) is not None for name in "abc"] == [True,'),
    Mutant("inventory_bytes", "mirror", "len(payload) <= self._limits.inventory_bytes", "True", TOO_BIG, "assert list(beyond) == list(limit)"),
    Mutant("catalogue_bytes", "mirror", "len(payload) > self._limits.catalogue_bytes", "False", TOO_BIG, "assert not mirror.take_changes().catalogues"),
    Mutant("frame_in_bytes", "socket_session", "max_size=context.limits.frame_in_bytes", "max_size=None", "uplink::test_a_frame_that_is_too_big_ends_the_socket_and_another_one_is_made", "await limited.linked.get()"),
    Mutant("frame_out_bytes", "handler", "len(payload) > self._most_bytes", "False", "uplink::test_an_answer_that_is_too_big_for_takaro_becomes_an_error", '"too large" in answer["error"]'),
    # Who may speak
    Mutant("no id opens: in the path", "router", 'slug_for(key, call.scope["headers"]))\n', "slug_for(key) and next((part for part in call.scope['path'].split('/') if part in served.instances), self._credentials.slug_for(key)))\n", NO_ID, 'assert polled.status_code != 200 or polled.json() == {"operations":'),
    Mutant("no id opens: in the query", "calls", "if not key and query:", "if query:", NO_ID, 'assert registered.json()["identityToken"] == f"key-of-{slug}"'),
    Mutant("no id opens: in the body", "mod_call", "if isinstance(sent, str) and (not opens(key) or (not key and opens(sent))):", "if isinstance(sent, str):", NO_ID, 'assert registered.json()["identityToken"] == f"key-of-{slug}"'),
    Mutant("keys by their SHA-256", "calls", 'or self._slugs.get(digest_of(key), "")', 'or self._slugs.get(key, "") or self._slugs.get(digest_of(key), "")', "credentials::test_a_key_opens_its_own_instance_and_nothing_else_opens_any", "assert Credentials(merge([ONE, TWO], {}, just_now).values(), loopback_only="),
    Mutant("one answer for all wrong keys", "mod_call", "if slug else Refused(refusals.WRONG_KEY)", "if slug else Refused(refusals.NO_KEY if key.startswith('key-of-') else refusals.WRONG_KEY)", "limits::test_wrong_and_unknown_keys_have_the_same_answer", "assert {(one.status_code, one.content, tuple(one.headers.items())) f"),
    Mutant("a poll has its key in the URL", "calls", 'if not key and method == "POST":', "if not key:", "limits::test_a_poll_needs_its_key_in_the_url", 'assert (await port.call("GET", POLL, headers=bearer)).status_code =='),
    Mutant("without a key it is told how to set it", "mod_call", "        if not key:\n            return Refused", "        if False:\n            return Refused", TOLD, 'assert answer.status_code == 401 and "TakaroApiUrl" in answer.text a'),
    Mutant("without a key: on loopback", "calls", "self._loopback_only and len", "len", TOLD, 'assert answer.status_code == 401 and "TakaroApiUrl" in answer.text a'),
    Mutant("without a key: a single instance", "calls", "self._loopback_only and len(defined) == 1", "self._loopback_only and defined", TOLD, 'assert answer.status_code == 401 and "TakaroApiUrl" in answer.text a'),
    Mutant("without a key: no proxy, no page", "calls", "name in _NOT_DIRECT or", "", NO_KEY, 'assert (await port.call("GET", POLL, headers=headers)).status_code ='),
    Mutant("without a key: no other host", "calls", "_LOCAL_HOST.fullmatch(value) is None", "False", NO_KEY, 'assert (await port.call("GET", POLL, headers=headers)).status_code ='),
    Mutant("no start without keys: by an address", "complaints", "    if not is_loopback(settings.modapi.host):\n", "    if False:\n", WRONG_SETTING, "assert any(line.startswith(expected) for line in complaints(path)),"),
    Mutant("no start without keys: by a proxy", "complaints", "    if settings.modapi.trusted_proxies:\n", "    if False:\n", WRONG_SETTING, "assert any(line.startswith(expected) for line in complaints(path)),"),
    Mutant("no start without keys: several instances", "complaints", "    if len(settings.instances) > 1:\n", "    if False:\n", WRONG_SETTING, "assert any(line.startswith(expected) for line in complaints(path)),"),
    Mutant("behind a proxy is not loopback", "settings", "is_loopback(self.host) and not self.trusted_proxies", "is_loopback(self.host)", "settings::test_a_trusted_proxy_lets_other_machines_call", "assert settings.modapi.loopback_only is loopback"),
    Mutant("forwarded addresses: from trusted proxies only", "addresses", "not forwarded or not is_in(peer, trusted)", "not forwarded", CALLER, "assert caller(peer, forwarded, TRUSTED) == expected"),
    Mutant("forwarded addresses: the last that is not ours", "addresses", "for hop in reversed(hops):", "for hop in hops:", CALLER, "assert caller(peer, forwarded, TRUSTED) == expected"),
    Mutant("forwarded addresses: uvicorn believes none", "listener", "proxy_headers=False,", "proxy_headers=True,", FORWARDED, "assert [answer.status_code for answer in tried].count(429) == put_of"),
    Mutant("no documentation", "app", "FastAPI(openapi_url=None)", "FastAPI()", "limits::test_the_mods_port_documents_and_administers_nothing", 'assert (await port.call("GET", f"/k/key-of-{slug}{path}")).status_co'),
    Mutant("TLS: 1.2 or newer", "listener", "= ssl.TLSVersion.TLSv1_2", "= ssl.TLSVersion.MINIMUM_SUPPORTED", OLD_TLS, "assert context.minimum_version == ssl.TLSVersion.TLSv1_2"),
    Mutant("TLS: no handshake upon handshake", "listener", "context.options |= ssl.OP_NO_RENEGOTIATION", "_ = context.options | ssl.OP_NO_RENEGOTIATION", OLD_TLS, "assert context.options & ssl.OP_NO_RENEGOTIATION"),
    Mutant("TLS: a new pair is taken up", "listener", "        self.context = context\n", "        vars(self).setdefault('context', context)\n", CERTIFICATE, 'await until_shown(served, "new.example")'),
    Mutant("TLS: a bad pair changes nothing", "listener", "            context.load_cert_chain(", "            self.context = context\n            context.load_cert_chain(", CERTIFICATE, 'assert await shown(served) == "old.example"'),
    Mutant("TLS: no start with a bad pair", "listener", "if wrong := self._load():", "if (wrong := self._load()) is None:", "connection_limits::test_a_certificate_that_is_wrong_at_the_start_is_one_clear_line", "with pytest.raises(ConfigError, match=words) as caught:"),
    Mutant("Takaro's certificate", "socket_session", "                compression=None,\n", "                compression=None,\n                ssl=__import__('ssl')._create_unverified_context() if context.takaro_url[:3] == 'wss' else None,\n", "uplink::test_takaro_is_spoken_to_only_if_its_certificate_is_good", "assert limited.linked.empty() is not links"),
    Mutant("Takaro: no other proxy", "socket_session", "proxy=context.proxy,", "proxy=context.proxy or True,", "uplink::test_takaro_is_reached_through_a_proxy_only_if_the_settings_name_one", "assert asked.empty() and limited.running"),
]  # fmt: skip


_FAULT = re.compile(
    r"^E +(?:\w+\.)*(?:Attribute|Name|UnboundLocal|Type|Import|ModuleNotFound|Syntax)Error\b|^E +\w*Warning\b",
    re.M,
)


def seen(report: str, breaks: str) -> Seen:
    """Whether pytest's report is about the statement that should fail."""
    if not report:
        return Seen.UNSEEN
    if _FAULT.search(report):
        return Seen.FAULTY
    return Seen.RED if breaks in report else Seen.ELSEWHERE


def node(test: str) -> str:
    """The name of a test for pytest."""
    file, _, name = test.partition("::")
    return f"{TESTS[file]}::{name}"


def failed(tree: Path, tests: list[str]) -> str:
    """pytest's report of the first test that fails in `tree`; "" if all pass."""
    options = ("-x", "-q", "-n", "0", "--tb=short", "--show-capture=no", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *map(node, tests)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=600)
    if not done.returncode:
        return ""
    _, begins, report = done.stdout.partition("= FAILURES =")
    assert done.returncode == 1 and begins, done.stdout + done.stderr  # the tests did not run
    return report.partition("short test summary info")[0]


def main(words: str) -> int:
    """Returns the number of mutants that no test noticed for the right reason."""
    chosen, unseen = [mutant for mutant in MUTANTS if words in mutant.promise], 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        skipped = shutil.ignore_patterns(".*", "build", "data", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT, tree, ignore=skipped)
        without = failed(tree, list(dict.fromkeys(mutant.test for mutant in chosen)))
        assert not without, f"it fails with nothing taken out: {without}"
        for promise, file, old, new, test, breaks in chosen:
            path = tree / FILES[file]
            text = path.read_text()
            assert text.count(old) == 1, f"{promise}: stands {text.count(old)} times in {path}"
            path.write_text(text.replace(old, new))
            report = failed(tree, [test])
            path.write_text(text)
            verdict = seen(report, breaks)
            unseen += verdict is not Seen.RED
            print(f"{verdict:11}{promise}: {test}: {breaks}", flush=True)
            if verdict in (Seen.ELSEWHERE, Seen.FAULTY):
                print(report, flush=True)
    return unseen


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])) > 0)
