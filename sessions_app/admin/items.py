"""The page of items."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from sessions_app.admin.base import PartNumberSearch, RoleModelAdmin
from sessions_app.managers.items import taken
from sessions_app.models import Item
from sessions_app.text import part_number_fault, text_fault, trimmed

if TYPE_CHECKING:
    AnyItemForm = forms.ModelForm[Item]
else:
    AnyItemForm = forms.ModelForm


class ItemForm(AnyItemForm):
    """An item, by the rules of the API."""

    class Meta:
        model = Item
        fields = ("part_number", "description", "item_type")

    def clean_part_number(self) -> str:
        """Refuse what cannot be a part number."""
        text: str = self.cleaned_data["part_number"]
        if fault := part_number_fault(text):
            raise ValidationError(f"{fault}.")
        if why := taken([text], but=self.instance):
            raise ValidationError(why[text])
        return trimmed(text)

    def clean_description(self) -> str:
        """Refuse what no text has."""
        return self._text("description")

    def clean_item_type(self) -> str:
        """Refuse what no text has."""
        return self._text("item_type")

    def _text(self, name: str) -> str:
        text: str = self.cleaned_data[name]
        if fault := text_fault(text):
            raise ValidationError(f"{fault}.")
        return text


@admin.register(Item)
class ItemAdmin(PartNumberSearch, RoleModelAdmin):
    """Items: looked at, added, described; by the role admin.

    A part number is not changed once it is there, for clients name their sessions by it, and an item is not deleted.
    """

    list_help = "What can be edited."
    form = ItemForm
    list_display = ("part_number", "item_type", "description", "created_at")
    list_filter = ("item_type",)
    search_fields = ("part_number", "description")
    key_lookup = "key"
    ordering = ("part_number",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Return what cannot be edited: of an existing item its part number too."""
        return ("part_number", "created_at") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: events and the record name it."""
        return False
