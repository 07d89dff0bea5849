"""`EditSession.objects`: every change of an edit session goes through here."""

from sessions_app.managers.handoff import HandingOff


class EditSessionManager(HandingOff):
    """Acquire, stay, end, hand over."""
