"""`EditSession.objects`: every change of an edit session goes through here."""

from sessions_app.managers.epoch import Renewing


class EditSessionManager(Renewing):
    """Acquire, end, stay, hand over, renew: one file each, each built on the one before."""
