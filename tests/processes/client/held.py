"""What the server holds for clients."""

from sessions_app.models import EditSession, PlaceInLine
from tests.waiting import eventually


def is_free() -> bool:
    return not EditSession.objects.exists() and not PlaceInLine.objects.exists()


def check_is_kept(session_id: str | None = None) -> None:
    """Check that a beat comes for that session, or for the only one that there is."""
    sessions = EditSession.objects.all()
    if session_id:
        sessions = sessions.filter(pk=session_id)
    before = sessions.get().last_heartbeat
    eventually(lambda: sessions.get().last_heartbeat > before)
