"""What all pages share: the roles, and no query that grows with a table."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import capfirst

from sessions_app import csv_answer
from sessions_app.admin.related import Related, of_filters
from sessions_app.admin.sections import Section
from sessions_app.admin.shown import (
    note_reader,
    note_shown,
    object_shown,
    time_shown,
    to_list,
)
from sessions_app.models import EditSession
from sessions_app.roles import Role
from sessions_app.text import name_key, person_of

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:
    AnyModelAdmin = admin.ModelAdmin
    AnyPaginator = Paginator

# Tables grow to millions of rows; nobody turns more pages than these.
MAX_COUNTED = 10_000


class BoundedPaginator(AnyPaginator):
    """Counts and turns through the first rows only; filters and search reach the others."""

    @cached_property
    def count(self) -> int:
        """How many there are, at most `MAX_COUNTED`."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:MAX_COUNTED].count())


def is_admin(request: HttpRequest) -> bool:
    """Say whether the role of who asks is admin; asked of the database once per request."""
    known = vars(request)
    if "role_is_admin" not in known:
        known["role_is_admin"] = Role.of(request.user) == Role.ADMIN
    return bool(known["role_is_admin"])


def how_many(rows: QuerySet[Any], field: str) -> Coalesce:
    """Return how many of the rows point with a foreign key to each row of a query, without a join."""
    return counted(rows.filter(**{field: OuterRef("pk")}).order_by())


def counted(rows: QuerySet[Any]) -> Coalesce:
    """Return how many rows of an unordered query there are for each row of an outer one."""
    alone = rows.annotate(of_all=Value(1)).values("of_all").annotate(count=Count("pk"))
    return Coalesce(Subquery(alone.values("count"), IntegerField()), 0)


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


class LockColumns:
    """The columns `level` and `object`, of rows about a lock."""

    @admin.display(ordering="context_level")
    def level(self, row: Any) -> str:
        """The context level, spelled as in the API."""
        return str(row.context_level)

    @admin.display(description="object", ordering="object_id")
    def object(self, row: Any) -> str:
        """The object; none means the whole item."""
        return object_shown(row)

    @admin.display(description="note")
    def note_begins(self, row: Any) -> str:
        """The first words of its note."""
        return note_shown(row.note)


class Page(ChangeList):
    """A page of a list, whose rows know what the reader may see and what the page has found out for all of them."""

    model_admin: "Inspected"

    def get_results(self, request: HttpRequest) -> None:
        """Find the rows, and what is shown with them."""
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        note_reader(request, self.result_list)
        self.model_admin.note_all(self.result_list)


def _check_filters(request: HttpRequest) -> None:
    """Refuse what the database would choke on.

    Raises:
        BadRequest: a filter has the character NUL.
    """
    if any("\0" in text for name, texts in request.GET.lists() for text in (name, *texts)):
        raise BadRequest("A filter must not contain the character NUL: remove it.")


class Inspected(AnyModelAdmin):
    """What all lists and pages of the admin site have, whoever may see them."""

    # Said above the list, by the template.
    list_help = ""
    change_list_template = "admin/sessions_app/change_list.html"
    change_form_template = "admin/sessions_app/change_form.html"
    paginator = BoundedPaginator
    # Neither counts the whole table.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    # What its rows are as CSV; none where the list has no such link.
    csv: csv_answer.Table | None = None

    class Media:
        css = {"all": ("sessions_app/admin.css",)}
        js = ("sessions_app/admin.js",)

    def view_on_site(self, obj: Any) -> str | None:
        """Return the page of a row outside of the admin site, where its model has one."""
        address = getattr(obj, "get_absolute_url", None)
        return address() if address else None

    def note_all(self, rows: Sequence[Any]) -> None:
        """Have all rows of a page know what is shown with them, in a fixed number of queries."""

    def sections(self, request: HttpRequest, obj: Any) -> Sequence[Section | None]:
        """Return what stands above the fields on the page of a row; None is left out."""
        return ()

    def related(self, request: HttpRequest, obj: Any) -> Related | None:
        """Return where the page of a row leads."""
        return None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list's pages."""
        return Page

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return a row that knows what its list knows."""
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            note_reader(request, [row])
            self.note_all([row])
        return row

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its name, with the help above it.

        Raises:
            BadRequest: for what no link or form of the page sends, and the database would choke on.
        """
        _check_filters(request)
        extra = {
            "title": capfirst(self.opts.verbose_name_plural),
            "list_help": self.list_help,
            "as_of": time_shown(timezone.now()),
            "related": of_filters(request),
            "max_counted": MAX_COUNTED,
            "csv": self.csv and f"csv/?{request.GET.urlencode()}",
        }
        try:
            return super().changelist_view(request, extra | (extra_context or {}))
        except ValidationError as error:
            raise BadRequest("These are no ids.") from error

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, that of the CSV among them."""
        if self.csv is None:
            return super().get_urls()
        name = f"{self.opts.app_label}_{self.opts.model_name}_csv"
        own = path("csv/", self.admin_site.admin_view(self.csv_view), name=name)
        return [own, *super().get_urls()]

    def csv_view(self, request: HttpRequest) -> HttpResponseBase:
        """Return all that the filters and the search leave of the list, as CSV.

        Raises:
            BadRequest: for what no link or form of the list sends.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        _check_filters(request)
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except (ValidationError, IncorrectLookupParameters) as error:
            raise BadRequest("This is no filter of the list.") from error
        assert self.csv is not None
        return csv_answer.answer(request, self.csv, rows)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a row with its sections, and where it leads."""
        obj = context.get("original")
        if obj is not None:
            context |= {
                "sections": [one for one in self.sections(request, obj) if one],
                "related": self.related(request, obj),
                "as_of": time_shown(timezone.now()),
            }
        return super().render_change_form(request, context, *args, **kwargs)


class RoleModelAdmin(Inspected):
    """A page on which the role admin acts and other staff look.

    A superuser, or a member of staff in the group `admin`, sees every page and does what it offers; no
    permissions of Django's are needed. Other staff see the pages whose view permission they have and change
    nothing there, whichever further permissions they have: writes need the role, as in the API.
    """

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


class ReadOnlyModelAdmin(RoleModelAdmin):
    """A page that shows rows which only the domain writes; what it offers beyond that are actions."""

    @admin.display(description="user", ordering="user__username")
    def owner(self, row: Any) -> str:
        """Whose it is; it leads to what this user has."""
        return to_list(row, EditSession, person_of(row.user), user=row.user.get_username())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
