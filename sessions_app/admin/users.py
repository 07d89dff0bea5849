"""The page of users: a role is chosen, not looked for among groups and permissions. Django's permissions count here."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest

from sessions_app.admin.base import Inspected
from sessions_app.admin.deleting import MAX_AT_ONCE, DeleteForm, DeletesMany
from sessions_app.admin.filters import ChoiceFilter
from sessions_app.admin.ids import IdsField
from sessions_app.admin.related import Related, of_user
from sessions_app.admin.shown import NOTHING, TimeColumn, to_list
from sessions_app.models import ApiToken, EditSession, OpenIdAccount, Workstation
from sessions_app.roles import Role

if TYPE_CHECKING:
    AnyUserAdmin = UserAdmin[User]
    AnyUserForm = forms.ModelForm[User]
    AnyUserChangeForm = UserChangeForm[User]
    AnyUserCreationForm = AdminUserCreationForm[User]
else:
    AnyUserAdmin = UserAdmin
    AnyUserForm = forms.ModelForm
    AnyUserChangeForm = UserChangeForm
    AnyUserCreationForm = AdminUserCreationForm

ROLE = forms.ChoiceField(
    choices=[("", "none: sees nothing"), *((role.group, role.group) for role in Role)],
    required=False,
    help_text="What the user may do; each may do what those before it may. Superusers are admins in any case.",
)


class UserForm(AnyUserChangeForm):
    """A user with a role; the other groups are kept."""

    role = ROLE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = self.instance.groups.values_list("name", flat=True) if self.instance.pk else ()
        held = [role.group for role in Role if role.group in names]
        self.initial["role"] = held[-1] if held else ""
        if groups := self.fields.get("groups"):
            groups.queryset = Group.objects.exclude(name__in=Role.groups())  # type: ignore[attr-defined]
            groups.help_text = "Further groups, beside that of the role."
            self.initial["groups"] = [
                group for group in self.initial.get("groups", ()) if group.name not in Role.groups()
            ]

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        _give_role(self)


class NewUserForm(AnyUserCreationForm):
    """A new user, in a role at once."""

    role = ROLE

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        _give_role(self)


def _give_role(form: Any) -> None:
    """Give the user of a valid form the role that was chosen, where the form has that field."""
    if "role" in form.cleaned_data:
        role = form.cleaned_data["role"]
        Role.give(form.instance, Role[role.upper()] if role else None)


class RoleFilter(ChoiceFilter):
    """By the groups that mean a role."""

    title = parameter_name = "role"
    options = {
        **{
            role.group: (
                role.group,
                Q(pk__in=User.objects.filter(groups__name=role.group).values("pk")),
            )
            for role in Role
        },
        "superuser": ("superuser", Q(is_superuser=True)),
        "none": ("none", Q(is_superuser=False) & ~Q(groups__name__in=Role.groups())),
    }


class UsersForm(DeleteForm):
    """Their ids are numbers."""

    ids = IdsField("users", MAX_AT_ONCE, int)


admin.site.unregister(User)


@admin.register(User)
class UserPage(DeletesMany, Inspected, AnyUserAdmin):
    """Users: made, put into a role and deactivated by superusers and who else has Django's permissions."""

    list_help = (
        "A user without a role sees nothing. Staff may log in here. Deactivate users instead of deleting them: that"
        " ends their streams and sessions within a heartbeat, and is undone by one click."
    )
    delete_form = UsersForm
    form = UserForm
    add_form = NewUserForm
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("username", "password", "role", "is_active", "is_staff")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "openid")}),
        ("Since", {"fields": (TimeColumn("last_login"), TimeColumn("date_joined"))}),
        (
            "Seldom needed: superuser, further groups, Django's permissions",
            {"classes": ("collapse",), "fields": ("is_superuser", "groups", "user_permissions")},
        ),
    )
    add_fieldsets: Any = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "role", "usable_password", "password1", "password2"),
            },
        ),
    )
    readonly_fields: ClassVar[Any] = ("openid", *fieldsets[2][1]["fields"])
    actions = ("delete_many", "unlink_openid")
    list_display = (
        "username",
        "name",
        "role",
        "is_active",
        "is_staff",
        "sessions",
        TimeColumn("last_login"),
        TimeColumn("date_joined"),
    )
    list_filter = (RoleFilter, "is_active", "is_staff")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return them with their groups."""
        users: QuerySet[User] = super().get_queryset(request)
        return users.prefetch_related("groups")

    def question(self, request: HttpRequest, ids: Collection[int]) -> str:
        """Return how many of them are kept."""
        kept = len(ids) - _deletable(request, ids).count()
        return (
            "Kept, because they have workstations, tokens or a history as administrators, or are you:"
            f" {kept}. Deactivate those instead."
            if kept
            else "None of them has a workstation, a token or a history as an administrator."
        )

    def lines(self, request: HttpRequest, rows: QuerySet[Any]) -> list[str]:
        """Name them, and say which are kept."""
        users = dict(rows.order_by("username").values_list("pk", "username"))
        deleted = set(_deletable(request, users).values_list("pk", flat=True))
        return [name if pk in deleted else f"{name} (kept)" for pk, name in users.items()]

    def delete(self, request: HttpRequest, given: dict[str, Any]) -> int:
        """Delete those that leave nothing behind, each with a line in the admin site's history."""
        with transaction.atomic():
            # No workstation or token is made for a user whose row is locked like this.
            locked = User.objects.select_for_update().filter(pk__in=given["ids"]).order_by("pk")
            pks = list(locked.values_list("pk", flat=True))
            users = list(_deletable(request, pks))
            self.log_deletions(request, users)  # type: ignore[arg-type]  # it only iterates
            User.objects.filter(pk__in=[one.pk for one in users]).delete()
        return len(users)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Protect also the lines of the admin site's history, which Django would delete along with a user."""
        users = list(objs)
        lines, counts, lacking, protected = super().get_deleted_objects(users, request)
        did = LogEntry.objects.filter(user__in=users).count()
        if did:
            protected = [*protected, f"Lines in the admin site's history: {did}"]
        return lines, counts, lacking, protected

    def related(self, request: HttpRequest, obj: Any) -> Related:
        """Return where it leads."""
        return of_user(request, obj)

    @admin.display(description="name", ordering="last_name")
    def name(self, user: User) -> str:
        """The full name."""
        return user.get_full_name() or NOTHING

    @admin.display(description="OpenID Connect")
    def openid(self, user: User) -> str:
        """Who it is at the provider, by which the user logs in."""
        whose = OpenIdAccount.objects.filter(user=user).first()
        return f"{whose.subject} at {whose.issuer}" if whose else NOTHING

    @admin.action(description="Unlink from OpenID Connect", permissions=["change"])
    def unlink_openid(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Have the selected ones be nobody's at the provider, as before their first log-in by it."""
        who: Any = request.user
        with transaction.atomic():
            users = list(queryset.filter(openid_account__isnull=False).order_by("pk"))
            OpenIdAccount.objects.filter(user__in=users).delete()
            if users:
                LogEntry.objects.log_actions(who.pk, users, CHANGE, "Unlinked from OpenID Connect.")
        level = messages.SUCCESS if users else messages.WARNING
        self.message_user(request, f"Users unlinked from OpenID Connect: {len(users)}.", level)

    @admin.display(description="role")
    def role(self, user: User) -> str:
        """The highest role."""
        role = Role.among([group.name for group in user.groups.all()], user)
        return role.group if role else "none"

    @admin.display(description="has")
    def sessions(self, user: User) -> str:
        """It leads to the user's sessions."""
        return to_list(user, EditSession, "sessions", user=user.get_username())


def _deletable(request: HttpRequest, ids: Collection[int]) -> QuerySet[User]:
    """Return those users who leave nothing behind, as the page of one user demands it; not who asks."""
    users = User.objects.filter(pk__in=ids).exclude(username=request.user.get_username())
    for model in (Workstation, ApiToken, LogEntry):
        users = users.exclude(Exists(model._default_manager.filter(user=OuterRef("pk"))))
    return users
