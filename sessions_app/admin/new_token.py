"""The form of a new API token, and the page that shows it once."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from sessions_app import accounts
from sessions_app.form_texts import PlainTextField
from sessions_app.models import ApiToken
from sessions_app.roles import Role
from sessions_app.token_rules import MAX_DAYS, MAX_NAME, why_not

DAYS = 90


class NewTokenForm(forms.Form):
    """Whose token, what for, how much it allows and for how long."""

    user = forms.CharField(max_length=150, help_text="The account's name, in any spelling.")
    role = forms.ChoiceField(
        choices=[(role.group, role.group) for role in Role],
        help_text="The most that the token allows; the user's own role limits it too.",
    )
    name = PlainTextField(
        label="What for",
        max_length=MAX_NAME,
        required=False,
        help_text="For example: CAD on cad-17.",
    )
    days = forms.IntegerField(
        min_value=1,
        max_value=MAX_DAYS,
        required=False,
        initial=DAYS,
        help_text="How long it is valid. Without a number it has no end.",
    )

    def clean_user(self) -> User:
        """Find the account."""
        user = accounts.find(self.cleaned_data["user"])
        if user is None:
            raise ValidationError("There is no such user.")
        return user

    def clean(self) -> dict[str, Any]:
        """Refuse a role that the user does not have."""
        cleaned = super().clean() or self.cleaned_data
        user, role = cleaned.get("user"), cleaned.get("role")
        if user and role and (fault := why_not(user, Role[role.upper()])):
            self.add_error("role", fault)
        return cleaned


def make(request: HttpRequest, form: NewTokenForm) -> tuple[ApiToken, str]:
    """Make the token of a valid form, and note who made it; return its row, and the token itself."""
    given = form.cleaned_data
    lifetime = timedelta(days=given["days"]) if given["days"] else None
    name = given["name"] or f"{given['role']} token"
    who: Any = request.user
    with transaction.atomic():
        row, token = ApiToken.objects.issue(given["user"], name, given["role"], lifetime)
        LogEntry.objects.log_actions(who.pk, [row], ADDITION, f"Made for {given['user']}.")
    return row, token
