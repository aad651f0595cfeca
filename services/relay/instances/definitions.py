"""Merges the instances of relay.toml and of Redis into one table. Pure.

The file wins: a program that may write to Redis cannot change or take over an instance of the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from services.relay.instances.records import AgeS, KeyDigest, Record, digest_of, open_keys
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance

NOT_LET_IN = "its mod is not let in: with several instances each needs a mod key"


@dataclass(frozen=True, slots=True)
class DefinedInstance:
    """One instance of relay.toml or Redis."""

    instance: Instance  # with the registration token that is used; from Redis: without mod keys
    origin: Origin
    keys: tuple[KeyDigest, ...]
    disabled: bool = False
    shadowed: bool = False  # it is not served because of the note
    note: str = ""  # what is wrong with the entry
    added_ms: int = 0  # on Redis' clock; 0, as that of its keys, for an instance of the file: nobody knows it
    external_id: str | None = None

    @property
    def active(self) -> bool:
        """Whether the instance is served."""
        return not (self.disabled or self.shadowed)


def merge(
    file: Iterable[Instance], stored: Mapping[str, Record], age_s: AgeS, fleet_token: SecretStr | None = None
) -> dict[str, DefinedInstance]:
    """All instances by slug, those of the file first. `age_s` gives the age of a time on Redis' clock.
    `fleet_token` is the registration token of stored instances that have none of their own."""
    defined: dict[str, DefinedInstance] = {}
    identities: dict[str, str] = {}  # digest -> slug
    keys: dict[str, str] = {}
    for instance in file:
        digests = tuple(
            KeyDigest(digest=digest_of(key.get_secret_value()), added_ms=0) for key in instance.mod_keys
        )
        identities[digest_of(instance.identity_token.get_secret_value())] = instance.slug
        keys.update((key.digest, instance.slug) for key in digests)
        record = stored.get(instance.slug)
        hides = record is not None and record.removed_ms is None
        note = "an instance of this slug is stored in Redis too: relay.toml wins" if hides else ""
        defined[instance.slug] = DefinedInstance(instance, Origin.FILE, digests, note=note)
    for slug, record in sorted(stored.items(), key=lambda item: (item[1].created_ms, item[0])):
        if slug in defined or record.removed_ms is not None:
            continue
        notes = []
        holder = identities.setdefault(record.identity_digest, slug)
        if holder != slug:
            notes.append(f"not served: {holder} has the same identity token")
        own = []
        for key in open_keys(record.mod_key_digests, age_s):
            opens = keys.setdefault(key.digest, slug) if holder == slug else slug
            if opens == slug:
                own.append(key)
            else:
                notes.append(f"one of its mod keys opens {opens} instead")
        instance = Instance(
            slug=slug,
            name=record.name,
            identity_token=record.identity_token,
            registration_token=record.registration_token or fleet_token,
        )
        defined[slug] = DefinedInstance(
            instance,
            Origin.REDIS,
            tuple(own),
            disabled=record.disabled,
            shadowed=holder != slug,
            note="; ".join(notes),
            added_ms=record.created_ms,
            external_id=record.external_id,
        )
    served = active(defined)
    for slug, definition in served.items() if len(served) > 1 else ():
        if not definition.keys:  # whose mod calls is unknown
            defined[slug] = replace(definition, note="; ".join(filter(None, (definition.note, NOT_LET_IN))))
    return defined


def active(defined: Mapping[str, DefinedInstance]) -> dict[str, DefinedInstance]:
    """Those that are served."""
    return {slug: definition for slug, definition in defined.items() if definition.active}
