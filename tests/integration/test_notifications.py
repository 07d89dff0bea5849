"""A relay delivers what a notification tells, if it lacks nothing before; else it reads the log."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import psycopg
import pytest
from django.db import connection, transaction

from events_app.database import sql
from events_app.log import event_log, relay
from events_app.log.event_log import NewEvent
from events_app.log.notification import MOST_PORTIONS, PORTION_BYTES
from events_app.log.relay import Relay
from events_app.models import LogEntry
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("committed_db")


class Observed(Relay):
    """A relay that counts how often it reads the log, and can be kept from hearing a notification."""

    def __init__(self) -> None:
        super().__init__(on_gap=lambda: None)
        self.reads = 0
        self.deaf = lambda text: False
        self.heard = 0

    async def _read_page(self, connection):
        self.reads += 1
        return await super()._read_page(connection)

    def _add(self, text):
        self.heard += 1
        return True if self.deaf(text) else super()._add(text)


@pytest.fixture
def delivered(monkeypatch) -> list[tuple[int, str]]:
    """The ids and types of what was delivered."""
    some: list[tuple[int, str]] = []
    monkeypatch.setattr(relay, "deliver", lambda entry, reach: some.append((entry.id, entry.type)))
    return some


@pytest.fixture
def following(delivered) -> Iterator[Observed]:
    """A relay that runs in a thread of its own, and reads the log no more unless it has to."""
    observed = Observed()
    loop = asyncio.new_event_loop()
    running: asyncio.Task[None]

    def run() -> None:
        nonlocal running
        running = loop.create_task(observed.run())
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(running)
        # What a test has begun in a thread of the loop is over before the next test begins.
        loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        eventually(lambda: observed.listening)
        # The first read of the log is over once a notification is heard.
        say("first")
        eventually(lambda: observed.heard == 1)
        eventually(lambda: [name for _, name in delivered] == ["first"])
        yield observed
    finally:
        loop.call_soon_threadsafe(running.cancel)
        thread.join()
        loop.close()


def say(*words: str, data: str = "{}") -> list[int]:
    with transaction.atomic():
        return event_log.append([NewEvent(["here"], word, data) for word in words])


def append_untold() -> None:
    """Append an entry of which no relay is notified, under the log's lock, as every append is."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [sql.LOG_LOCK_ID])
        LogEntry.objects.create(channels=["here"], type="unannounced", data="{}")


def names(delivered) -> Callable[[], list[str]]:
    return lambda: [name for _, name in delivered]


@pytest.fixture
def never_idle(monkeypatch) -> None:
    """No read of the log because nothing was heard for a while."""
    monkeypatch.setattr(relay.timings, "RELAY_IDLE_SECONDS", 60.0)


@pytest.mark.usefixtures("never_idle")
def test_what_fits_is_delivered_without_a_read(following, delivered):
    before = following.reads
    ids = say("a", "b") + say("c")
    eventually(lambda: names(delivered)()[1:] == ["a", "b", "c"])
    assert [event_id for event_id, _ in delivered][1:] == ids
    assert following.reads == before


@pytest.mark.usefixtures("never_idle")
def test_ids_of_a_rolled_back_transaction_are_no_gap(following, delivered):
    before = following.reads
    say("a")
    with suppress(ZeroDivisionError), transaction.atomic():
        (lost,) = say("never")
        raise ZeroDivisionError
    (after,) = say("b")
    assert after > lost
    eventually(lambda: names(delivered)()[1:] == ["a", "b"])
    assert following.reads == before


@pytest.mark.usefixtures("never_idle")
def test_several_appends_of_one_transaction_follow_each_other(following, delivered):
    before = following.reads
    with transaction.atomic():
        say("a")
        with suppress(ZeroDivisionError), transaction.atomic():
            say("never")
            raise ZeroDivisionError
        say("b")
    eventually(lambda: names(delivered)()[1:] == ["a", "b"])
    assert following.reads == before


@pytest.mark.usefixtures("never_idle")
def test_what_was_not_heard_is_read_before_what_is_heard_next(following, delivered):
    append_untold()
    say("announced")
    eventually(lambda: names(delivered)()[1:] == ["unannounced", "announced"])


@pytest.mark.usefixtures("never_idle")
def test_a_lost_notification_is_made_good_by_the_next_one(following, delivered):
    following.deaf = lambda text: True
    say("lost")
    eventually(lambda: following.heard == 2)
    following.deaf = lambda text: False
    assert names(delivered)()[1:] == []
    say("next")
    eventually(lambda: names(delivered)()[1:] == ["lost", "next"])


