"""django-eventstream's storage on the event log: `send_event(channel, ...)` from any process reaches the streams."""

from django.db import transaction
from django_eventstream.event import Event
from django_eventstream.storage import EventDoesNotExist, StorageBase

from events_app.log import event_log
from events_app.log.event_log import NewEvent


class EventLogStorage(StorageBase):
    """Named by `EVENTSTREAM_STORAGE_CLASS`.

    The library hands each sent event to the local listeners of its channel at once, before the commit and also
    before a rollback. Our streams listen under names of their own (`relay.listening_name`), so only the relay
    reaches them, with what was committed.
    """

    def append_event(self, channel: str, event_type: str, data: str) -> Event:
        """Append one event.

        Args:
            channel: the channel's name.
            event_type: the SSE event name.
            data: JSON text.
        """
        with transaction.atomic():
            (event_id,) = event_log.append([NewEvent([channel], event_type, data)])
        return Event(channel, event_type, data, id=event_id)

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[Event]:
        """Return up to `limit` events of a channel after an id.

        Raises:
            EventDoesNotExist: if the log does not reach back to the id, or not yet up to it.
        """
        state = event_log.state()
        if not state.trimmed_through <= last_id <= state.head.id:
            raise EventDoesNotExist(f"No such event {last_id}", state.head.id)
        return [
            Event(channel, entry.type, entry.data, id=entry.id)
            for entry in event_log.read([channel], last_id, limit).entries
        ]

    def get_current_id(self, channel: str) -> int:
        """Return the newest id of the log, which is one for all channels."""
        return event_log.state().head.id
