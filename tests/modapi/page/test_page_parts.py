"""The parts of the page: escaping, which rows are shown, numbers, charts and texts."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup
from pydantic import SecretStr
from starlette.responses import Response

from services.modapi.fleet.rows import ServerRow, ServerState, state_of
from services.modapi.page import fleet, rendering, server
from services.modapi.page.access import is_local
from services.modapi.page.figures import ago, day_bar, nice
from services.modapi.page.fleet import ROWS, SORTS, View, choose
from services.modapi.page.rendering import render
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.dead_letters import DeadLetter
from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.diagnosis import Problem, ProblemCode, diagnose
from services.relay.instances.facts import Facts, OnlinePlayers, ServerCause
from services.relay.instances.history import LENGTH_S, Minute, last_day
from services.relay.instances.records import KeyDigest
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance, ModApi

NOW_S = 1_800_000_000.0
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"' & {slug}"
TEXTS = st.text() | st.sampled_from(
    [HOSTILE, '"><svg onload=alert(1)>', "javascript:alert(1)", "\u202egnp.exe"]
)

PAGE_TAGS = frozenset(
    "p a h1 h2 span b div dl dt dd section details summary pre ul li code table thead tbody tr th td time bdi"
    " form input button label ol figure figcaption svg title path rect".split()
)
"""All tags that the page of an instance is written with."""


def facts(**known: object) -> Facts:
    usual: dict[str, object] = {
        **{"now_ms": 10_000_000, "uplink": "host-1", "link": "ready", "game_server_id": "id", "link_why": ""},
        **{"contact_ms": 9_999_000, "events": 0, "events_bytes": 0, "oldest_ms": None, "commands": 0},
        **{"dead": 0, "players": 3, "mod_version": "0.2.0", "hold_ms": 4700},
    }
    return Facts(**{**usual, **known})  # type: ignore[arg-type]


def row(slug: str, problems: Sequence[Problem] = (), name: str = "", **known: object) -> ServerRow:
    instance = Instance(
        slug=slug, name=name or f"Server {slug}", identity_token=SecretStr(f"identity-{slug}")
    )
    return ServerRow(
        DefinedInstance(instance, Origin.FILE, ()),
        facts(**known),
        list(problems),
        state_of(False, problems),
    )


def with_token(of: ServerRow) -> ServerRow:
    instance = of.definition.instance.model_copy(update={"registration_token": SecretStr("registration")})
    return of._replace(definition=replace(of.definition, instance=instance))


def from_template(source: str, **values: object) -> str:
    return rendering.ENVIRONMENT.from_string(source).render(**values)


def fleet_fragments(rows: Sequence[ServerRow], view: View) -> rendering.Fragments:
    shown = choose(rows, view)
    days = {row.slug: day_bar(last_day({}, {}, 10_000_000)) for row in shown.rows}
    return {"notes": Markup(), **fleet.fragments(rows, view, shown, days)}


def fleet_page(rows: Sequence[ServerRow], view: View) -> str:
    fragments = fleet_fragments(rows, view)
    shown = rendering.page(
        "fleet", "Servers", fragments, view=view, states=fleet.FILTERS, notice="", form_key="key"
    )
    return body_of(shown)


def server_page(
    of: ServerRow,
    entries: Sequence[ActivityEntry],
    letters: Sequence[DeadLetter],
    people: Sequence[dict[str, object]] = (),
) -> str:
    fragments = {
        "notes": Markup(),
        "facts": render("server_facts", row=of),
        "day": render("chart_day", half_hours=last_day({}, {}, 10_000_000)),
        "hour": hour_charts([]),
        "dead": server.dead_letters(of.slug, letters, "key"),
        "players": render("server_players", online=OnlinePlayers(1.0, list(people))),
        "checklist": server.checklist(of, []),
        **server.activity(entries),
    }
    shown = rendering.page(
        "server",
        "An ordinary name",
        fragments,
        slug=of.slug,
        row=of,
        modapi=ModApi(host="0.0.0.0"),
        form_key="key",
        **dict.fromkeys(("notice", "problem", "config", "retried"), ""),
    )
    return body_of(shown)


def text_of(page: Response) -> str:
    return bytes(page.body).decode()


def body_of(page: Response) -> str:
    """What is between the header and the end of a page."""
    return text_of(page).partition('<main id="main">')[2].partition("</main>")[0]


def setup_text(of: ServerRow, modapi: ModApi) -> str:
    return unescape(render("setup", row=of, slug=of.slug, modapi=modapi, config="", form_key="key"))


def hour_charts(hour: Sequence[Minute]) -> str:
    return render("charts_hour", minutes=hour)


def notes(waits_for_restart: Sequence[str] = (), complaint: str = "") -> Markup:
    return render("notes", waits_for_restart=waits_for_restart, complaint=complaint, problems=[])


# Escaping


@given(TEXTS)
def test_no_text_can_become_markup(text: str) -> None:
    made = from_template('<p title="{{ text }}">{{ text }}</p>', text=text)
    inside = made.removeprefix('<p title="').removesuffix("</p>")
    assert not set('<>"') & set(inside.replace('">', "", 1))
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt|#34|#39);)*", inside, re.DOTALL)


def test_what_a_template_made_is_not_escaped_again() -> None:
    made = from_template(
        "{% macro b(t) %}<b>{{ t }}</b>{% endmacro %}{{ b(text) }}{{ nothing }}", text="<2>", nothing=None
    )
    assert made == "<b>&lt;2&gt;</b>"


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        from_template("{{ missing }}")


@pytest.mark.parametrize("unseen", ["\x00", "\x1b", "\x85", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800"])
def test_characters_that_hide_or_turn_text_are_shown_as_codes(unseen: str) -> None:
    assert unseen not in from_template("{{ text }}", text=f"a{unseen}b")


@given(
    st.dictionaries(st.sampled_from(["msg", "channel", "weapon", "entity", "reason", "message"]), TEXTS),
    TEXTS,
)
def test_hostile_text_stays_text_everywhere(data: dict[str, str], text: str) -> None:
    player = {"name": text, "gameId": text}
    passed = [
        *(
            ActivityEntry("event", 1, what, {**data, "player": player, "attacker": player}, "delivered", 5)
            for what in ("chat-message", "player-death", "entity-killed", "log", "player-connected", text)
        ),
        ActivityEntry("event", 1, "refused", {"candidates": 3}, "refused", 0, text),
        ActivityEntry("command", 1, "kickPlayer", {**data, text[:20]: text}, "refused", 9, text),
    ]
    letters = [DeadLetter("1-1", text, text, text.encode("utf-8", "replace"))]
    whole = server_page(
        row(
            "a",
            [Problem(ProblemCode.SILENT, True, text, text)],
            name="An ordinary name",
            mod_version=text,
            game_server_id=text,
        ),
        passed,
        letters,
        [{**player, "position": {"x": text, "z": 1.5}, "ping": text}],
    )
    bare = re.sub(r"&[a-z#0-9]+;", "", whole)
    assert {tag.lower() for tag in re.findall(r"<\s*/?([a-zA-Z0-9!?]*)", bare)} <= PAGE_TAGS
    assert not re.search(r"\son[a-z]+=|style=|javascript:", re.sub(r">[^<]*<", "><", bare))


# Access


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(
            (host, True)
            for host in ("localhost", "localhost:9088", "127.0.0.1:9088", "127.8.8.8", "[::1]:9088")
        ),
        *(
            (host, False)
            for host in ("", "evil.example:9088", "localhost.evil.example", "127.0.0.1.evil.example")
        ),
        *((host, False) for host in ("10.0.0.1:9088", "[::2]", "localhost:9088@evil.example")),
    ],
)
def test_only_names_of_this_machine_are_local(host: str, local: bool) -> None:
    assert is_local(host) is local


# The table

BAD = Problem(ProblemCode.SILENT, True, "it is broken", "mend it")
NOTE = Problem(ProblemCode.SILENT, False, "it is odd", "look")


def test_servers_in_the_worst_state_come_first() -> None:
    rows = [row("a"), row("b", [NOTE]), row("c", [BAD]), row("d")]
    assert [shown.slug for shown in choose(rows, View()).rows] == ["c", "b", "a", "d"]


@pytest.mark.parametrize("sort", SORTS)
def test_each_column_sorts_both_ways(sort: str) -> None:
    few = row(
        "a",
        name="Aaa",
        players=1,
        events=1,
        oldest_ms=9_000_000,
        dead=1,
        mod_version="1",
        uplink="a",
        failed_commands=1,
    )
    many = row(
        "z",
        [BAD],
        name="Zzz",
        players=9,
        events=9,
        oldest_ms=1,
        dead=9,
        mod_version="2",
        uplink="z",
        failed_commands=9,
    )
    many = many._replace(facts=facts(**{**_known(many.facts), "contact_ms": 1, "link": "waiting"}))
    one, other = (
        [shown.slug for shown in choose([few, many], View(sort=sort, turned=turned)).rows]
        for turned in (False, True)
    )
    assert one == other[::-1]


def _known(of: Facts) -> dict[str, object]:
    return {name: getattr(of, name) for name in Facts.__slots__}


@pytest.mark.parametrize(("text", "found"), [("LIVO", 1), ("server", 3), ("cherno-2", 1), ("nothing", 0)])
def test_rows_are_found_by_name_and_slug(text: str, found: int) -> None:
    rows = [row("livonia"), row("cherno-1"), row("cherno-2")]
    assert choose(rows, View(q=text)).found == found


def test_a_page_number_beyond_the_last_shows_the_last() -> None:
    rows = [row(f"s{number:04d}") for number in range(2 * ROWS + 1)]
    shown = choose(rows, View(page=99))
    assert (shown.page, shown.pages, len(shown.rows)) == (3, 3, 1)


@given(st.dictionaries(st.sampled_from(["q", "state", "sort", "turned", "page", "x"]), TEXTS))
def test_any_query_gives_a_view_whose_links_lead_back_to_it(query: dict[str, str]) -> None:
    view = View.of(query)
    assert fleet_page([row("a"), row("b", [BAD])], view)
    assert View.of(dict(parse_qsl(view.query()))) == view


# Words and pictures


def test_a_contact_within_15_s_reads_just_now() -> None:
    assert {ago(second) for second in range(15)} == {"just now"}
    assert ago(None) == "never"


@pytest.mark.parametrize("silent_s", [61, 104, 105, 119, 120, 3_000, 90_000])
def test_a_silent_mod_is_silent_for_as_long_in_the_table_as_in_the_diagnosis(silent_s: int) -> None:
    silent = row("a", contact_ms=10_000_000 - silent_s * 1_000)
    assert any(
        ago(silent.facts.silent_s) in problem.what
        for problem in diagnose(silent.definition, silent.facts, "http://x")
    )


def test_the_title_counts_the_servers_that_are_down() -> None:
    assert fleet.title([row("a", [BAD]), row("b", [NOTE]), row("c", [BAD])]) == "(2) Servers"
    assert fleet.title([row("a")]) == "Servers"


@pytest.mark.parametrize(("level", "word"), [(BAD, "down"), (NOTE, "attention")])
def test_the_count_of_a_state_links_to_its_servers(level: Problem, word: str) -> None:
    rows = [row("a"), row("b", [level])]
    assert f'href="/?state={word}"><b>1</b> <span>{word}</span>' in fleet_fragments(rows, View())["summary"]
    assert [shown.slug for shown in choose(rows, View.of({"state": word})).rows] == ["b"]


def test_a_state_leaves_out_servers_that_only_have_its_cause() -> None:
    rows = [with_token(row("well")), with_token(row("late", [NOTE]))]
    assert {one.cause for one in rows} == {ServerCause.UP}
    assert [one.slug for one in choose(rows, View(state="up")).rows] == ["well"]
    assert [one.slug for one in choose(rows, View(state="attention")).rows] == ["late"]


def test_a_count_of_one_has_a_singular() -> None:
    tiles = fleet_fragments([row("a", players=1, events=2, dead=1)], View())["summary"]
    assert re.findall(r"<b>(\d)</b> <span>([a-z ]+)<", tiles) == [
        *(("1", "server"), ("1", "up"), ("1", "player")),
        *(("2", "events waiting"), ("1", "dead letter")),
    ]


def test_a_search_keeps_the_order_of_the_table() -> None:
    form, _, _ = fleet_page([row("a")], View(sort="players", turned=True)).partition("</form>")
    assert 'name="sort" value="players"' in form and 'name="turned" value="1"' in form


def test_a_time_has_its_date_without_the_script() -> None:
    assert ">2027-01-15 08:00:00 UTC<" in from_template(
        '{% from "macros.html" import moment %}{{ moment(at) }}', at=int(NOW_S) * 1000
    )


def test_a_fix_links_to_the_dead_letters_and_marks_commands() -> None:
    told = [
        Problem(ProblemCode.SILENT, False, "2 are dead", "dayz-relay dlq list a"),
        Problem(ProblemCode.SILENT, True, "away: `restart`", "`dayz-relay doctor` <tries>"),
    ]
    shown = render("server_facts", row=row("a", told))
    assert "away: <code>restart</code>" in shown and "`" not in fleet_page([row("a", told[1:])], View())
    assert 'href="#dead-title"' in shown and "dlq list" not in shown
    assert "<code>dayz-relay doctor</code> &lt;tries&gt;" in shown


def test_an_hour_without_events_has_no_scale() -> None:
    assert hour_charts([Minute(n, 0, 0, 0, 0) for n in range(60)]).count('<span class="top"></span>') == 2


def test_a_notice_shows_known_outcomes_with_numbers_only() -> None:
    assert (
        server.retried({"taken": "12", "dropped": "<b>", "gone": "99999", "x": "1"})
        == "12 on the way to Takaro"
    )


# Setup


@pytest.mark.parametrize("keys", [0, 1])
def test_the_setup_help_is_the_whole_config_of_the_mod(keys: int) -> None:
    digests = (KeyDigest(digest="0" * 64, added_ms=0),) * keys
    of = row("a")
    shown = setup_text(of._replace(definition=replace(of.definition, keys=digests)), ModApi(host="0.0.0.0"))
    config = json.loads(shown.partition('<pre id="template-text">')[2].partition("</pre>")[0])
    assert config["TakaroApiUrl"] == "http://127.0.0.1:8088" + "/k/<mod key>" * keys
    assert config["RegistrationToken"] and "IdentityToken" in config
    assert ("<mod key>" in shown) is bool(keys)
    assert "put in the address by which the DayZ server reaches the relay" in shown


def test_the_setup_help_of_a_stored_server_names_the_command_for_a_new_key() -> None:
    of = row("a")
    shown = setup_text(of._replace(definition=replace(of.definition, origin=Origin.REDIS)), ModApi())
    assert "/k/<mod key>" in shown and "dayz-relay instance rotate a" in shown


@given(st.floats(0, 1e9))
def test_scales_end_at_round_numbers(value: float) -> None:
    assert value <= nice(value) and (nice(value) <= max(1, 2.5 * value))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 10**6)), max_size=60))
def test_no_bar_leaves_its_picture(rows: list[tuple[int, int, int]]) -> None:
    hour = [Minute(n, events, 0, min(a, b), max(a, b), 2 * events) for n, (events, a, b) in enumerate(rows)]
    for y, height in re.findall(r'y="([\d.]+)" width="\d+" height="([\d.]+)"', hour_charts(hour)):
        assert 0 <= float(y) <= 100 and float(y) + float(height) == pytest.approx(100, abs=0.2)


def test_the_severity_follows_the_problems() -> None:
    assert [row("a", found).state for found in ([], [NOTE], [NOTE, BAD])] == [
        ServerState.UP,
        ServerState.ATTENTION,
        ServerState.DOWN,
    ]


def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline() -> None:
    fragments = {"notes": Markup()}
    pages = (
        rendering.page("refusal", "title", fragments, text="text", live="/live"),
        rendering.page("login", "title", problem="wrong", next="/"),
    )
    whole = "".join(map(text_of, pages))
    assert re.findall(r'(?:src|href)="(?!/|#)', whole) == []
    assert not re.search(r"<script(?![^>]* src=)|<style|style=|\son\w+=", whole)
    for name in rendering.ASSETS:
        assert b"//" not in re.sub(
            rb"^\s*//.*$|http://www\.w3\.org/2000/svg", b"", rendering.asset(name), flags=re.M
        )


def test_a_page_of_a_thousand_servers_is_short_and_fast() -> None:
    rows = [row(f"s{number:04d}", [BAD] if number % 7 == 0 else [], events=number) for number in range(1_000)]
    took_s = []
    for _ in range(9):
        begun_s = time.process_time()
        shown = fleet_page(rows, View(q="server", sort="backlog"))
        took_s.append(time.process_time() - begun_s)
    assert len(shown) < 60_000 and shown.count('<th scope="row">') == ROWS
    assert sorted(took_s)[4] < 0.25  # 4 ms of CPU were measured; a slow machine may take its time


def test_the_notes_name_settings_that_wait_for_a_restart_and_mistakes() -> None:
    restart = notes(["[modapi] host", "[modapi] port"])
    assert "Restart the relay" in restart and "[modapi] host, [modapi] port" in restart
    assert "relay.toml has a mistake" in notes(complaint=HOSTILE) and HOSTILE not in notes(complaint=HOSTILE)
    assert notes() == ""
    assert restart in text_of(rendering.page("refusal", "A page", {"notes": restart}, text="text"))


def test_events_are_counted_when_they_are_accepted() -> None:
    shown = hour_charts([Minute(1, 0, 0, 0, 0, 44), Minute(2, 1_200, 1, 5, 9, 1_000)])
    assert "1\u202f044 in the last hour, 1\u202f200 delivered; 1 command" in shown


def test_each_event_is_listed_with_its_state() -> None:
    passed = [
        ActivityEntry("event", 3, "log", {"msg": "a line"}, "waiting", 0),
        ActivityEntry("event", 2, "log", {"msg": "a line"}, "delivered", 5),
        ActivityEntry("event", 1, HOSTILE, {"msg": HOSTILE}, "dead", 0, "unknown-type"),
    ]
    shown = server.activity(passed)["events"]
    for state in ("waiting for Takaro", "delivered", "dead letter: unknown-type"):
        assert state in shown, state
    assert HOSTILE not in shown


NOW = 1_000_000  # number of a half hour
NOW_MS = NOW * LENGTH_S * 1000 + 900_000


def test_the_bar_of_a_day_says_in_words_what_it_draws() -> None:
    accepted = {NOW - 40: 1_000, NOW - 1: 234}
    linked_s = dict.fromkeys(range(NOW - 47, NOW), LENGTH_S) | {NOW: 900, NOW - 5: 0, NOW - 4: 900}
    bar = day_bar(last_day(accepted, linked_s, NOW_MS))
    assert bar.summary == "1\u202f234 events in 24 h, link up 96 %"
    assert bar.events == "M0 14V14h7V0h1V14h38V10h1V14h1V14z"
    assert bar.links == {
        "up": "M0 16h42v2h-42zM44 16h4v2h-4z",
        "down": "M42 16h1v6h-1z",
        "partly": "M43 16h1v4h-1z",
    }


@pytest.mark.parametrize(
    ("linked_s", "text"),
    [
        ({}, "nothing is known of the last 24 hours yet"),
        (
            {NOW - 3: LENGTH_S, NOW - 2: LENGTH_S, NOW - 1: LENGTH_S, NOW: 880},
            "0 events in 105 min, link up 100 %",
        ),
        ({NOW - 47: 1}, "0 events in 24 h, link up 0 %"),
    ],
)
def test_a_bar_tells_of_the_time_that_is_known(linked_s: dict[int, int], text: str) -> None:
    assert day_bar(last_day({}, linked_s, NOW_MS)).summary == text


def test_each_half_hour_of_the_day_has_its_own_words() -> None:
    shown = render("chart_day", half_hours=last_day({NOW - 1: 1}, {NOW - 1: 1_200}, NOW_MS))
    assert "1 event, link up for 20 of 30 min" in shown and "0 events, link down" in shown
