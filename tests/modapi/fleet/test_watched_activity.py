"""What modapi keeps of a server that somebody watches."""

from services.modapi.fleet.watched_activity import SHOWN_BYTES, WatchedActivity, bytes_of
from services.relay.instances.activity import ActivityEntry, publish
from services.relay.service.faults import OwnFaults
from services.relay.store.client import Store
from tests.support.waiting import until

SIZE = 60_000
COUNT = 10


async def test_large_events_push_older_ones_out_but_no_commands(store: Store, slug: str) -> None:
    watched = WatchedActivity(store, slug, OwnFaults())
    events = [
        ActivityEntry("event", number, "log", {"msg": "x" * SIZE, "number": number}, "delivered", 5)
        for number in range(COUNT)
    ]
    stop = ActivityEntry("command", COUNT, "shutdown", {}, "answered", 5)

    def heard() -> bool:  # nothing, until it has subscribed
        publish(store, slug, "a run", enumerate([*events, stop]))
        return any(entry.kind == "command" for entry in watched.entries)

    await until(heard)
    await watched.close()
    *kept, last = watched.entries
    assert last.what == "shutdown" and sum(map(bytes_of, kept)) <= SHOWN_BYTES
    assert [entry.data["number"] for entry in kept] == list(range(COUNT))[-(SHOWN_BYTES // SIZE) :]
