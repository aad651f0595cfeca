"""The errors that the relay raises, and who has to act."""


def in_our_words(message: str) -> str:
    """A complaint of pydantic in the words of this project."""
    for theirs, ours in {"Value error, ": "", "Input should": "must", "String should": "must"}.items():
        message = message.replace(theirs, ours)
    return message


class RelayError(Exception):
    """Base of all errors that the relay raises on purpose."""


class ConfigError(RelayError):
    """For the operator: a setting is wrong. `str(error)` is a line: the key, what is wrong, how to fix it."""


class AddressInUse(ConfigError):
    """For the operator: another program listens on the address and port that a setting names."""


class StoreError(RelayError):
    """Try again later: a call of Redis failed, and Redis may have carried it out all the same."""


class NotCarriedOut(StoreError):
    """The same, but it is certain that nothing was done, or that the call was never sent."""


class StoreRefused(NotCarriedOut):
    """For the operator: Redis answers, but its settings would lose data, or it lacks a command we need."""


class LostLease(RelayError):
    """For no person: another uplink owns the instance now, so stop using it."""


class NoSuchInstance(RelayError):
    """For the caller: no instance has this slug."""


class InstanceConflict(RelayError):
    """For the caller: a change contradicts what is stored or configured. The text says how to go on."""


class RotationUnderWay(InstanceConflict):
    """For the caller: a mod key is to be replaced while an earlier one still works beside it."""


class IdempotencyConflict(InstanceConflict):
    """For the caller: the Idempotency-Key was used for another call, or what that call made is gone."""
