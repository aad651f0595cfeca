"""The errors that the relay raises, and who has to act.

RelayError
├── ConfigError        the operator: a setting is wrong; the text names the key and the fix
│   └── AddressInUse   the operator: another program listens there
├── StoreError         try again later: Redis is away, loading, failing over or full
│   └── NotCarriedOut  the same, and it is certain that nothing was done
│       └── StoreRefused   the operator: Redis answers, but must not be used as it is configured
├── NoSuchInstance     the caller: no instance has this slug
├── InstanceConflict   the caller: the change contradicts what is stored; the text says what, and how to go on
│   ├── RotationUnderWay     a key that was replaced before still works
│   └── IdempotencyConflict  the Idempotency-Key was used for another call, or what that made is gone
└── LostLease          nobody: another uplink owns the instance now; stop touching it
"""


class RelayError(Exception):
    """Base of all errors that the relay raises on purpose."""


class ConfigError(RelayError):
    """A setting is wrong. `str(error)` is one line: the key, what is wrong, how to fix it."""


class AddressInUse(ConfigError):
    """Another program listens on the address and port that a setting names."""


class StoreError(RelayError):
    """A call of Redis failed. Redis may have carried it out all the same."""


class NotCarriedOut(StoreError):
    """Redis refused the call before it did anything, or the call was never sent. `str(error)` says why."""


class StoreRefused(NotCarriedOut):
    """Redis is reachable but its settings would lose data, or it lacks a command we need."""


class LostLease(RelayError):
    """Redis refused a write, because the lease of the instance is no longer ours."""


class NoSuchInstance(RelayError):
    """No instance has this slug."""


class InstanceConflict(RelayError):
    """A change of an instance contradicts what is stored or configured."""


class RotationUnderWay(InstanceConflict):
    """A mod key is to be replaced while the one that was replaced before still works."""


class IdempotencyConflict(InstanceConflict):
    """An Idempotency-Key is not new, and its call cannot be repeated."""
