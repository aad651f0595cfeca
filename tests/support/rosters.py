"""What a roster wants to have stored."""

from services.modapi.dialect.roster import Roster


def saved(roster: Roster) -> dict[str, bytes]:
    """Stores all that changed, and returns it: gameId -> record."""
    with roster.saving() as saving:
        saving.saved = True
    return saving.records
