"""A gate that lets a few requests in at a time: callers take turns, however many requests each has waiting.

A caller is a user. All unidentified requests (whose credentials are not known) are one caller together, in which the
addresses take turns. `request_gate` uses it.
"""

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Hashable
from typing import Final

UNIDENTIFIED: Final = "unidentified"
# The share of the places that unidentified requests may take: most of them are refused, which takes one short query.
UNIDENTIFIED_SHARE: Final = 1 / 3


class Ticket:
    """One request at the gate.

    Args:
        user_id: its user, or None if it is unidentified.
        address: where it comes from.
        credentials: a digest of those that it brings, if any.
        urgent: whether it goes before other requests of its caller.
    """

    def __init__(
        self,
        user_id: int | None = None,
        address: str = "",
        credentials: bytes | None = None,
        *,
        urgent: bool = False,
    ) -> None:
        self.user_id = user_id
        self.address = address
        self.credentials = credentials
        self.urgent = urgent
        self.inside = False
        self.turn: asyncio.Future[None] | None = None

    @property
    def caller(self) -> Hashable:
        """The caller that it counts for now."""
        return UNIDENTIFIED if self.user_id is None else self.user_id

    @property
    def section(self) -> Hashable:
        """The section of its caller's queue: the addresses of unidentified requests take turns."""
        return self.address if self.user_id is None else None


class _SectionQueue:
    """Tickets in the order in which they came, the urgent ones before the others."""

    def __init__(self) -> None:
        self.urgent: dict[Ticket, None] = {}
        self.ordinary: dict[Ticket, None] = {}

    def of(self, ticket: Ticket) -> dict[Ticket, None]:
        return self.urgent if ticket.urgent else self.ordinary

    def first(self) -> Ticket:
        return next(iter(self.urgent or self.ordinary))

    def __bool__(self) -> bool:
        return bool(self.urgent or self.ordinary)


class _CallerQueue:
    """The queue of one caller, whose sections take turns."""

    def __init__(self) -> None:
        self.sections: OrderedDict[Hashable, _SectionQueue] = OrderedDict()

    def add(self, ticket: Ticket) -> None:
        self.sections.setdefault(ticket.section, _SectionQueue()).of(ticket)[ticket] = None

    def remove(self, ticket: Ticket) -> None:
        queue = self.sections[ticket.section]
        del queue.of(ticket)[ticket]
        if not queue:
            del self.sections[ticket.section]

    def take(self) -> Ticket:
        """Return the ticket whose turn it is. The next turn is another section's."""
        section, queue = next(iter(self.sections.items()))
        ticket = queue.first()
        self.sections.move_to_end(section)
        self.remove(ticket)
        return ticket


class FairGate:
    """A gate with some places. It is used in one event loop only.

    Where several callers wait, the next place goes to the one that has the fewest, and among these to the one whose
    last turn is the longest ago. A caller never takes all places: one with slow requests leaves room for the others.

    Args:
        places: how many tickets are inside at once.
        shared: whether different callers share the gate; if not, all requests may take all places.
    """

    def __init__(self, places: int, *, shared: bool = True) -> None:
        self._places = places
        self._most = max(1, places - 1) if shared else places
        self._most_unidentified = max(1, int(places * UNIDENTIFIED_SHARE)) if shared else places
        self._inside: Counter[Hashable] = Counter()
        # The callers that wait, in the order of their turns.
        self._queues: OrderedDict[Hashable, _CallerQueue] = OrderedDict()
        # Unidentified tickets, waiting or inside, by their credentials.
        self._unidentified: defaultdict[bytes, dict[Ticket, None]] = defaultdict(dict)

    def waiting(self, ticket: Ticket) -> int:
        """Return how many tickets that are not urgent wait in the section of a ticket."""
        line = self._queues.get(ticket.caller)
        queue = line.sections.get(ticket.section) if line else None
        return len(queue.ordinary) if queue else 0

    def join(self, ticket: Ticket) -> "asyncio.Future[None]":
        """Queue a ticket; return a future that is done as soon as it is inside. The ticket has to `leave` in any
        case."""
        ticket.turn = asyncio.get_running_loop().create_future()
        if ticket.user_id is None and ticket.credentials is not None:
            self._unidentified[ticket.credentials][ticket] = None
        self._queue(ticket)
        self._let_in()
        return ticket.turn

    def leave(self, ticket: Ticket) -> None:
        """Give up a place inside or in the line; a second time changes nothing."""
        if ticket.turn is None:
            return
        if ticket.inside:
            self._count(ticket, -1)
        else:
            self._unqueue(ticket)
        ticket.inside, ticket.turn = False, None
        self._forget_unidentified(ticket)
        self._let_in()

    def identified(self, credentials: bytes, user_id: int) -> None:
        """Count the tickets with these credentials, waiting or inside, as this user's from now on."""
        tickets = self._unidentified.pop(credentials, None)
        if not tickets:
            return
        for ticket in tickets:
            if ticket.inside:
                self._count(ticket, -1)
            else:
                self._unqueue(ticket)
            ticket.user_id = user_id
            if ticket.inside:
                self._count(ticket, +1)
            else:
                self._queue(ticket)
        self._let_in()

    def _let_in(self) -> None:
        while self._inside.total() < self._places:
            caller = self._next_caller()
            if caller is None:
                return
            line = self._queues.pop(caller)
            ticket = line.take()
            if line.sections:
                self._queues[caller] = line
            ticket.inside = True
            self._count(ticket, +1)
            # Its request may have been cancelled in this very turn of the loop; then it leaves in the next one.
            if ticket.turn is not None and not ticket.turn.done():
                ticket.turn.set_result(None)

    def _next_caller(self) -> Hashable:
        """Return the caller whose turn it is, or None. The search ends at the first caller that has no place."""
        best: Hashable = None
        for caller in self._queues:
            count = self._inside[caller]
            if count >= (self._most_unidentified if caller == UNIDENTIFIED else self._most):
                continue
            if best is None or count < self._inside[best]:
                best = caller
            if count == 0:
                break
        return best

    def _count(self, ticket: Ticket, change: int) -> None:
        self._inside[ticket.caller] += change
        if not self._inside[ticket.caller]:
            del self._inside[ticket.caller]

    def _queue(self, ticket: Ticket) -> None:
        self._queues.setdefault(ticket.caller, _CallerQueue()).add(ticket)

    def _unqueue(self, ticket: Ticket) -> None:
        line = self._queues[ticket.caller]
        line.remove(ticket)
        if not line.sections:
            del self._queues[ticket.caller]

    def _forget_unidentified(self, ticket: Ticket) -> None:
        if ticket.user_id is None and ticket.credentials is not None:
            same = self._unidentified[ticket.credentials]
            same.pop(ticket, None)
            if not same:
                del self._unidentified[ticket.credentials]
