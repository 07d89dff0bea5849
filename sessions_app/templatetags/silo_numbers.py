"""The template tag of the numbers on the admin site's index."""

from typing import Any

from django import template
from django.utils import timezone

from sessions_app.admin.numbers import numbers
from sessions_app.admin.shown import time_shown

register = template.Library()


@register.inclusion_tag("admin/sessions_app/numbers.html", takes_context=True)
def silo_numbers(context: Any) -> dict[str, Any]:
    """Show how much there is on each list that the reader may see."""
    request = context["request"]
    return {"numbers": numbers(request), "as_of": time_shown(timezone.now()), "request": request}
