"""Rules of a recorded history about streams: what each got, who lives by one, and who has left.

Run by `tests/history_checker.py`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from math import inf
from typing import Final

from tests.history import Entry, History, Life, Rule, Stream, position


def openings_are_true(h: History) -> Iterator[str]:
    """`stream-open` comes first and shows what the workstation holds: at its id on a fresh stream, else by then."""
    for stream in h.streams:
        if not stream.received:
            continue
        first = stream.received[0]
        shown = {session["session_id"] for session in first.data.get("sessions", ())}
        own = {life.row.session: life for life in h.lives_of.get(stream.workstation or "", ())}
        if stream.last_event_id:
            must = {s for s, x in own.items() if h.spans(x, stream.requested, first.at)}
            may = {s for s, x in own.items() if h.overlaps(x, stream.requested, first.at)}
        else:
            must = may = {s for s, x in own.items() if first.id and x.at(position(first.id))}
        if first.name != "stream-open" or not must <= shown <= may:
            yield f"{stream} begins with {first}; wrong: {shown - may}, missing: {must - shown}"


def resets_have_a_reason(h: History) -> Iterator[str]:
    """A cursor of this log is continued from exactly there, any other is answered with `stream-reset`.

    Until that has come, the client has no cursor with which it would miss it.
    """
    for stream in h.streams:
        brought = stream.last_event_id
        ours = _is_of(h, brought)
        opening = [event for event in stream.received if event.id][:2]
        if not opening:
            continue
        resets = [event for event in stream.received if event.name == "stream-reset"]
        foreign = brought != "" and not ours
        right = foreign != _is_of(h, opening[0].id) and (not ours or opening[0].id == brought)
        if resets != (opening[1:] if foreign else []) or not right:
            yield f"{stream} begins with {opening}, its resets: {resets}"


def streams_are_complete(h: History) -> Iterator[str]:
    """A stream has, from where it began, every event of its channels once, in the order of the log, and in time."""
    followed: dict[frozenset[str], list[Entry]] = {}
    for stream in h.streams:
        if stream.channels not in followed:
            followed[stream.channels] = [e for e in h.log if e.channels & stream.channels]
        expected = followed[stream.channels]
        place, last = 0, 0.0
        for event in stream.received:
            last = event.at
            if event.name in {"stream-open", "stream-reset"}:
                here = position(event.id) if _is_of(h, event.id) else inf
                place = bisect_right(expected, here, key=lambda e: e.id)
            elif event.id:
                e = expected[place] if place < len(expected) else None
                place += 1
                known = (f"{h.epoch}-{e.id}", e.type, e.data) if e else None
                if known != (event.id, event.name, event.data):
                    yield f"{stream} got {event} where the log has {e}"
                    break
        else:
            if place < len(expected) and expected[place].at + h.limits.patience < last:
                yield f"{stream} had not got {expected[place]} at {last:.3f}"


def clients_go_on_where_they_were(h: History) -> Iterator[str]:
    """A cursor of this log that a client brings was shown to it: what is recorded is one unbroken watch."""
    seen: dict[str, set[str]] = {}
    for stream in h.streams:
        seen.setdefault(stream.client, set()).update(event.id for event in stream.received)
    for stream in h.streams:
        brought = stream.last_event_id
        if _is_of(h, brought) and brought not in seen[stream.client]:
            yield f"{stream} begins where its client never was"


def live_locks_are_kept(h: History) -> Iterator[str]:
    """While a stream of its workstation is open and talks, no session is lost."""
    for life in h.lives.values():
        end = life.released
        if not end or end.row.reason not in {"disconnected", "expired"}:
            continue
        before = h.limits.timeout / 2 if end.row.reason == "expired" else h.limits.tolerance
        for stream in h.streams_of.get(life.row.workstation, ()):
            # What is older than this and was silent until now may have been taken for dead meanwhile.
            since = end.at - before
            if end.row.reason == "disconnected" and stream.received:
                since = max(since, stream.received[0].at)
            if since <= end.at and stream.live(
                since, end.at + h.limits.tolerance, h.limits.silence
            ):
                yield f"{end}, and this was open: {stream}"


def all_has_a_cause(h: History) -> Iterator[str]:
    """Nothing is acquired or released unasked, a disconnect needs a client that ended a stream, a time-out its time."""
    asked: dict[tuple[str, str], float] = {}
    for op in h.operations:
        if op.kind in {"release", "force_release", "handoff"} and op.may_have_happened:
            key = op.kind, op.request["session_id"]
            asked[key] = min(op.start, asked.get(key, inf))
    for life in h.lives.values():
        by = life.acquired.at + h.limits.clock
        acquires = h.acquires_of.get((life.row.workstation, life.row.lock), ())
        if life.row.session not in h.granted and not any(
            op.start <= by and op.got in {None, life.row.session} for op in acquires
        ):
            yield f"{life.acquired}: nobody asked for it"
        if life.released and not _caused(h, life, life.released, asked):
            yield f"{life.released}: without a cause"


def who_left_holds_nothing(h: History) -> Iterator[str]:
    """Without a stream a workstation loses what it holds: at once, or if there was a fault, a time-out later."""
    for workstation, streams in h.streams_of.items():
        for last, back in absences(streams):
            deadline = _deadline(h, last)
            if deadline > min(back, h.ended):
                continue
            for life in h.lives_of.get(workstation, ()):
                bound = life.acquired.at < back and _is_bound(h, life, last.ended)
                if bound and life.until > deadline:
                    yield f"{life.acquired} until {life.until:.3f}, not {deadline:.3f}, after {last}"


def _is_of(h: History, cursor: str) -> bool:
    """Whether the log can be continued from there."""
    epoch, _, number = cursor.partition("-")
    return epoch == h.epoch and number.isdecimal() and int(number) <= (h.log[-1].id if h.log else 0)


def _caused(h: History, life: Life, end: Entry, asked: dict[tuple[str, str], float]) -> bool:
    by = end.at + h.limits.clock
    match end.row.reason:
        case "released":
            return asked.get(("release", end.session), inf) <= by
        case "force_released":
            return asked.get(("force_release", end.session), inf) <= by
        case "disconnected":
            ends = [s.ended for s in h.streams_of.get(life.row.workstation, ()) if s.by_client]
            return any(end.at - h.limits.lateness <= ended <= by for ended in ends)
        case "handed_off":
            return asked.get(("handoff", end.session), inf) <= by
        case "idle":
            return end.at - life.acquired.at >= h.limits.idle - h.limits.clock
        case "expired":
            return end.at - life.acquired.at >= h.limits.timeout
    return False


def absences(streams: Iterable[Stream]) -> Iterator[tuple[Stream, float]]:
    """Yield the last stream before each time without any, and when that time ended."""
    last: Stream | None = None
    for stream in sorted(streams, key=lambda s: s.requested):
        if last and stream.requested > last.ended:
            yield last, stream.requested
        if not last or stream.ended >= last.ended:
            last = stream
    if last:
        yield last, inf


def _deadline(h: History, last: Stream) -> float:
    """Return when the sessions of a stream must have ended: after a time-out if there was a fault."""
    since = last.ended
    if last.by_client and not h.disturbed(since - h.limits.prompt, since + h.limits.prompt):
        return since + h.limits.prompt
    for begin, end in sorted(h.faults):
        if begin <= since + h.limits.prompt:
            since = max(since, end)
    deadline = since + h.limits.settle
    for begin, end in sorted(h.outages):
        if begin <= deadline and end >= last.ended:
            deadline = max(deadline, end + h.limits.settle)
    return deadline


def _is_bound(h: History, life: Life, left: float) -> bool:
    """Whether a session lived by the stream: it was there when that ended, or was wanted or given with it only."""
    if life.acquired.at <= left or life.row.session in h.granted:
        return True
    acquires = h.acquires_of.get((life.row.workstation, life.row.lock), ())
    return all(op.request.get("connection_id") for op in acquires)


RULES: Final[tuple[Rule, ...]] = (
    openings_are_true,
    resets_have_a_reason,
    streams_are_complete,
    clients_go_on_where_they_were,
    live_locks_are_kept,
    all_has_a_cause,
    who_left_holds_nothing,
)
