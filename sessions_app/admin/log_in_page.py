"""The pages of the admin site that ask for a password, behind the brake of wrong log-ins."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse_lazy

from sessions_app import log_in_forms


class LogInForm(log_in_forms.LogInForm, AdminAuthenticationForm):
    """The admin site's, behind the brake."""


class PasswordForm(log_in_forms.PasswordForm, AdminPasswordChangeForm):
    """The admin site's, behind the same brake."""


def log_in(request: HttpRequest) -> HttpResponseBase:
    """Answer with the page of the admin site; with 429 where nobody looked at the password."""
    context = {"openid_name": settings.ACCOUNTS.openid_button}
    return log_in_forms.as_429_where_braked(request, admin.site.login(request, context))


class _PasswordPage(log_in_forms.PasswordPage):
    form_class = PasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | admin.site.each_context(self.request)


def change_password(request: HttpRequest) -> HttpResponseBase:
    """Answer with the page of the admin site on which users change their own password."""
    request.current_app = admin.site.name
    return log_in_forms.as_429_where_braked(request, _PasswordPage.as_view()(request))
