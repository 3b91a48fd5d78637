"""When something is due and when it came: in which zone, and who is late."""

import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading import hand_in, times
from grading.late import Rule
from tests.grading.test_hand_in import NAME, SOLVED, collected


@pytest.fixture
def machine(monkeypatch):
    """machine(zone): this machine is there."""

    def put(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "due", "utc"),
    [
        ("UTC", "2026-12-01 18:00", "2026-12-01 18:00:00"),
        ("America/New_York", "2026-12-01 18:00", "2026-12-01 23:00:00"),
        ("Europe/Berlin", "2026-12-01T18:00:30", "2026-12-01 17:00:30"),
        ("Europe/Berlin", "2026-07-01 18:00", "2026-07-01 16:00:00"),
        ("Europe/Berlin", "2026-12-01", "2026-12-01 22:59:59.999999"),
        ("Asia/Kolkata", "2026-12-01T18:00+01:00", "2026-12-01 17:00:00"),
        ("Asia/Kolkata", "2026-12-01 18:00 +0530", "2026-12-01 12:30:00"),
        ("Asia/Kolkata", "2026-12-01T18:00Z", "2026-12-01 18:00:00"),
        ("Asia/Kolkata", "2026-12-01 18:00 America/New_York", "2026-12-01 23:00:00"),
        ("Asia/Kolkata", "2026-12-01 America/New_York", "2026-12-02 04:59:59.999999"),
        ("Asia/Kolkata", " 2026-12-01 18:00 UTC-3 ".replace("-3", "-03"), "2026-12-01 21:00:00"),
    ],
)
def test_a_deadline_is_a_moment(machine, zone, due, utc):
    machine(zone)
    assert times.deadline(due) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "due",
    ["2026-13-01", "2026-02-30", "2026-12-01 25:00", "2026-12-01 18:61", "01.12.2026", "18:00", "tomorrow",
     "2026-12-01 18:00 Mars/Olympus", "2026-12-01 18:00 ../../etc/passwd", "2026-12-01 6pm", "0000-01-01",
     "2026-12-01 18:00 +99:00"],
)  # fmt: skip
def test_a_wrong_deadline_is_refused(due):
    with pytest.raises((ValueError, OverflowError)):
        times.deadline(due)


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.{0,12}", fullmatch=True))
def test_any_text_is_a_moment_or_none(text):
    for read in (times.stamped, lambda text: times.handed_in(text, None)):
        moment = read(text)
        assert moment is None or moment.tzinfo is not None


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2026-12-01 22:30:00.123456 UTC", "2026-12-01 22:30"),
        ("2026-12-01 22:30:00", "2026-12-01 22:30"),
        ("2026-12-01 22:30:00 America/Los_Angeles", "2026-12-02 06:30"),
        ("2026-12-01 22:30:00+01:00\n", "2026-12-01 21:30"),
    ],
)
def test_nbgraders_timestamp_is_utc_unless_it_says_otherwise(machine, stamp, utc):
    machine("America/New_York")
    assert times.stamped(stamp) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize("stamp", ["", "2026-99-99", "yesterday", "x" * 10_000])
def test_a_timestamp_that_is_none_is_flagged_and_stops_nobody(tmp_path, stamp):
    found = collected(
        tmp_path,
        {"ada/forward-pass/forward-pass.ipynb": SOLVED, "ada/forward-pass/timestamp.txt": stamp.encode()},
    )
    assert found["ada"].when is None
    assert [flag.kind for flag in found["ada"].flags] == ["time not understood"]


def test_when_systems_say_that_something_came(machine):
    machine("Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")
    for text in ("2026-11-30-22-00-00", "Nov 30, 2026 1000 PM", "30 November, 2026 1000 PM", "30 November, 2026 2200"):
        assert times.handed_in(text, None) == datetime(2026, 11, 30, 22, tzinfo=berlin), text
    assert times.handed_in("Oct 10, 2026 922 AM", UTC) == datetime(2026, 10, 10, 9, 22, tzinfo=UTC)
    assert times.handed_in("2026-11-30 22:00:00.123456000 Z", berlin) == datetime(2026, 11, 30, 22, tzinfo=UTC)
    assert times.handed_in("30. marraskuuta 2026 2200", None) is None


