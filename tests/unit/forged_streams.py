"""Forgeries of what streams got."""

from dataclasses import replace

from tests.history import History, Received
from tests.unit.true_history import S1, S4, STREAMS, Forgeries, change, got, lose, receive

FORGERIES = Forgeries()
forgery = FORGERIES.refused_by


@forgery("openings_are_true", "wrong: set.., missing: {'s2'}")
def an_opening_without_a_session() -> History:
    opening = replace(STREAMS[3].received[0], data={"connection_id": "c", "sessions": []})
    return receive(3, lambda events: [opening, *events[1:]])


@forgery("openings_are_true", "wrong: {'s4'}")
def an_opening_with_a_session_that_ended() -> History:
    opening = replace(STREAMS[6].received[0], data={"connection_id": "c", "sessions": [S4]})
    return receive(6, lambda events: [opening, *events[1:]])


@forgery("openings_are_true", "begins with .*heartbeat")
def no_opening() -> History:
    return receive(6, lambda events: events[1:])


@forgery("resets_have_a_reason", "its resets: .*e-8")
def a_reset_without_need() -> History:
    return change("streams", 5, last_event_id="e-8")


@forgery("resets_have_a_reason", r"its resets: \[\]")
def a_foreign_cursor_that_was_continued() -> History:
    return receive(5, lambda events: [e for e in events if e.name != "stream-reset"])


@forgery("resets_have_a_reason", "begins with .*'e-8'.*'e-8'")
def a_client_that_could_miss_its_reset() -> History:
    return receive(5, lambda events: [replace(events[0], id="e-8"), *events[1:]])


@forgery("resets_have_a_reason", "begins with .*'e-4'")
def a_stream_continued_from_elsewhere() -> History:
    return change("streams", 3, last_event_id="e-2")


@forgery("streams_are_complete", "got .*'e-4'.* where the log has .*acquired 2 ")
def an_event_that_was_lost() -> History:
    return receive(4, lose(2))


@forgery("streams_are_complete", "got .*'e-5'.* where the log has .*released 7 ")
def an_event_that_came_twice() -> History:
    def twice(events: list[Received]) -> list[Received]:
        number = next(n for n, event in enumerate(events) if event.id == "e-5")
        return [*events[: number + 1], *events[number:]]

    return receive(4, twice)


@forgery("streams_are_complete", "got .*'e-5'.* where the log has .*released 4 ")
def events_out_of_order() -> History:
    def swapped(events: list[Received]) -> list[Received]:
        told = [event for event in events if event.id]
        return [*told[:3], told[4], told[3], *told[5:]]

    return receive(4, swapped)


@forgery("streams_are_complete", "got .*'e-1'.* where the log has .*acquired 2 ")
def an_event_for_others() -> History:
    return receive(2, lambda events: [events[0], *got(1), *events[1:]])


@forgery("streams_are_complete", "sketchy")
def an_event_with_other_data() -> History:
    other = replace(got(1)[0], data=S1 | {"context_level": "sketchy"})
    return receive(4, lambda events: [other if e.id == "e-1" else e for e in events])


@forgery("streams_are_complete", "had not got .*acquired 8 .* at 39")
def an_event_that_does_not_come() -> History:
    return receive(3, lose(8))


@forgery("clients_go_on_where_they_were", "begins where its client never was")
def a_client_that_skips() -> History:
    return change("streams", 1, last_event_id="e-7")
