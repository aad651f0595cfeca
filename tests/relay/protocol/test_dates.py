"""The end of a ban is read in all known forms. An unreadable one is never taken for "for ever"."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.dates import PERMANENT_FROM_YEAR, iso, read_end

END = datetime(2030, 1, 5, 1, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2030-01-05T01:02:00Z",
        "2030-01-05T01:02:00.000Z",
        "2030-01-05T02:02:00+01:00",
        "2030-01-05T01:02:00",
        "2030-01-05 01:02:00",
        "2030-01-05T01:02",
        "2030-1-5T1:2:0Z",
        "2030-1-5T1:2:0",
        "2030-1-5 1:2:0",
        "2030-1-5T1:2:0.000Z",
        "2030-1-5T2:2:0+01:00",
        "2030/1/5 1:2:0",
        "20300105T010200Z",
        1893805320,
        1893805320.0,
        "1893805320",
        "1893805320.0",
        1893805320000,
        "1893805320000",
        "20300105010200",
        20300105010200,
        "2030-01-05 01:02:00 UTC",
        "2030-1-5 1:2:0 GMT",
        "2030.01.05 01:02:00",
        " 2030-01-05T01:02:00Z ",
    ],
)
def test_a_date_is_read_in_all_known_forms(written: Any) -> None:
    assert read_end(written) == END


@pytest.mark.parametrize("written", ["2030-01-05", "2030-1-5", "2030/1/5"])
def test_a_day_begins_at_midnight(written: str) -> None:
    assert read_end(written) == datetime(2030, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [None, "", " ", 0, "0", -1, "-1", 0.0, False, {}, [], "null", "never", "Permanent"]
    + [
        "3021-01-01T00:00:00.000Z",
        "3021-1-1T0:0:0Z",
        "9999-12-31T23:59:59-23:00",
        33166800000,
        10**15,
        10**300,
    ]
    + ["33166800000", "99999999999999"],
)
def test_no_date_and_a_date_in_the_far_future_mean_never(written: Any) -> None:
    assert read_end(written) is None


@pytest.mark.parametrize(
    "written",
    [
        "soon",
        "2030",
        "2030-13-01T00:00:00Z",
        "05.01.2030",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:00",
    ]
    + [3600, "86400", -5, True, float("nan"), "nan", [2030], {"at": 1893805320}, "2030-01-05T01:02:00Z" * 3]
    + ["1893805320." + "0" * 40],
)
def test_an_unreadable_date_is_an_error_and_not_permanent(written: Any) -> None:
    with pytest.raises(ValueError, match="not a date"):
        read_end(written)


@given(
    st.integers(1_000_000_000, int(datetime(PERMANENT_FROM_YEAR - 1, 12, 30, tzinfo=UTC).timestamp())),
    st.integers(-14 * 60, 14 * 60),
)
def test_each_moment_is_read_from_all_its_forms(seconds: int, minutes: int) -> None:
    moment = datetime.fromtimestamp(seconds, timezone(timedelta(minutes=minutes)))
    loose = f"{moment.year}-{moment.month}-{moment.day}T{moment.hour}:{moment.minute}:{moment.second}"
    for written in (moment.isoformat(), f"{loose}{moment:%z}", seconds, str(seconds), seconds * 1000):
        assert read_end(written) == moment


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers())
    | st.binary()
)
def test_any_value_is_a_moment_in_utc_or_never_or_an_error(written: Any) -> None:
    try:
        moment = read_end(written)
    except ValueError:
        return
    assert moment is None or iso(moment).endswith("Z")
