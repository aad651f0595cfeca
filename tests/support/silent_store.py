"""A store whose hints are lost on their way."""

from services.relay.store.client import Store


class SilentStore(Store):
    """What it writes is there, and nobody is told."""

    def hint(self, channel: str, slug: str) -> None:
        """It is lost."""
