"""Who was seen in one instance, so that a person goes to Takaro under one id, always.

The mod loses a player's identity on disconnect, and Takaro loses each event that names a known
platform id under another gameId ("Platform ID collision", contract.md A3). So the first gameId a
person was sent with stays theirs.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from services.modapi.dialect import fields

Person = dict[str, str]
"""What is remembered of a player, in Takaro's words: gameId, name, and if known steamId, platformId."""


class _Seen:
    """A person, and the record they were last seen with: mods repeat the same one in each event."""

    __slots__ = ("person", "record")

    def __init__(self, person: Person) -> None:
        self.person = person
        self.record: tuple[Any, Any, Any] | None = None


def _is_small(value: Any) -> bool:
    return value is None or (type(value) is str and len(value) <= fields.NAME_CHARS)


class Roster:
    """The players seen in one instance, bounded: who was not seen for longest is forgotten first."""

    def __init__(self, limit: int = 2_000) -> None:
        self._limit = limit
        self._people: dict[str, _Seen] = {}  # by gameId; last in order is who was seen last
        self._game_ids: dict[str, str] = {}  # gameId, steamId or platformId -> gameId
        self._changed: set[str] = set()

    def learn(self, player: Any) -> None:
        """Remember what a player record of any origin tells; one that names nobody is ignored."""
        self.complete(player)

    def complete(self, raw: Any) -> dict[str, Any] | None:
        """The record as Takaro takes it, with what is known of this person put in; it is learned as well.

        None: it names nobody. A record without a name comes from an identity that is already gone; its
        BIS id is not the gameId Takaro knows, so it is only of use when that person was seen before.
        """
        if type(raw) is not dict:
            return None
        game_id = raw.get("gameId")
        record = (raw.get("name"), raw.get("steamId"), raw.get("platformId"))
        seen = self._people.get(game_id) if type(game_id) is str else None
        if seen is None or seen.record != record:
            seen = self._look_up(game_id, *record)
            if seen is None:
                return None
        self._people[seen.person["gameId"]] = self._people.pop(seen.person["gameId"])  # seen just now
        player: dict[str, Any] = {**seen.person}
        if (value := raw.get("ip")) and (ip := fields.address(value)):
            player["ip"] = ip
        if (ping := fields.number(raw.get("ping"))) is not None:
            player["ping"] = ping
        return player

    def take_changes(self) -> dict[str, bytes]:
        """gameId -> record to be stored, for all that changed since the last call.

        An empty record means: forgotten, remove it from the store.
        """
        changes = {game_id: self._record(game_id) for game_id in self._changed}
        self._changed.clear()
        return changes

    def put_back(self, changes: Mapping[str, bytes]) -> None:
        """These changes could not be stored: the next `take_changes` brings them again."""
        self._changed.update(changes)

    def restore(self, records: Mapping[bytes, bytes] | Mapping[str, bytes]) -> None:
        """Take in what was stored. Who is already known keeps their gameId. The next changes take out of the
        store what is not learned from it."""
        unsaved = set(self._changed)
        for record in records.values():
            try:
                person = orjson.loads(record)
            except orjson.JSONDecodeError:
                continue  # an empty record is a forgotten player; a damaged one is learned again
            if type(person) is not dict or type(person.get("gameId")) is not str:
                continue
            if not any(person.get(key) in self._game_ids for key in ("gameId", "steamId", "platformId")):
                self._add(person["gameId"])
            self.learn(person)
            seen = self._people.get(person["gameId"])
            if seen is not None and seen.person != person:
                unsaved.add(person["gameId"])
        self._changed = {
            game_id
            for game_id in self._changed | unsaved
            if game_id in unsaved or game_id not in self._people
        }

    def _record(self, game_id: str) -> bytes:
        seen = self._people.get(game_id)
        return orjson.dumps(seen.person) if seen is not None else b""

    def _look_up(
        self, raw_game_id: Any, raw_name: Any, raw_steam_id: Any, raw_platform_id: Any
    ) -> _Seen | None:
        game_id = fields.game_id(raw_game_id)
        name = fields.name(raw_name, game_id, fields.word(raw_steam_id), fields.word(raw_platform_id))
        steam_id = fields.steam_id(raw_steam_id) or fields.steam_id(game_id)
        platform_id = fields.platform_id(raw_platform_id) or fields.platform_id(game_id)
        known = self._find(steam_id, platform_id, game_id)
        if known is None:
            known = game_id
            if steam_id and (not game_id or fields.is_bis_id(game_id)):
                known = steam_id  # mods know a player by this id
            if not known or (not name and fields.is_bis_id(known)):
                return None
            self._add(known)
        seen = self._people[known]
        person = seen.person
        if name and name != fields.DEFAULT_NAME and name != person["name"]:
            person["name"] = name
            self._changed.add(known)
        # An id that is somebody else's stays theirs: to send it here would be the collision.
        for key, value in (("steamId", steam_id), ("platformId", platform_id)):
            if value and key not in person and self._game_ids.setdefault(value, known) == known:
                person[key] = value
                self._changed.add(known)
        # Only a record that points to this person in all it says may be recognised by sight later.
        record = (raw_name, raw_steam_id, raw_platform_id)
        agrees = steam_id in (None, person.get("steamId")) and platform_id in (None, person.get("platformId"))
        if agrees and raw_game_id == known and all(map(_is_small, record)):
            seen.record = record
        return seen

    def _find(self, steam_id: str | None, platform_id: str | None, game_id: str) -> str | None:
        """The gameId of whoever has one of these ids, the most trusted first."""
        if steam_id in self._game_ids:
            return self._game_ids[steam_id]
        if platform_id in self._game_ids:
            known = self._game_ids[platform_id]
            # Two Steam accounts are two people, whatever else the record says.
            if not steam_id or self._people[known].person.get("steamId", steam_id) == steam_id:
                return known
        return self._game_ids.get(game_id)

    def _add(self, game_id: str) -> None:
        self._people[game_id] = _Seen({"gameId": game_id, "name": fields.DEFAULT_NAME})
        self._game_ids[game_id] = game_id
        self._changed.add(game_id)
        if len(self._people) > self._limit:
            oldest = next(iter(self._people))
            person = self._people.pop(oldest).person
            for known in (oldest, person.get("steamId"), person.get("platformId")):
                if known and self._game_ids.get(known) == oldest:
                    del self._game_ids[known]
            self._changed.add(oldest)
