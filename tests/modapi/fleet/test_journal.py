"""What readers of streams share: the last of what happened, numbered."""

import asyncio

from services.modapi.fleet.journal import Journal


def test_a_reader_gets_what_is_behind_its_number_and_nothing_once_that_is_gone() -> None:
    journal: Journal[str] = Journal(3, 100, len)
    for item in "abcd":
        journal.add(item)
    assert [journal.since(number) for number in range(6)] == [
        None,
        ["b", "c", "d"],
        ["c", "d"],
        ["d"],
        [],
        None,
    ]
    journal.forget()
    assert journal.since(4) is None and journal.since(journal.number) == []


def test_large_items_push_older_ones_out() -> None:
    journal: Journal[str] = Journal(100, 10, len)
    for item in ("aaaa", "bbbb", "cccc"):
        journal.add(item)
    assert journal.since(journal.oldest) == ["bbbb", "cccc"]
    journal.add("d" * 11)
    assert journal.since(journal.oldest) == []


async def test_a_reader_is_woken_by_an_item_by_the_end_and_by_the_time() -> None:
    journal: Journal[str] = Journal(3, 100, len)
    await journal.news(0, 0.001)
    async with asyncio.timeout(30):
        waiting = asyncio.create_task(journal.news(0, 60))
        await asyncio.sleep(0)
        journal.add("a")
        await waiting
        waiting = asyncio.create_task(journal.news(1, 60))
        await asyncio.sleep(0)
        journal.close()
        await waiting
        await journal.news(1, 60)
