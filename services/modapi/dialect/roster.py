"""Remembers the players seen in one instance, so that each one always has the same gameId at Takaro.

The mod loses a player's identity on disconnect, and Takaro drops an event that has a known platform id with
another gameId ("Platform ID collision", protocol.md T10). So a player keeps the first gameId that was sent.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from services.modapi.dialect import fields
from services.modapi.dialect.identity import RECORD_KEYS, Contradiction, Identity, identity_of

MOST_PLAYERS = 2_000
"""Number of players remembered of one instance. A longer list of players is cut."""

Person = dict[str, str]
"""A remembered player, with Takaro's field names: gameId, name, and if known steamId and platformId."""


def _is_small(value: Any) -> bool:
    return value is None or type(value) is int or (type(value) is str and len(value) <= fields.NAME_CHARS)


class Roster:
    """The players seen in one instance. Beyond `limit`, who was not seen for longest is forgotten.

    `contradicted` is called for each record that contradicts itself or a remembered player.
    """

    def __init__(self, limit: int = MOST_PLAYERS, contradicted: Callable[[], object] = lambda: None) -> None:
        self._limit = limit
        self.contradicted = contradicted
        self._people: dict[str, Person] = {}  # by gameId; the player seen last is the last one
        self._records: dict[str, tuple[Any, Any, Any]] = {}  # the last of each: mods repeat it in each event
        self._game_ids: dict[str, str] = {}  # gameId, steamId or platformId -> gameId
        self._changed: set[str] = set()

    def complete(self, raw: Any) -> dict[str, Any] | None:
        """The record in Takaro's form, completed with what is known of the person. Also learns from it.

        None: it means no player. A record without a name is of an identity that is already gone: its BIS id
        is not the gameId that Takaro knows, so it is of use only if that person was seen before. Raises
        Contradiction if it means several players, by itself or with what is known; then it learns nothing.
        """
        if type(raw) is not dict:
            if type(raw) is list and raw:
                self.contradicted()
                raise Contradiction("there are several records")
            return None
        game_id = raw.get("gameId")
        record = (raw.get("name"), raw.get("steamId"), raw.get("platformId"))
        if type(game_id) is str and self._records.get(game_id) == record and RECORD_KEYS.issuperset(raw):
            known = game_id
        else:
            try:
                identity = identity_of(raw)
                known = self._look_up(identity)
            except Contradiction:
                self.contradicted()
                raise
            if not known:
                return None
            # Later equal records skip the checks, so all ids in this one must be those of this person.
            has_steam_id = identity.steam_id in (None, self._people[known].get("steamId"))
            has_ids = has_steam_id and identity.platform_id in (None, self._people[known].get("platformId"))
            if game_id == known and has_ids and all(map(_is_small, record)):
                self._records[known] = record
        person = self._people[known] = self._people.pop(known)  # seen just now
        player: dict[str, Any] = {**person}
        if (value := raw.get("ip")) and (ip := fields.address(value)):
            player["ip"] = ip
        if (ping := fields.number(raw.get("ping"))) is not None:
            player["ping"] = ping
        return player

    def take_changes(self) -> dict[str, bytes]:
        """The changes to store, or to give back, by gameId; an empty record deletes a forgotten player."""
        if not self._changed:
            return {}
        changes = {
            game_id: orjson.dumps(self._people[game_id]) if game_id in self._people else b""
            for game_id in self._changed
        }
        self._changed.clear()
        return changes

    def give_back(self, changes: Iterable[str]) -> None:
        """Takes back changes that may not have been stored; the next `take_changes` has their newest form.
        If nothing can be stored for long, forgotten players stay in Redis."""
        self._changed.update(changes)
        if len(self._changed) > 2 * self._limit:
            self._changed.intersection_update(self._people)

    def restore(self, records: Mapping[bytes, bytes] | Mapping[str, bytes]) -> None:
        """Learns the stored records. A player who is known already keeps the gameId. Records that are not
        learned are deleted from Redis with the next changes."""
        unsaved = set(self._changed)
        for record in records.values():
            try:
                person = orjson.loads(record)
                if type(person) is not dict or type(person.get("gameId")) is not str:
                    continue
                identity_of(person)
            except (orjson.JSONDecodeError, Contradiction):
                continue  # an empty record is a forgotten player; a damaged one is learned again
            if not any(person.get(key) in self._game_ids for key in ("gameId", "steamId", "platformId")):
                self._add(person["gameId"])
            known = self._people.get(person["gameId"]) if person["gameId"] in unsaved else None
            is_newer = known is not None and known["name"] != fields.DEFAULT_NAME  # than the stored name
            with contextlib.suppress(Contradiction):
                self.complete({**person, "name": ""} if is_newer else person)
            if self._people.get(person["gameId"], person) != person:
                unsaved.add(person["gameId"])
        self._changed = unsaved | (self._changed - self._people.keys())

    def _look_up(self, identity: Identity) -> str:
        """The gameId of the person, who is now known with these ids; "": the record is of no use."""
        known = self._known(identity)
        if not known:
            known = identity.game_id
            if identity.steam_id and (not known or fields.is_bis_id(known)):
                known = identity.steam_id  # mods use this id as gameId
            if not known or (not identity.name and fields.is_bis_id(known)):
                return ""
            self._add(known)
        person = self._people[known]
        if identity.name and identity.name not in (fields.DEFAULT_NAME, person["name"]):
            person["name"] = identity.name
            self._changed.add(known)
        # An id of another person stays theirs: to send it with this person would cause the collision.
        for key, value in (("steamId", identity.steam_id), ("platformId", identity.platform_id)):
            if value and key not in person and self._game_ids.setdefault(value, known) == known:
                person[key] = value
                self._changed.add(known)
        return known

    def _known(self, identity: Identity) -> str:
        """The gameId of the person with these ids, the most trusted id first; "" if no id is known. Raises
        Contradiction if the ids are of several persons."""
        ids = (identity.steam_id, identity.platform_id, identity.game_id)
        known = [self._game_ids[one] for one in ids if one in self._game_ids]
        if not known:
            return ""
        for other in known:
            # If only a BIS id of a person was ever seen, it may be the id of any player.
            if other != known[0] and not (fields.is_bis_id(other) and "steamId" not in self._people[other]):
                raise Contradiction("gameId, steamId and platformId: are known as ids of several players")
        person = self._people[known[0]]
        if identity.steam_id and person.get("steamId", identity.steam_id) != identity.steam_id:
            raise Contradiction("steamId: is another one than that of the known player")
        platform, claimed = person.get("platformId", ""), identity.platform_id
        # Ids of different platforms may be of the same player.
        if claimed and platform != claimed and platform.partition(":")[0] == claimed.partition(":")[0]:
            raise Contradiction("platformId: is another one than that of the known player")
        return known[0]

    def _add(self, game_id: str) -> None:
        self._people[game_id] = {"gameId": game_id, "name": fields.DEFAULT_NAME}
        self._game_ids[game_id] = game_id
        self._changed.add(game_id)
        if len(self._people) > self._limit:
            oldest = next(iter(self._people))
            person = self._people.pop(oldest)
            self._records.pop(oldest, None)
            for known in (oldest, person.get("steamId"), person.get("platformId")):
                if known and self._game_ids.get(known) == oldest:
                    del self._game_ids[known]
            self._changed.add(oldest)
