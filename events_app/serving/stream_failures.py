"""Says with which refusal a stream ends that cannot be opened, or cannot go on."""

import logging

from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.presence.backend import StreamRefused, backend
from events_app.presence.stream_interface import (
    OpenStream,
    StreamDisplaced,
    StreamForeign,
    StreamGone,
    TooManyStreams,
)
from events_app.serving.admission import NoProgress
from events_app.serving.stream_http import FAILED, too_many, unavailable

logger = logging.getLogger(__name__)


def refusal_for(error: Exception, stream: OpenStream) -> StreamRefused:
    """Return the refusal, and log what the operator has to know."""
    match error:
        case StreamRefused():
            return error
        case StreamGone():
            return backend().unknown()
        case StreamForeign():
            return backend().foreign()
        case StreamDisplaced():
            return backend().displacement()
        case TooManyStreams():
            return too_many(error.most, stream.grant)
        case NoProgress():
            logger.warning(
                "stream refused: no stream got past this step in time", extra={"step": error}
            )
            return unavailable()
    if isinstance(error, DATABASE_UNAVAILABLE):
        # An open stream's client comes back with its Last-Event-ID and misses nothing.
        extra = {"stream": stream.connection_id, "error": error}
        logger.warning("a stream could not reach the database", extra=extra)
        return unavailable()
    logger.error("a stream failed", exc_info=error, extra={"stream": stream.connection_id})
    return FAILED
