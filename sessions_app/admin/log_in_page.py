"""The pages that ask for a password: wrong ones are slowed down, and the page says in words for how long."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse_lazy
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
        _take(attempt, self.request)
        try:
            cleaned = super().clean()
        except ValidationError:
            attempt.failed()
            raise
        attempt.succeeded()
        return cleaned


def log_in(request: HttpRequest) -> HttpResponseBase:
    """Answer with the page of the admin site; with 429 where nobody looked at the password."""
    return _told(request, admin.site.login(request))


class PasswordForm(AdminPasswordChangeForm):
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


class _PasswordPage(PasswordChangeView):
    form_class = PasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form(self, form_class: Any = None) -> Any:
        form: Any = super().get_form(form_class)
        form.request = self.request
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | admin.site.each_context(self.request)


def change_password(request: HttpRequest) -> HttpResponseBase:
    """Answer with the page of the admin site on which users change their own password."""
    request.current_app = admin.site.name
    return _told(request, _PasswordPage.as_view()(request))


def _take(attempt: LogIn, request: HttpRequest) -> None:
    if seconds := attempt.seconds_to_wait():
        setattr(request, _WAIT, seconds)
        raise ValidationError(
            f"Too many log-ins with this name or from this address were wrong. Try again in {seconds} seconds.",
            code="too_many",
        )


def _told(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if seconds := getattr(request, _WAIT, 0):
        response.status_code = 429
        response["Retry-After"] = str(seconds)
    return response
