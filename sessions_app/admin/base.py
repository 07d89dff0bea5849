"""What all pages share: the roles, and no query that grows with a table."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator, capfirst

from sessions_app.roles import Role
from sessions_app.text import name_key, name_of, person

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin


def is_admin(request: HttpRequest) -> bool:
    """Say whether the role of who asks is admin; asked of the database once per request."""
    known = vars(request)
    if "role_is_admin" not in known:
        known["role_is_admin"] = Role.of(request.user) == Role.ADMIN
    return bool(known["role_is_admin"])


def duration(time: timedelta) -> str:
    """Return a time as a person says it, in at most two units and on one line."""
    return _units(time).replace(" ", "\N{NO-BREAK SPACE}")


def _units(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {seconds % 60} s"
    return f"{seconds} s"


def object_shown(row: Any) -> str:
    """Return the object of a session, a place in line or a record; none means the whole item."""
    return Truncator(row.object_id).chars(40) or "(whole item)"


def user_shown(user: "User") -> str:
    """Return the full name of a user, and that of the account."""
    return person(user.get_username(), name_of(user))


def how_many(rows: QuerySet[Any], field: str) -> Coalesce:
    """Return how many of the rows point with a foreign key to each row of a query, without a join."""
    counted = (
        rows.filter(**{field: OuterRef("pk")})
        .order_by()
        .values(field)
        .annotate(count=Count("pk"))
        .values("count")
    )
    return Coalesce(Subquery(counted, IntegerField()), 0)


class PartNumberSearch:
    """A search in which a part number is found under every spelling."""

    # Of the item's key.
    key_lookup = "item__key"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return what Django finds in the fields, and whose item's number contains the term."""
        found, doubles = super().get_search_results(request, queryset, search_term)  # type: ignore[misc]
        if key := name_key(search_term):
            found |= queryset.filter(**{f"{self.key_lookup}__contains": key})
        return found, doubles


class ConnectedColumn:
    """The column `connected`: the annotation of that name."""

    @admin.display(boolean=True, ordering="connected")
    def connected(self, row: Any) -> bool:
        """Whether the workstation has an open event stream."""
        return bool(row.connected)


class ObjectColumn:
    """The column `object`, by which the rows can be sorted."""

    @admin.display(description="object", ordering="object_id")
    def object(self, row: Any) -> str:
        """The object; none means the whole item."""
        return object_shown(row)


class RoleModelAdmin(AnyModelAdmin):
    """A page on which the role admin acts and other staff look.

    A superuser, or a member of staff in the group `admin`, sees every page and does what it offers; no
    permissions of Django's are needed. Other staff see the pages whose view permission they have and change
    nothing there, whichever further permissions they have: writes need the role, as in the API.
    """

    # Said above the list, by the template.
    list_help = ""
    change_list_template = "admin/sessions_app/change_list.html"
    # Neither counts the whole table.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the application on the index."""
        return is_admin(request) or super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Admins, and who has Django's permission."""
        return is_admin(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_admin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_admin(request)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its name, with the help above it.

        Raises:
            BadRequest: for what no link or form of the page sends, and the database would choke on.
        """
        if any("\0" in text for name, texts in request.GET.lists() for text in (name, *texts)):
            raise BadRequest("A filter must not contain the character NUL: remove it.")
        title = capfirst(self.opts.verbose_name_plural)
        extra = {"title": title, "list_help": self.list_help, **(extra_context or {})}
        try:
            return super().changelist_view(request, extra)
        except ValidationError as error:
            raise BadRequest("These are no ids.") from error


class ReadOnlyModelAdmin(RoleModelAdmin):
    """A page that shows rows which only the domain writes; what it offers beyond that are actions."""

    @admin.display(description="user", ordering="user__username")
    def owner(self, row: Any) -> str:
        """Whose it is: the names alone, for a link to the user's page would lead most to a refusal."""
        return user_shown(row.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ChoiceFilter(admin.SimpleListFilter):
    """A filter with fixed choices. An address with any other value filters nothing."""

    # For each value in an address its text, and the rows that it leaves.
    options: ClassVar[Mapping[str, tuple[str, Q]]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, text) for value, (text, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        _, rows = self.options.get(self.value() or "", ("", Q()))
        return queryset.filter(rows)


class ConnectedFilter(ChoiceFilter):
    """By the annotation `connected`."""

    title = parameter_name = "connected"
    options = {"yes": ("Yes", Q(connected=True)), "no": ("No", Q(connected=False))}
