"""Forms and a page that ask for a password: wrong ones are slowed down, and the page says in words for how long.

The admin site and the board share them.
"""

from typing import Any

from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.debug import sensitive_variables

from sessions_app.wrong_credentials import LogIn

_WAIT = "_seconds_to_wait"
# Of the refusal of a user whose password was right, but who has no role.
NO_ROLE_CODE = "no_role"


class LogInForm(AuthenticationForm):
    """Django's, behind the brake."""

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Refuse without a look at the password where too many were wrong."""
        username = self.cleaned_data.get("username")
        assert self.request is not None
        if username is None or not self.cleaned_data.get("password"):
            return super().clean()
        attempt = LogIn(self.request, username)
        _take(attempt, self.request)
        try:
            cleaned = super().clean()
        except ValidationError as error:
            if error.code == NO_ROLE_CODE:
                attempt.succeeded()
            else:
                attempt.failed()
            raise
        attempt.succeeded()
        return cleaned


class PasswordForm(PasswordChangeForm):
    """Django's, behind the same brake: whoever finds a browser that is logged in guesses its user's password."""

    request: HttpRequest  # which its page gives it

    @sensitive_variables()
    def clean_old_password(self) -> str:
        """Refuse without a look at the old password where too many were wrong."""
        attempt = LogIn(self.request, self.user.get_username())
        _take(attempt, self.request)
        try:
            old: str = super().clean_old_password()
        except ValidationError:
            attempt.failed()
            raise
        attempt.succeeded()
        return old


class PasswordPage(PasswordChangeView):
    """Django's page on which users change their own password, with that form."""

    form_class: Any = PasswordForm

    def get_form(self, form_class: Any = None) -> Any:
        """Return the form, which knows the request."""
        form: Any = super().get_form(form_class)
        form.request = self.request
        return form


def as_429_where_braked(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return the answer of such a page; as a 429 where nobody looked at the password."""
    if seconds := getattr(request, _WAIT, 0):
        response.status_code = 429
        response["Retry-After"] = str(seconds)
    return response


def _take(attempt: LogIn, request: HttpRequest) -> None:
    if seconds := attempt.seconds_to_wait():
        setattr(request, _WAIT, seconds)
        raise ValidationError(
            f"Too many log-ins with this name or from this address were wrong. Try again in {seconds} seconds.",
            code="too_many",
        )
