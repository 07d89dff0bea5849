"""Logging in and out of the board: Django's views, with templates of ours, behind the brake of wrong log-ins."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse_lazy

from board_app.openid.attempt import remember_log_out
from sessions_app import log_in_forms
from sessions_app.authentication import NO_ROLE
from sessions_app.roles import Role


class LogInForm(log_in_forms.LogInForm):
    """Lets in every active user who has a role."""

    def confirm_login_allowed(self, user: User) -> None:
        """Refuse a user without a role, whose password was right, in words that help."""
        super().confirm_login_allowed(user)
        if Role.of(user) is None:
            raise ValidationError(NO_ROLE, code=log_in_forms.NO_ROLE_CODE)


class _LogInPage(LoginView):
    authentication_form = LogInForm
    template_name = "board/log_in.html"
    next_page: Any = reverse_lazy("board:sessions")
    extra_context: Any = {"title": "Log in"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Name the provider of OpenID Connect, where there is one."""
        named = {"openid_name": settings.ACCOUNTS.openid_button}
        return named | super().get_context_data(**kwargs)


def log_in(request: HttpRequest) -> HttpResponseBase:
    """Answer with the page for logging in; with 429 where nobody looked at the password."""
    return log_in_forms.as_429_where_braked(request, _LogInPage.as_view()(request))


def log_in_page(
    request: HttpRequest, status: int, message: str, following: str
) -> HttpResponseBase:
    """Return the page for logging in as the answer to an attempt to log in by OpenID Connect.

    Args:
        request: a GET.
        status: of the answer.
        message: says why nobody was logged in.
        following: the address that the user wanted to see; "" for the board.
    """
    context = {"title": "Log in", "openid_message": message, "next": following}
    response: Any = _LogInPage.as_view(extra_context=context)(request)
    response.status_code = status
    # Django would log each of them.
    response._has_been_logged = True
    return response.render()  # type: ignore[no-any-return]


def log_out(request: HttpRequest) -> HttpResponseBase:
    """Log out; and have the provider of OpenID Connect, where there is one, ask who comes next."""
    response = LogoutView.as_view(next_page=reverse_lazy("board:log_in"))(request)
    remember_log_out(request, response)
    return response


def log_out_of_admin_site(request: HttpRequest) -> HttpResponseBase:
    """Do the same at the admin site, with the page that it has for this."""
    response = admin.site.logout(request)
    remember_log_out(request, response)
    return response