def test_the_members_of_an_export_have_no_times_and_a_students_timestamp_counts_for_nothing(tmp_path):
    early = b"2026-11-01 00:00:00 UTC"
    moodle = collected(
        tmp_path,
        {
            "Ada_1_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Eve_2_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Eve_2_assignsubmission_file/timestamp.txt": early,
            "Eva_3_assignsubmission_file/forward-pass/forward-pass.ipynb": SOLVED,
            "Eva_3_assignsubmission_file/forward-pass/timestamp.txt": early,
        },
    )
    assert [entry.when for entry in moodle.values()] == [None] * 3
    plain = collected(
        tmp_path,
        {
            "ada/forward-pass.ipynb": SOLVED,
            "emmy/forward-pass.ipynb": SOLVED,
            "eve/forward-pass/forward-pass.ipynb": SOLVED,
            "eve/forward-pass/timestamp.txt": early,
            "eva/timestamp.txt": early,
            "eva/forward-pass.ipynb": SOLVED,
        },
    )
    assert [entry.when for entry in plain.values()] == [None] * 4


def test_attempts_and_metadata_have_times(tmp_path):
    zone = timezone(timedelta(hours=-5))
    found = collected(
        tmp_path,
        {
            "HW_ada_attempt_2026-11-29-10-00-00_forward-pass.ipynb": SOLVED,
            "HW_ada_attempt_2026-11-30-10-00-00_forward-pass.ipynb": SOLVED,
            "HW_ada_attempt_2026-12-24-10-00-00.txt": b"",
        },
        zone=zone,
    )
    assert found["ada"].when == datetime(2026, 11, 30, 10, tzinfo=zone)
    assert [str(flag) for flag in found["ada"].flags] == [
        "several attempts: took that of 2026-11-30-10-00-00, not 2026-11-29-10-00-00, 2026-12-24-10-00-00"
    ]
    assert hand_in.choose(found["ada"], NAME)[0] == SOLVED


@pytest.mark.parametrize(
    ("zone", "says"),
    [("Europe/Berlin", "2026-12-01 18:00:00 CET (UTC+01:00)"),
     ("America/New_York", "2026-12-01 18:00:00 EST (UTC-05:00)"),
     ("UTC", "2026-12-01 18:00:00 (UTC+00:00)"), ("Asia/Kolkata", "2026-12-01 18:00:00 IST (UTC+05:30)")],
)  # fmt: skip
def test_the_run_says_which_zone(machine, zone, says):
    machine(zone)
    assert times.said(times.deadline("2026-12-01 18:00")) == says


@pytest.mark.parametrize(
    ("zone", "stamp", "late"),
    [
        ("America/New_York", "2026-12-01 22:30:00 UTC", "no"),  # 17:30 there
        ("America/New_York", "2026-12-01 23:30:00 UTC", "yes"),
        ("Europe/Berlin", "2026-12-01 17:45:00 UTC", "yes"),  # 18:45 there
        ("Europe/Berlin", "2026-12-01 16:59:59 UTC", "no"),
    ],
)
def test_who_is_late_is_decided_in_the_zone_of_the_deadline(machine, zone, stamp, late):
    machine(zone)
    entry = hand_in.Submission("ada", when=times.stamped(stamp))
    assert Rule(times.deadline("2026-12-01 18:00")).judge(entry).late == late
    assert Rule().judge(entry).late == "no"


def test_a_date_means_through_the_end_of_that_day(machine):
    machine("Europe/Berlin")
    limit = times.deadline("2026-12-01")
    for clock, late in (("22:59:40", "no"), ("22:59:59", "no"), ("23:00:00", "yes")):
        assert Rule(limit).judge(hand_in.Submission("ada", when=times.stamped(f"2026-12-01 {clock} UTC"))).late == late


def test_canvas_says_who_is_late_and_moodle_says_nothing():
    limit = times.deadline("2026-12-01")
    assert Rule(limit).judge(hand_in.Submission("ada", judged=True)).late == "no"
    assert Rule(limit).judge(hand_in.Submission("ada", judged=True, late=True)).late == "yes"
    assert Rule(limit).judge(hand_in.Submission("ada")).late == ""
