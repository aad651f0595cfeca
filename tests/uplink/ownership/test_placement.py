"""Instances are spread over uplinks, and move no more than they must."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.uplink.ownership.members import preferred

SLUGS = [f"server-{number}" for number in range(300)]
MEMBERS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


@settings(deadline=None)  # many hashes, and a busy machine
@given(MEMBERS)
def test_the_order_of_members_does_not_matter(members: list[str]) -> None:
    assert [preferred(slug, members) for slug in SLUGS[:20]] == [
        preferred(slug, members[::-1]) for slug in SLUGS[:20]
    ]


@settings(deadline=None)  # many hashes, and a busy machine
@given(MEMBERS, st.text(min_size=1, max_size=8))
def test_a_member_that_joins_takes_its_share_and_nothing_else_moves(members: list[str], joining: str) -> None:
    for slug in SLUGS[:50]:
        assert preferred(slug, [*members, joining]) in (preferred(slug, members), joining)


@settings(deadline=None)  # many hashes, and a busy machine
@given(MEMBERS)
def test_a_member_that_leaves_moves_only_its_own_instances(members: list[str]) -> None:
    for slug in SLUGS[:50]:
        owner = preferred(slug, members)
        for closing_times in members:
            if closing_times != owner:
                assert preferred(slug, [m for m in members if m != closing_times]) == owner


def test_every_uplink_gets_a_fair_share() -> None:
    shares = Counter(preferred(slug, ["a", "b", "c"]) for slug in SLUGS)
    assert all(70 <= share <= 130 for share in shares.values())
