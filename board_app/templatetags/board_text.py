"""Filters of templates: people and moments as the board writes them."""

from datetime import UTC, datetime

from django import template
from django.contrib.auth.models import User
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions_app.text import name_of

register = template.Library()
register.filter("full_name", name_of)


@register.filter
def moment(at: datetime) -> SafeString:
    """Return a time in UTC; the script writes it in the reader's zone."""
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{} UTC</time>', f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M:%S}"
    )


@register.filter
def person(user: User) -> str:
    """Return the full name of a user, with that of the account where it is another one."""
    name, account = name_of(user), user.get_username()
    return account if name == account else f"{name} ({account})"
