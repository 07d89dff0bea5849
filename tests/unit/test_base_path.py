"""The path below which a proxy shows the service."""

import pytest

from events_app.http.base_path import without
from events_app.http.lane_parser import PlainRequest, read
from silo.hot_calls import HOT_CALLS


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        (b"/silo", b"/"),
        (b"/silo/", b"/"),
        (b"/silo?a=b", b"/?a=b"),
        (b"/silo/api/items?q=/silo", b"/api/items?q=/silo"),
        (b"/silo/silo/x", b"/silo/x"),
        (b"/silos/x", b"/silos/x"),
        (b"/api/items", b"/api/items"),
        (b"*", b"*"),
    ],
)
def test_it_is_taken_away_once_where_it_stands(target, rest):
    assert without(b"/silo", target) == rest
    assert without(b"", target) == target


@pytest.mark.parametrize("target", [b"/silo/api/events?all=true", b"/api/events?all=true"])
def test_a_hot_call_below_it_is_one(target):
    request = read(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target, HOT_CALLS, b"/silo")
    assert isinstance(request, PlainRequest)
    assert request.target == b"/api/events?all=true"


def test_without_it_no_address_below_one_is_a_hot_call():
    assert read(b"GET /silo/api/events HTTP/1.1\r\nHost: h\r\n\r\n", HOT_CALLS) is None
