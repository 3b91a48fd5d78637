"""Moments with their time zones: when something was due, when it was handed in.

A moment without a zone is one of the deadline's zone; a deadline without one is in the zone of this machine.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

MOMENT = re.compile(
    r"\s*(?P<date>\d{4}-\d\d-\d\d)(?:[T ]\s*(?P<time>\d\d:\d\d(?::\d\d)?)(?:\.\d+)?)?\s*(?P<zone>\S.*?)?\s*", re.DOTALL
)
OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d\d):?(\d\d)?")


def zone_of(text: str) -> tzinfo:
    """The zone of "Z", "UTC", "+01:00" or "Europe/Berlin"; ValueError for what is none."""
    if text.upper() in ("Z", "UTC", "GMT"):
        return timezone.utc
    if m := OFFSET.fullmatch(text):
        length = timedelta(hours=int(m[2]), minutes=int(m[3] or 0))
        return timezone(length if m[1] == "+" else -length)
    try:
        if re.fullmatch(r"[A-Za-z][\w+-]*(?:/[\w+-]+)*", text):
            return ZoneInfo(text)
    except Exception:  # zoneinfo raises what the file system does
        pass
    raise ValueError(f"{text!r} is no time zone")


def parse(text: str, zone: tzinfo | None) -> tuple[datetime, bool]:
    """A moment, and whether it has a time of day; without a zone of its own in the given one, or this machine's.

    ValueError for what is no date, or a date that does not exist.
    """
    m = MOMENT.fullmatch(text)
    if not m:
        raise ValueError(f"{text!r} is no date")
    clock = time.fromisoformat(m["time"]) if m["time"] else time()
    naive = datetime.combine(datetime.strptime(m["date"], "%Y-%m-%d").date(), clock)
    return attach(naive, zone_of(m["zone"]) if m["zone"] else zone), bool(m["time"])


def attach(moment: datetime, zone: tzinfo | None) -> datetime:
    """The moment in a zone; None is this machine's."""
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()


def deadline(due: str, zone: tzinfo | None = None) -> datetime:
    """The last moment that is not late; a date alone means through the end of that day. ValueError for a wrong one.

    Without a zone of its own it is in the given one, or this machine's.
    """
    moment, timed = parse(due, zone)
    if timed:
        return moment
    m = MOMENT.fullmatch(due)
    own = zone_of(m["zone"]) if m and m["zone"] else zone
    return attach(datetime.combine(moment.date(), time(23, 59, 59, 999_999)), own)


def zone_in(due: str) -> tzinfo | None:
    """The zone that a deadline names; None if it names none."""
    m = MOMENT.fullmatch(due)
    return zone_of(m["zone"]) if m and m["zone"] else None


def said(moment: datetime) -> str:
    """The moment for a person, with its zone."""
    offset = moment.strftime("%z")
    name = moment.tzname() or ""
    shown = f"{name} " if name and not re.match(r"UTC[+-]|[+-]", name) and name != "UTC" else ""
    return f"{moment:%Y-%m-%d %H:%M:%S} {shown}(UTC{offset[:3]}:{offset[3:5]})"


def handed_in(text: str, zone: tzinfo | None) -> datetime | None:
    """When a system says that something was handed in: Blackboard's 2026-11-30-22-00-00, Brightspace's
    Oct 10, 2025 1022 AM, Gradescope's 2021-09-20 18:04:05.123 Z, Moodle's Tuesday, 1 December 2026, 5:46 PM; None if it
    cannot be read.
    """
    text = text.strip()
    if m := re.fullmatch(r"(\d{4}-\d\d-\d\d)-(\d\d)-(\d\d)-(\d\d)", text):
        text = f"{m[1]} {m[2]}:{m[3]}:{m[4]}"
    try:
        return parse(text, zone)[0]
    except (ValueError, OverflowError):
        pass
    words = re.sub(r"^[A-Z][a-z]+day ", "", " ".join(re.sub(r"[,.:]", "", text).split()))
    for form in ("%b %d %Y %I%M %p", "%d %b %Y %I%M %p", "%b %d %Y %H%M", "%d %b %Y %H%M"):
        for month in (form, form.replace("%b", "%B")):
            if m := re.fullmatch(r"(.*\d{4}) (\d{3})( [AP]M)?", words):
                words = f"{m[1]} 0{m[2]}{m[3] or ''}"
            try:
                return attach(datetime.strptime(words, month), zone)
            except (ValueError, OverflowError):
                continue
    return None


def stamped(text: str) -> datetime | None:
    """The moment in nbgrader's timestamp.txt, which is UTC unless it says otherwise; None if there is none."""
    try:
        return parse(text.strip()[:100], timezone.utc)[0]
    except (ValueError, OverflowError):
        return None