@pytest.mark.usefixtures("never_idle")
def test_what_does_not_fit_is_read(following, delivered):
    before = following.reads
    text = '"' + "ü" * (PORTION_BYTES // 2) + '"'
    say("large", data=text)
    eventually(lambda: names(delivered)()[1:] == ["large"])
    assert following.reads > before
    assert LogEntry.objects.order_by("id").last().data == text


# Ten of these are more than a portion.
LONG = '"' + "x" * 800 + '"'


@pytest.mark.usefixtures("never_idle")
def test_an_append_that_fits_into_several_portions_is_delivered_without_a_read(
    following, delivered
):
    before, heard = following.reads, following.heard
    words = [str(number) for number in range(150)]
    ids = say(*words, data=LONG)
    eventually(lambda: delivered[1:] == list(zip(ids, words, strict=True)))
    assert following.reads == before
    assert following.heard - heard > 10


@pytest.mark.usefixtures("never_idle")
def test_more_portions_than_are_sent_are_read(following, delivered):
    before = following.reads
    words = [str(number) for number in range(10 * MOST_PORTIONS)]
    ids = say(*words, data=LONG)
    eventually(lambda: delivered[1:] == list(zip(ids, words, strict=True)))
    assert following.reads > before


@pytest.mark.parametrize("lost", [0, 7, 14], ids=["first", "middle", "last"])
@pytest.mark.usefixtures("never_idle")
def test_a_lost_portion_is_made_good(following, delivered, lost):
    heard = following.heard
    following.deaf = lambda text: following.heard - heard == lost + 1
    words = [str(number) for number in range(130)]
    say(*words, data=LONG)
    eventually(lambda: following.heard - heard > lost)
    say("next")
    eventually(lambda: names(delivered)()[1:] == [*words, "next"])


@pytest.mark.usefixtures("never_idle")
def test_a_connection_that_is_lost_between_two_portions_loses_and_doubles_nothing(
    following, delivered, monkeypatch
):
    """What waits to be delivered then is read again."""
    lost = []

    async def lose():
        # The log is read again with the next connection.
        del following._deliver_all
        lost.append(len(following._next))
        raise psycopg.OperationalError("lost")

    following._deliver_all = lose
    # One a turn, so that most of them wait.
    monkeypatch.setattr(relay, "DELIVERING_SECONDS", 0.0)
    words = [str(number) for number in range(100)]
    ids = say(*words, data=LONG)
    eventually(lambda: delivered[1:] == list(zip(ids, words, strict=True)))
    assert lost == [pytest.approx(100, abs=99)]


@pytest.mark.usefixtures("never_idle")
def test_what_is_notified_while_the_log_is_read_is_delivered_once(following, delivered):
    """Its notification comes with the answer to the statement that reads it, or behind it."""
    read_page = following._read_page
    said = []
    idle = threading.Event()
    idle.set()

    async def reading(connection):
        idle.clear()
        if len(said) < 3:
            said.append(await asyncio.to_thread(say_and_close, f"meanwhile {len(said)}"))
        more = await read_page(connection)
        if len(said) < 6:
            said.append(await asyncio.to_thread(say_and_close, f"behind {len(said)}"))
        idle.set()
        return more

    following._read_page = reading
    for number in range(3):
        append_untold()
        say(f"announced {number}")
        # Each of them is read by itself.
        eventually(lambda word=f"announced {number}": word in names(delivered)())
    eventually(
        lambda: (
            idle.is_set()
            and len(delivered) == 1 + LogEntry.objects.filter(id__gt=delivered[0][0]).count()
        )
    )
    # There were three reads at least.
    assert len(said) >= 5
    ids = [event_id for event_id, _ in delivered]
    assert ids == sorted(set(ids))


def say_and_close(word: str) -> list[int]:
    try:
        return say(word)
    finally:
        connection.close()


def shared_by(count: int) -> frozenset[str]:
    return frozenset(f"workstation:{number}" for number in range(count))


@pytest.mark.parametrize(
    ("count", "read"), [(event_log.AUDIENCE_LEAST, False), (PORTION_BYTES // 10, True)]
)
@pytest.mark.usefixtures("never_idle")
def test_the_channels_of_an_audience_come_with_its_events(following, monkeypatch, count, read):
    """In the notification, if they fit."""
    entries = []
    monkeypatch.setattr(relay, "deliver", lambda entry, reach: entries.append(entry))
    shared = shared_by(count)
    reads = following.reads
    with transaction.atomic():
        ids = event_log.append([NewEvent([word], word, {}, shared) for word in ("1", "2")])
    eventually(
        lambda: [(one.id, one.channels) for one in entries] == [(ids[0], ["1"]), (ids[1], ["2"])]
    )
    assert [set(one.shared) for one in entries] == [shared, shared]
    assert entries[0].shared is entries[1].shared
    assert (following.reads > reads) == read


@pytest.mark.usefixtures("never_idle")
def test_what_would_be_taken_for_a_separator_is_read(following, delivered):
    before = following.reads
    for text in ("\x1e", "\x1f"):
        with transaction.atomic():
            event_log.append([NewEvent([f"channel{text}"], "in a channel", "{}")])
            event_log.append([NewEvent(["here"], "in its data", text)])
    eventually(lambda: names(delivered)()[1:] == 2 * ["in a channel", "in its data"])
    assert following.reads > before


@pytest.mark.usefixtures("never_idle")
def test_a_new_epoch_is_noticed(following, delivered):
    gaps = []
    following._on_gap = lambda: gaps.append("gap")
    with transaction.atomic():
        event_log.begin_epoch()
    eventually(lambda: gaps == ["gap"])
    say("in the new epoch")
    eventually(lambda: names(delivered)()[1:] == ["in the new epoch"])


@pytest.mark.parametrize("size", [7_600, 7_800, 7_850, 7_900, 7_950, 8_100])
@pytest.mark.usefixtures("never_idle")
def test_entries_about_as_large_as_a_notification_are_delivered(following, delivered, size):
    say("about", data='"' + "x" * size + '"')
    eventually(lambda: names(delivered)()[1:] == ["about"])


def test_text_is_kept_as_it_is():
    text = '{"part": "A \\"1\\" \\u0041 \\\\ \u2028 ü\ud83d\ude00"}'.encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16")
    (event_id,) = say("text", data=text)
    entry = LogEntry.objects.get(pk=event_id)
    assert (entry.data, entry.channels) == (text, ["here"])
