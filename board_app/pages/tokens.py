"""The page on which users make, see and revoke their own bearer tokens: `operations/tokens.py` has the rules."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from board_app.access import page, shown
from sessions_app.authentication import Principal
from sessions_app.errors import DomainError
from sessions_app.form_texts import PlainTextField
from sessions_app.models import ApiToken
from sessions_app.operations import tokens
from sessions_app.roles import Role
from sessions_app.token_rules import MAX_NAME

# As many as one page shows; a user may make fewer.
ROWS_AT_ONCE = 200


class TokenForm(forms.Form):
    """What a new token is for, what it allows, and for how long."""

    name = PlainTextField(label="What is it for?", max_length=MAX_NAME)
    role = forms.ChoiceField(
        label="It allows at most the role",
        help_text="To edit, a program needs the role editor; with viewer it only shows.",
    )
    days = forms.IntegerField(
        label="Days until it ends", min_value=1, max_value=tokens.MOST_DAYS, initial=90
    )

    def __init__(self, *args: Any, most: Role, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices = [(one.group, one.group) for one in Role if one <= most]


@require_http_methods(["GET", "HEAD", "POST"])
@page
def show(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer with the page. A token that was made by it is in this one answer, and nowhere else."""
    assert who.role is not None
    made = None
    form = TokenForm(request.POST or None, most=who.role)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        role, lifetime = Role[given["role"].upper()], timedelta(days=given["days"])
        try:
            _, made = tokens.make(who.user, given["name"], role, lifetime)
            form = TokenForm(most=who.role)
        except DomainError as refusal:
            form.add_error(None, refusal.message)
    own = ApiToken.objects.filter(user=who.user).valid().order_by("-pk")[:ROWS_AT_ONCE]
    context = {"title": "Your tokens", "form": form, "made": made, "tokens": own}
    return shown(request, who, "board/tokens.html", context)


@require_POST
@page
def revoke(request: HttpRequest, who: Principal, token_id: int) -> HttpResponse:
    """Revoke one, and lead back to the page."""
    tokens.revoke_own(who.user, token_id)
    messages.success(request, "The token is revoked.")
    return redirect("board:tokens")
