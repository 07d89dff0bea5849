"""The deletion of many selected rows, with a page that asks before.

Django's own lists all that is selected, sends an id in a field of its own for each, and may have 1,000 of those.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import capfirst

from sessions_app.admin.ids import IdsField, too_many
from sessions_app.admin.shown import list_of

# Their ids have 370 kB in a form of at most 1 MB. They are deleted in one request.
MAX_AT_ONCE = 10_000
# Of the selected ones, named on the page that asks.
MAX_LISTED = 100

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = object


class DeleteForm(forms.Form):
    """Which rows; the list's filters come along, to return to it."""

    ids = IdsField("ids", MAX_AT_ONCE)
    filters = forms.CharField(required=False, widget=forms.HiddenInput)


class DeletesMany(AnyModelAdmin):
    """The action that deletes selected rows."""

    actions: Any = ("delete_many",)
    delete_form: ClassVar[type[DeleteForm]] = DeleteForm

    def question(self, request: HttpRequest, ids: Collection[Any]) -> str:
        """Return what else happens, in sentences.

        Raises:
            ValueError: these must not be deleted at once; the text says why.
        """
        raise NotImplementedError

    def lines(self, request: HttpRequest, rows: QuerySet[Any]) -> list[str]:
        """Name rows, in their order, and say of each where it is kept."""
        raise NotImplementedError

    def delete(self, request: HttpRequest, given: dict[str, Any]) -> int:
        """Delete the rows of a valid form; return how many were.

        Raises:
            ValueError: these must not be deleted at once; the text says why.
        """
        raise NotImplementedError

    def given(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the form has beside ids and filters."""
        return {}

    @property
    def _things(self) -> str:
        return str(self.opts.verbose_name_plural)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return what can be done, without Django's deletion."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Delete…", permissions=["delete"])
    def delete_many(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask, for the selected rows."""
        ids = list(queryset.order_by().values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
        if len(ids) > MAX_AT_ONCE:
            self.message_user(request, too_many(self._things, MAX_AT_ONCE), messages.ERROR)
            return None
        try:
            question = self.question(request, ids)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        given = {"ids": ids, "filters": request.GET.urlencode(), **self.given(request)}
        few: QuerySet[Any] = queryset.model._default_manager.filter(pk__in=ids[:MAX_LISTED])
        context = {
            **self.admin_site.each_context(request),
            "title": f"Delete {self._things}",
            "opts": self.opts,
            "form": self.delete_form(initial=given),
            "lines": self.lines(request, few),
            "count": len(ids),
            "question": question,
            "more": max(0, len(ids) - MAX_LISTED),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/sessions_app/delete_many.html", context)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, that of the deletion of many among them."""
        view = self.admin_site.admin_view(self.delete_many_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_delete_many"
        return [path("delete-many/", view, name=name), *super().get_urls()]

    def delete_many_view(self, request: HttpRequest) -> HttpResponse:
        """POST: delete them."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        form = self.delete_form(request.POST)
        if request.method != "POST" or not form.is_valid():
            self.message_user(request, f"Select the {self._things} again.", messages.ERROR)
            return HttpResponseRedirect(list_of(self.model))
        try:
            count = self.delete(request, form.cleaned_data)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(list_of(self.model))
        asked = len(set(form.cleaned_data["ids"]))
        text = f"{capfirst(self._things)} that were deleted: {count} of {asked}."
        self.message_user(request, text, messages.SUCCESS)
        filters = form.cleaned_data["filters"]
        return HttpResponseRedirect(list_of(self.model) + (f"?{filters}" if filters else ""))
