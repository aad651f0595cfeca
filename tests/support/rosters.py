"""The changes that a roster would store."""

from services.modapi.dialect.roster import Roster


def saved(roster: Roster) -> dict[str, bytes]:
    """Save all changes. Returns them by gameId."""
    return roster.take_changes()
