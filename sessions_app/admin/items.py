"""The page of items."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from sessions_app.admin.base import PartNumberSearch, RoleModelAdmin, is_admin
from sessions_app.admin.filters import ChoiceFilter
from sessions_app.admin.related import Related, of_item
from sessions_app.admin.sections import Section, section
from sessions_app.admin.shown import TimeColumn, list_of
from sessions_app.errors import DomainError
from sessions_app.form_texts import PlainTextField
from sessions_app.models import EditSession, EndedSession, Item, PlaceInLine
from sessions_app.operations import items
from sessions_app.operations.items import taken
from sessions_app.text import part_number_fault, trimmed

if TYPE_CHECKING:
    AnyItemForm = forms.ModelForm[Item]
else:
    AnyItemForm = forms.ModelForm

# Links of the filter by type, and former numbers on the page of an item: a page does not grow with the data.
MAX_TYPES_LISTED = 100
MAX_FORMER_LISTED = 100
TIMES_AND_NAMES = (TimeColumn("created_at"), TimeColumn("retired_at"), "former_numbers")
ENDED = TimeColumn("released_at", "ended")


class ItemForm(AnyItemForm):
    """An item, by the rules of the API."""

    class Meta:
        model = Item
        fields = ("part_number", "description", "item_type")
        field_classes: ClassVar[Any] = {"description": PlainTextField, "item_type": PlainTextField}

    def clean_part_number(self) -> str:
        """Refuse what cannot be a part number."""
        text: str = self.cleaned_data["part_number"]
        if fault := part_number_fault(text):
            raise ValidationError(f"{fault}.")
        if why := taken([text], but=self.instance):
            raise ValidationError(why[text])
        return trimmed(text)


class RetiredFilter(ChoiceFilter):
    """By whether an item is retired."""

    title = parameter_name = "retired"
    options = {
        "yes": ("Yes", Q(retired_at__isnull=False)),
        "no": ("No", Q(retired_at__isnull=True)),
    }


class ItemTypeFilter(admin.AllValuesFieldListFilter):
    """By the type. Editors choose types freely, so there may be as many as there are items."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lookup_choices = self.lookup_choices[:MAX_TYPES_LISTED]


@admin.register(Item)
class ItemAdmin(PartNumberSearch, RoleModelAdmin):
    """Items: looked at, added, described, renamed, retired; by the role admin. An item is not deleted."""

    list_help = (
        "The items that can be edited. A former number of an item that was renamed still finds it. On a retired item"
        " nothing new is begun, and nobody stands in line for it; what is edited goes on until it is released."
    )
    actions = ("retire", "restore")
    form = ItemForm
    list_display = (
        "part_number",
        "item_type",
        "description",
        TimeColumn("created_at"),
        TimeColumn("retired_at"),
    )
    list_filter = (RetiredFilter, ("item_type", ItemTypeFilter))
    search_fields = ("part_number", "description")
    key_lookup = "key"
    ordering = ("part_number",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what is only shown, of an existing item."""
        return TIMES_AND_NAMES if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what is shown: of an existing item its history, too."""
        return (*ItemForm.Meta.fields, *(TIMES_AND_NAMES if obj else ()))

    def sections(self, request: HttpRequest, obj: Any) -> Sequence[Section | None]:
        """Return who has it, who waits for it, and who had it."""
        number = obj.part_number
        held = (
            "object",
            "level",
            "owner",
            "silent_for",
            "held_for",
            "idle_since",
            "workstation_link",
        )
        places = ("object", "level", "owner", "place", "holder", "workstation_link")
        record = ("shown_object", "level", "holder", "how", "held_for", ENDED, "workstation_link")
        ids = Item.objects.ids_on_record(number)
        return [
            section(
                request,
                EditSession,
                "Who has it",
                list_of(EditSession, item=number),
                (*held, "waiting", "note_begins"),
                lambda rows: rows.filter(item=obj).order_by("-fencing_token"),
            ),
            section(
                request,
                PlaceInLine,
                "Its line",
                list_of(PlaceInLine, item=number),
                (*places, "connected", "note_begins"),
                lambda rows: rows.filter(item=obj).order_by("number"),
            ),
            section(
                request,
                EndedSession,
                "Its record",
                list_of(EndedSession, item=number),
                (*record, "ended_by", "note_begins"),
                lambda rows: rows.filter(item_id__in=ids).order_by("-pk"),
            ),
        ]

    def related(self, request: HttpRequest, obj: Any) -> Related:
        """Return where it leads."""
        return of_item(request, obj)

    @admin.display(description="former part numbers")
    def former_numbers(self, item: Item) -> str:
        """What it was called before, or what was merged into it."""
        numbers = item.former_part_numbers.values_list("part_number", flat=True)
        shown = ", ".join(numbers[:MAX_FORMER_LISTED]) or "-"
        more = numbers.count() - MAX_FORMER_LISTED
        return f"{shown} and {more} more" if more > 0 else shown

    def save_model(self, request: HttpRequest, obj: Item, form: Any, change: bool) -> None:
        """Make an item, or rename and describe one: through the operations, which tell who watches it."""
        given = {name: getattr(obj, name) for name in form.changed_data}
        if not change:
            obj.pk = items.create(**{"part_number": obj.part_number} | given).pk
            return
        if new := given.pop("part_number", ""):
            items.rename(form.initial["part_number"], new)
        Item.objects.filter(pk=obj.pk).update(**given)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Say it where somebody else was quicker."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def has_change_items_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    @admin.action(description="Retire", permissions=["change_items"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Item]) -> None:
        count = len(items.retire(list(queryset.values_list("pk", flat=True))))
        self.message_user(request, f"Retired: {count}.", messages.SUCCESS)

    @admin.action(description="Restore", permissions=["change_items"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Item]) -> None:
        """Have the selected ones be edited again."""
        count = len(items.restore(list(queryset.values_list("pk", flat=True))))
        self.message_user(request, f"Restored: {count}.", messages.SUCCESS)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: events and the record name it."""
        return False
