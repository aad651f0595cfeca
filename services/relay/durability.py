"""May this Redis be trusted with what the relay answers 200 for? Pure: settings in, complaints out.

research/reliability.md 1.1: with `everysec` a plain kill -9 of Redis on a busy disk lost acknowledged
batches, with `always` it lost none. Any eviction policy but `noeviction` may delete a whole stream.
"""

from collections.abc import Mapping

CHECKED_SETTINGS = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy", "maxmemory")

_FIX = {
    "appendonly": ("yes", "a restart of Redis loses every event that waits for delivery"),
    "appendfsync": ("always", "a killed Redis loses events that the relay has already answered for"),
    "no-appendfsync-on-rewrite": (
        "no",
        "events written while the file is rewritten can be lost",
    ),
}


def complaints(settings: Mapping[str, str]) -> list[str]:
    """What must change, one line for each setting: what it is, what it costs, the command that mends it.

    `settings` is the reply to CONFIG GET of CHECKED_SETTINGS; what is missing there is not judged.
    """
    found = [
        f"Redis has {name} '{settings[name]}': {loss}. Fix: CONFIG SET {name} {wanted}"
        for name, (wanted, loss) in _FIX.items()
        if name in settings and settings[name] != wanted
    ]
    if settings.get("appendonly") == "no":
        found = found[:1]  # how an absent file is synced does not matter
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"Redis has maxmemory-policy '{policy}': when memory runs out it deletes events and commands."
            " Fix: CONFIG SET maxmemory-policy noeviction"
        )
    return found
