"""The page on which people log in: wrong passwords are slowed down, and it says in words for how long."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_variables

from sessions_app.wrong_credentials import LogIn

_WAIT = "_seconds_to_wait"


class LogInForm(AdminAuthenticationForm):
    """Django's, behind the brake."""

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Refuse without a look at the password where too many were wrong."""
        username = self.cleaned_data.get("username")
        assert self.request is not None
        if username is None or not self.cleaned_data.get("password"):
            return super().clean()
        attempt = LogIn(self.request, username)
        if seconds := attempt.seconds_to_wait():
            setattr(self.request, _WAIT, seconds)
            raise ValidationError(
                f"Too many log-ins with this name or from this address were wrong. Try again in {seconds} seconds.",
                code="too_many",
            )
        try:
            cleaned = super().clean()
        except ValidationError:
            attempt.failed()
            raise
        attempt.succeeded()
        return cleaned


def log_in(request: HttpRequest) -> HttpResponse:
    """Answer with the page of the admin site; with 429 where nobody looked at the password."""
    response: HttpResponse = admin.site.login(request)
    if seconds := getattr(request, _WAIT, 0):
        response.status_code = 429
        response["Retry-After"] = str(seconds)
    return response
