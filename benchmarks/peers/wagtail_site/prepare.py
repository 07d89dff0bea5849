"""Fills the site: so many editors, each logged in and with a page of its own open. Prints what each of them sends."""

# mypy: ignore-errors

import json
import sys

import django

django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.utils import timezone
from wagtail.admin.models import EditingSession
from wagtail.models import Page

BACKEND = "django.contrib.auth.backends.ModelBackend"


def editor(number: int) -> dict[str, str]:
    """Make an editor; return the path of its ping and the key of its login session."""
    user = get_user_model().objects.create_superuser(f"editor-{number}")
    page = Page.objects.get(depth=1).add_child(instance=Page(title=f"Page {number}"))
    opened = EditingSession.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(Page),
        object_id=str(page.pk),
        last_seen_at=timezone.now(),
    )
    login = SessionStore()
    login[SESSION_KEY] = str(user.pk)
    login[BACKEND_SESSION_KEY] = BACKEND
    login[HASH_SESSION_KEY] = user.get_session_auth_hash()
    login.create()
    path = f"/admin/editing-sessions/ping/wagtailcore/page/{page.pk}/{opened.pk}/"
    return {"path": path, "login": login.session_key}


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    print(json.dumps([editor(number) for number in range(int(sys.argv[1]))]))
