"""Puts what is known of a server into the form of the API. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from services.modapi.admin import models
from services.modapi.fleet.rows import ServerRow, ServerState
from services.relay.instances.diagnosis import Problem
from services.relay.instances.facts import OnlinePlayers, ServerCause


def server_of(row: ServerRow) -> models.Server:
    definition, facts = row.definition, row.facts
    return models.Server(
        slug=row.slug,
        name=definition.instance.name,
        external_id=definition.external_id,
        origin=definition.origin,
        disabled=definition.disabled,
        served=definition.active,
        note=definition.note,
        state=row.state,
        cause=row.cause,
        problems=list(map(models.ServerProblem.model_validate, row.problems)),
        has_registration_token=definition.instance.registration_token is not None,
        mod_keys=list(map(models.ModKeyDates.model_validate, definition.keys)),
        link=models.ServerLink(
            state=facts.link if facts.uplink else "",
            why=facts.link_why if facts.uplink else "",
            game_server_id=facts.game_server_id or None,
            owner=facts.uplink,
        ),
        mod=models.ServerMod(
            last_contact=facts.contact_ms,  # type: ignore[arg-type]  # it becomes a datetime
            silent_s=facts.silent_s,
            version=facts.mod_version,
            address=facts.address,
            hold_s=None if facts.hold_ms is None else facts.hold_ms / 1000,
        ),
        players_online=facts.players,
        events_waiting=facts.events,
        events_waiting_bytes=facts.events_bytes,
        oldest_event_s=facts.oldest_s,
        commands_waiting=facts.commands,
        failed_commands=facts.failed_commands,
        dead_letters=facts.dead,
        made_up_positions=facts.made_up,
        last_made_up=facts.made_up_ms,  # type: ignore[arg-type]
    )


def fits(row: ServerRow, state: str, text: str) -> bool:
    """Whether a server has this state or cause, and this text in its slug or name. "" fits all."""
    if state and state != (row.state if state in set(ServerState) else row.cause):
        return False
    text = text.casefold()
    return text in row.slug or text in row.definition.instance.name.casefold()


def fleet_of(rows: Sequence[ServerRow], notes: Iterable[Problem]) -> models.FleetCounts:
    states = Counter(row.state for row in rows)
    causes = Counter(row.cause for row in rows)
    return models.FleetCounts(
        total=len(rows),
        states={state: states[state] for state in ServerState},
        causes={cause: causes[cause] for cause in ServerCause},
        players_online=sum(row.facts.players or 0 for row in rows),
        events_waiting=sum(row.facts.events for row in rows),
        failed_commands=sum(row.facts.failed_commands for row in rows),
        dead_letters=sum(row.facts.dead for row in rows),
        problems=list(map(models.ServerProblem.model_validate, notes)),
    )


def page_of(slugs: Iterable[str], cursor: str, limit: int) -> tuple[list[str], str | None]:
    """The slugs of one page, sorted, and the cursor of the next page; None: this is the last one."""
    behind = sorted(slug for slug in slugs if slug > cursor)
    page = behind[:limit]
    return page, page[-1] if len(behind) > limit else None


def players_of(online: OnlinePlayers) -> dict[str, Any]:
    """The fields of a PlayerList."""
    players = [{**player, "name": player.get("name") or ""} for player in online.players]
    return {"age_s": online.age_s, "players": players}
