"""Who was seen in one instance, so that a person goes to Takaro under one id, always.

The mod loses a player's identity on disconnect, and Takaro loses each event that names a known
platform id under another gameId ("Platform ID collision", protocol.md T10). So the first gameId a
person was sent with stays theirs.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.modapi.dialect import fields
from services.modapi.dialect.identity import RECORD_KEYS, Contradiction, Identity, identity_of

Person = dict[str, str]
"""What is remembered of a player, in Takaro's words: gameId, name, and if known steamId, platformId."""


@dataclass(slots=True)
class Saving:
    """Changes that are being stored, by gameId; an empty record removes a forgotten player.

    Whoever stores them sets `saved`. To store them twice does no harm.
    """

    records: dict[str, bytes]
    saved: bool = False


class _Seen:
    """A person, and the record they were last seen with: mods repeat the same one in each event."""

    __slots__ = ("person", "record")

    def __init__(self, person: Person) -> None:
        self.person = person
        self.record: tuple[Any, Any, Any] | None = None


def _is_all_of(seen: _Seen, identity: Identity) -> bool:
    person = seen.person
    return identity.steam_id in (None, person.get("steamId")) and identity.platform_id in (
        None,
        person.get("platformId"),
    )


def _is_one(record: Any) -> bool:
    try:
        identity_of(record)
    except Contradiction:
        return False
    return True


def _contradicts(known: str, claimed: str) -> bool:
    """Whether two platform ids mean two players. One of another platform may be the same player's."""
    return known != claimed and known.partition(":")[0] == claimed.partition(":")[0]


def _is_small(value: Any) -> bool:
    return value is None or type(value) is int or (type(value) is str and len(value) <= fields.NAME_CHARS)


class Roster:
    """The players seen in one instance, bounded: who was not seen for longest is forgotten first.

    `contradicted` is called for each record that contradicts itself, or what is known.
    """

    def __init__(self, limit: int = 2_000, contradicted: Callable[[], object] = lambda: None) -> None:
        self._limit = limit
        self.contradicted = contradicted
        self._people: dict[str, _Seen] = {}  # by gameId; last in order is who was seen last
        self._game_ids: dict[str, str] = {}  # gameId, steamId or platformId -> gameId
        self._changed: set[str] = set()

    def learn(self, player: Any) -> None:
        """Remember what a player record of any origin tells; one that names nobody is ignored."""
        with contextlib.suppress(Contradiction):
            self.complete(player)

    def complete(self, raw: Any) -> dict[str, Any] | None:
        """The record as Takaro takes it, with what is known of this person put in; it is learned as well.

        None: it names nobody. A record without a name comes from an identity that is already gone; its
        BIS id is not the gameId Takaro knows, so it is only of use when that person was seen before.
        Raises Contradiction if it means several players, by itself or by what is known: nothing is learned.
        """
        if type(raw) is not dict:
            if type(raw) is list and raw:
                self.contradicted()
                raise Contradiction("there are several records")
            return None
        game_id = raw.get("gameId")
        record = (raw.get("name"), raw.get("steamId"), raw.get("platformId"))
        seen = self._people.get(game_id) if type(game_id) is str else None
        if seen is None or seen.record != record or not RECORD_KEYS.issuperset(raw):
            try:
                identity = identity_of(raw)
                seen = self._look_up(identity)
            except Contradiction:
                self.contradicted()
                raise
            if seen is None:
                return None
            # Only a record that points to this person in all it says may be recognised by sight later.
            if (
                game_id == seen.person["gameId"]
                and all(map(_is_small, record))
                and _is_all_of(seen, identity)
            ):
                seen.record = record
        self._people[seen.person["gameId"]] = self._people.pop(seen.person["gameId"])  # seen just now
        player: dict[str, Any] = {**seen.person}
        if (value := raw.get("ip")) and (ip := fields.address(value)):
            player["ip"] = ip
        if (ping := fields.number(raw.get("ping"))) is not None:
            player["ping"] = ping
        return player

    @contextlib.contextmanager
    def saving(self) -> Iterator[Saving]:
        """What is not saved yet. The next `saving` gives it again unless `saved` was set by the end of the
        block: an error or a cancellation loses no change."""
        saving = Saving({game_id: self._record(game_id) for game_id in self._changed})
        self._changed.clear()
        try:
            yield saving
        finally:
            if not saving.saved:
                self._changed.update(saving.records)

    def restore(self, records: Mapping[bytes, bytes] | Mapping[str, bytes]) -> None:
        """Take in what was stored. Who is already known keeps their gameId. The next changes take out of the
        store what is not learned from it."""
        unsaved = set(self._changed)
        for record in records.values():
            try:
                person = orjson.loads(record)
            except orjson.JSONDecodeError:
                continue  # an empty record is a forgotten player; a damaged one is learned again
            if type(person) is not dict or type(person.get("gameId")) is not str or not _is_one(person):
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

    def _look_up(self, identity: Identity) -> _Seen | None:
        known = self._who(identity)
        if not known:
            known = identity.game_id
            if identity.steam_id and (not known or fields.is_bis_id(known)):
                known = identity.steam_id  # mods know a player by this id
            if not known or (not identity.name and fields.is_bis_id(known)):
                return None
            self._add(known)
        seen = self._people[known]
        person = seen.person
        if identity.name and identity.name not in (fields.DEFAULT_NAME, person["name"]):
            person["name"] = identity.name
            self._changed.add(known)
        # An id that is somebody else's stays theirs: to send it here would be the collision.
        for key, value in (("steamId", identity.steam_id), ("platformId", identity.platform_id)):
            if value and key not in person and self._game_ids.setdefault(value, known) == known:
                person[key] = value
                self._changed.add(known)
        return seen

    def _who(self, identity: Identity) -> str:
        """The gameId of whoever has these ids, the most trusted first; "" if none is known. Raises
        Contradiction if they are not all of one person."""
        ids = (identity.steam_id, identity.platform_id, identity.game_id)
        known = [self._game_ids[one] for one in ids if one in self._game_ids]
        if not known:
            return ""
        if any(other != known[0] and not self._is_half_known(other) for other in known):
            raise Contradiction("gameId, steamId and platformId: are known as ids of several players")
        person = self._people[known[0]].person
        if identity.steam_id and person.get("steamId", identity.steam_id) != identity.steam_id:
            raise Contradiction("steamId: is another one than that of the known player")
        if identity.platform_id and _contradicts(person.get("platformId", ""), identity.platform_id):
            raise Contradiction("platformId: is another one than that of the known player")
        return known[0]

    def _is_half_known(self, game_id: str) -> bool:
        """Whether of this person only the BIS id was ever seen: it may be anybody's."""
        return fields.is_bis_id(game_id) and "steamId" not in self._people[game_id].person

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
