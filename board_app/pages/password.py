"""The page on which users change their own password."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse_lazy

from board_app.access import page
from sessions_app import log_in_forms
from sessions_app.authentication import Principal


class _PasswordPage(log_in_forms.PasswordPage):
    template_name = "board/password.html"
    success_url = reverse_lazy("board:sessions")
    extra_context: Any = {"title": "Change your password"}

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was changed.")
        return super().form_valid(form)


@page
def change(request: HttpRequest, who: Principal) -> Any:
    """Answer with the page; with 429 where nobody looked at the old password."""
    view = _PasswordPage.as_view(extra_context={**_PasswordPage.extra_context, "who": who})
    answer: HttpResponseBase = log_in_forms.as_429_where_braked(request, view(request))
    return answer
