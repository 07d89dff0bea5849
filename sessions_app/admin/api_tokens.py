"""The page of API tokens."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest

from sessions_app.admin.base import ReadOnlyModelAdmin, is_admin
from sessions_app.admin.filters import ChoiceFilter, UserFilter
from sessions_app.admin.shown import TimeColumn
from sessions_app.models import ApiToken
from sessions_app.roles import Role

STATES = ["valid", "expired", "revoked", "user deactivated"]


class RoleFilter(ChoiceFilter):
    """By the most that a token allows."""

    title = parameter_name = "role"
    options = {role.group: (role.group, Q(role=role.group)) for role in Role}


class StateFilter(ChoiceFilter):
    """By whether a token is good, and why not."""

    title = parameter_name = "state"
    options = {state: (state, Q(state=state)) for state in STATES}


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyModelAdmin):
    """API tokens: looked at by staff with the view permission, revoked by the role admin.

    Neither a token nor its hash is ever shown. `manage.py createtoken` makes them, and prints them once.
    """

    list_help = (
        'Tokens are made on the server: manage.py createtoken USER --role editor --name "what for" prints a new '
        "one, once. Here they are told apart by their prefix and revoked; that ends their streams within a heartbeat."
    )
    actions = ("revoke",)
    list_display = (
        "prefix",
        "name",
        "owner",
        "role",
        "state",
        TimeColumn("created_at"),
        TimeColumn("expires_at"),
        TimeColumn("last_used_at"),
    )
    list_select_related = ("user",)
    list_filter = (StateFilter, RoleFilter, UserFilter)
    search_fields = ("name", "shown", "user__username")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "prefix",
        "name",
        "owner",
        "role",
        "state",
        TimeColumn("created_at"),
        TimeColumn("expires_at"),
        TimeColumn("revoked_at"),
        TimeColumn("last_used_at"),
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them without their hash, and with whether they are good by the database's clock."""
        valid, expired, revoked, deactivated = map(Value, STATES)
        return ApiToken.objects.defer("digest").annotate(
            state=Case(
                When(revoked_at__isnull=False, then=revoked),
                When(expires_at__lte=Now(), then=expired),
                When(user__is_active=False, then=deactivated),
                default=valid,
                output_field=CharField(),
            )
        )

    @admin.display(ordering="shown")
    def prefix(self, token: Any) -> str:
        """Its first characters."""
        return f"{token.shown}…"

    @admin.display(ordering="state")
    def state(self, token: Any) -> str:
        """Whether it is good."""
        return str(token.state)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke the selected ones that are not revoked yet; who did it is in their history."""
        ids = list(queryset.order_by().values_list("pk", flat=True))
        with transaction.atomic():
            who: Any = request.user
            revoked = ApiToken.objects.filter(pk__in=ids).revoke(who.get_username())
            if revoked:
                LogEntry.objects.log_actions(who.pk, revoked, CHANGE, "Revoked.")
        count = len(revoked)
        text = "1 token was revoked." if count == 1 else f"{count} tokens were revoked."
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)
