"""Forgeries of what streams got."""

from dataclasses import replace

from tests.history import History, Received
from tests.unit.true_history import S1, S4, STREAMS, Forgeries, change, got, lose, receive


def _an_opening_without_a_session() -> History:
    opening = replace(STREAMS[3].received[0], data={"connection_id": "c", "sessions": []})
    return receive(3, lambda events: [opening, *events[1:]])


def _an_opening_with_a_session_that_ended() -> History:
    opening = replace(STREAMS[6].received[0], data={"connection_id": "c", "sessions": [S4]})
    return receive(6, lambda events: [opening, *events[1:]])


def _an_event_that_came_twice() -> History:
    def twice(events: list[Received]) -> list[Received]:
        number = next(n for n, event in enumerate(events) if event.id == "e-5")
        return [*events[: number + 1], *events[number:]]

    return receive(4, twice)


def _events_out_of_order() -> History:
    def swapped(events: list[Received]) -> list[Received]:
        told = [event for event in events if event.id]
        return [*told[:3], told[4], told[3], *told[5:]]

    return receive(4, swapped)


def _an_event_with_other_data() -> History:
    other = replace(got(1)[0], data=S1 | {"context_level": "sketchy"})
    return receive(4, lambda events: [other if e.id == "e-1" else e for e in events])


FORGERIES: Forgeries = {
    "openings_are_true": [
        ("wrong: set.., missing: {'s2'}", _an_opening_without_a_session()),
        ("wrong: {'s4'}", _an_opening_with_a_session_that_ended()),
        ("begins with .*heartbeat", receive(6, lambda events: events[1:])),
    ],
    "resets_have_a_reason": [
        ("its resets: .*e-8", change("streams", 5, last_event_id="e-8")),
        (
            r"its resets: \[\]",
            receive(5, lambda events: [e for e in events if e.name != "stream-reset"]),
        ),
        (
            "begins with .*'e-8'.*'e-8'",
            receive(5, lambda events: [replace(events[0], id="e-8"), *events[1:]]),
        ),
        ("begins with .*'e-4'", change("streams", 3, last_event_id="e-2")),
    ],
    "streams_are_complete": [
        ("got .*'e-4'.* where the log has .*acquired 2 ", receive(4, lose(2))),
        ("got .*'e-5'.* where the log has .*released 7 ", _an_event_that_came_twice()),
        ("got .*'e-5'.* where the log has .*released 4 ", _events_out_of_order()),
        (
            "got .*'e-1'.* where the log has .*acquired 2 ",
            receive(2, lambda events: [events[0], *got(1), *events[1:]]),
        ),
        ("sketchy", _an_event_with_other_data()),
        ("had not got .*acquired 8 .* at 39", receive(3, lose(8))),
    ],
    "clients_go_on_where_they_were": [
        ("begins where its client never was", change("streams", 1, last_event_id="e-7")),
    ],
}
