"""However requests are cut into packets, and whenever a held body is read on: each is received as it was sent."""

from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.web import http

from events_app.http import twisted_channel
from events_app.http.twisted_channel import Channel
from tests.unit.transport import Transport

LARGE = 20


class Recorded(http.Request):
    """Held if it is large, and answered as soon as it is here."""

    is_event_stream = False
    has_place = False

    @property
    def received(self):
        return self.content.tell()

    def gotLength(self, length):
        self.content = BytesIO()
        if length is not None and length > LARGE:
            self._hold()

    def body_part_arrived(self):
        if not self.has_place and self.received > LARGE:
            self._hold()

    def _hold(self):
        self.has_place = True
        self.channel.pause_body()

    def process(self):
        self.channel.record.append((self.method, self.content.getvalue()))
        self.setHeader(b"Content-Length", b"0")
        self.finish()


def written(method, body, chunks):
    """A request as it is sent: with the length of its body, or in chunks."""
    head = method + b" / HTTP/1.1\r\nHost: a\r\n"
    if chunks is None:
        return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    parts = [body[n : n + chunks] for n in range(0, len(body), chunks)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + sent + b"0\r\n\r\n"


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([b"GET", b"HEAD", b"POST"]),
        st.binary(max_size=3 * LARGE),
        st.none() | st.integers(1, 2 * LARGE),
    ),
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(REQUESTS, st.lists(st.integers(1, 200), min_size=1))
def test_each_request_is_received_as_it_was_sent(requests, sizes):
    twisted_channel.reactor, reactor = Clock(), twisted_channel.reactor
    try:
        channel, transport = Channel(), Transport()
        channel.timeOut = None
        channel.requestFactory = Recorded
        channel.record = []
        channel.makeConnection(transport)
        left = b"".join(written(*request) for request in requests)
        turn = 0
        while left:
            if transport.producerState == "paused":
                channel.resume_body()
                continue
            size = sizes[turn % len(sizes)]
            turn += 1
            channel.dataReceived(left[:size])
            left = left[size:]
        while transport.producerState == "paused":
            channel.resume_body()
        assert channel.record == [(method, body) for method, body, _ in requests]
        assert transport.value().count(b"HTTP/1.1 200 OK") == len(requests)
    finally:
        twisted_channel.reactor = reactor
