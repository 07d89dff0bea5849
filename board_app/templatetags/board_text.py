"""Filters of templates: people and moments as the board writes them."""

from datetime import UTC, datetime, tzinfo

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions_app.text import name_of, person_of

register = template.Library()
register.filter("full_name", name_of)
register.filter("person", person_of)


@register.filter
def moment(at: datetime, zone: tzinfo | None = None) -> SafeString:
    """Return a time in a zone that the page names, or in UTC; the script writes it in the reader's zone."""
    shown = f"{at.astimezone(zone or UTC):%Y-%m-%d %H:%M:%S}{'' if zone else ' UTC'}"
    return format_html('<time datetime="{}">{}</time>', moment_iso(at), shown)


@register.filter
def moment_iso(at: datetime) -> str:
    """Return a time as the script reads it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
