"""The hot calls: what clients send all the time, and streams, which come all at once after a restart. The server reads
and answers them in its lane (`EVENTS_HOT_CALLS`). Which application answers is still decided by `silo/asgi.py`."""

import re
from typing import Final

# Method and address, as they are sent. Part numbers in paths may hold slashes.
HOT_CALLS: Final = re.compile(
    rb"POST /api/(?:"
    rb"workstations/[^/?]+/alive"
    rb"|edit-sessions/(?:batch|release)"
    rb"|items/[^?]+/edit-sessions(?:/[^/?]+/verify)?"
    rb")"
    rb"|DELETE /api/(?:items/[^?]+/edit-sessions/[^/?]+|workstations/[^/?]+/edit-sessions)"
    rb"|GET /api/events(?:\?.*)?"
)
