"""What can go wrong, sorted by who has to act.

RelayError
├── ConfigError        the operator: a setting is wrong; the text names the key and the fix
│   └── AddressInUse   the operator: another program listens there
├── StoreError         try again later: Redis is away, loading, failing over or full
│   └── NotCarriedOut  the same, and it is certain that nothing was done
│       └── StoreRefused   the operator: Redis answers, but must not be used as it is configured
├── NoSuchInstance     whoever asked: no instance has this slug
├── InstanceConflict   whoever asked: the change contradicts what is there; the text says what and the way out
└── LostLease          nobody: another uplink owns the instance now; stop touching it
"""


class RelayError(Exception):
    """Base of everything the relay raises on purpose."""


class ConfigError(RelayError):
    """A setting is wrong. `str(error)` is one line a person can act on: key, what, how to fix it."""


class AddressInUse(ConfigError):
    """Another program listens on the address and port that a setting names."""


class StoreError(RelayError):
    """Redis did not do what was asked. Whether it happened all the same is unknown."""


class NotCarriedOut(StoreError):
    """Redis refused before it did anything, or was never asked. `str(error)` says why."""


class StoreRefused(NotCarriedOut):
    """Redis is reachable but its settings would lose data, or it lacks a command we need."""


class LostLease(RelayError):
    """A fenced write was refused: the lease on this instance is no longer ours."""


class NoSuchInstance(RelayError):
    """No instance has this slug."""


class InstanceConflict(RelayError):
    """A change of instances contradicts what is there."""
