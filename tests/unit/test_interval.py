"""The interval of a page's address."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import RequestFactory

from board_app.history.interval import BadInterval, of_query
from board_app.history.zones import COOKIE, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
# In Berlin it is the 5th already.
NOW = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
TODAY = date(2026, 3, 5)


def asked(zone=BERLIN, **query):
    return of_query({key.rstrip("_"): value for key, value in query.items()}, NOW, zone)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, date(2026, 2, 27), TODAY),
        ({"range": "today"}, TODAY, TODAY),
        ({"range": "30d"}, date(2026, 2, 4), TODAY),
        ({"from_": "2026-01-02", "to": "2026-01-05"}, date(2026, 1, 2), date(2026, 1, 5)),
        ({"from_": "2026-03-01"}, date(2026, 3, 1), TODAY),
        ({"from_": "2026-03-01", "to": "2026-03-20"}, date(2026, 3, 1), date(2026, 3, 20)),
    ],
)
def test_it_is_days_of_the_readers_zone(query, first, last):
    interval = asked(**query)
    assert (interval.first, interval.last) == (first, last)


def test_it_lasts_from_midnight_to_midnight_there():
    day = asked(from_="2025-03-30", to="2025-03-30")
    assert day.start == datetime(2025, 3, 29, 23, tzinfo=UTC)
    assert day.end == datetime(2025, 3, 30, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "query",
    [
        {"range": "week"},
        {"from_": "yesterday"},
        {"from_": "2026-02-30"},
        {"from_": "0001-01-01", "to": "0001-01-02"},
        {"from_": "2026-03-05", "to": "9999-12-31"},
        {"to": "2026-03-01"},
        {"from_": "2026-03-02", "to": "2026-03-01"},
        {"from_": "2026-03-06"},
        {"from_": "2024-01-01", "to": "2026-01-01"},
    ],
)
def test_others_are_refused_in_a_sentence(query):
    with pytest.raises(BadInterval, match=r"^\S.*\.$"):
        asked(**query)


def test_earlier_and_later_have_no_gap_and_lead_back():
    week = asked()
    before = week.shifted(-1, TODAY)
    assert (before.last - week.first).days == -1
    assert before.query == "from=2026-02-20&to=2026-02-26"
    assert before.shifted(1, TODAY) == week
    assert before.shifted(1, TODAY).query == "range=7d"
    assert week.shifted(1, TODAY) is None


def test_what_is_later_may_be_partly_to_come():
    days = asked(from_="2026-02-27", to="2026-03-02")
    assert days.shifted(1, TODAY).query == "from=2026-03-03&to=2026-03-06"


@pytest.mark.parametrize(
    ("cookie", "zone"),
    [
        ("Europe%2FBerlin", "Europe/Berlin"),
        ("Europe/Berlin", "Europe/Berlin"),
        ("UTC", "UTC"),
        ("Etc%2FGMT%2B5", "Etc/GMT+5"),
        # As Chromium calls Kathmandu; some systems have no former names of zones.
        ("Asia%2FKatmandu", "Asia/Katmandu"),
        ("", "UTC"),
        ("Europe", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("Mars%2FBase", "UTC"),
    ],
)
def test_a_browser_names_its_zone(cookie, zone):
    request = RequestFactory().get("/")
    request.COOKIES[COOKIE] = cookie
    assert zone_of(request).key == zone
