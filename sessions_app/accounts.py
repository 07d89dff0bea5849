"""One person is one account: its name is known in every spelling, and no second account has it in another one.

The accounts are Django's own table, which has no key of a name, so where a name is not found letter for letter, all of
them are compared: there are as many as people.
"""

from collections import defaultdict
from collections.abc import Iterable

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from sessions_app.text import name_key, text_fault


def find(username: str) -> User | None:
    """Return the account of this name, letter for letter or else in another spelling; None if there is none."""
    return User.objects.filter(username=own_spelling(username)).first()


def own_spelling(username: str) -> str:
    """Return the name as its account has it; as it is given where no account has it."""
    if User.objects.filter(username=username).exists():
        return username
    key = name_key(username)
    names = User.objects.order_by("pk").values_list("username", flat=True)
    return next((name for name in names.iterator() if name_key(name) == key), username)


def refuse_twin(username: str) -> None:
    """A validator of new names. One that is there letter for letter is left to the uniqueness of names.

    Raises:
        ValidationError: it cannot be seen all of it, or an account has it in another spelling.
    """
    if fault := text_fault(username):
        raise ValidationError(f"{fault}.")
    if (known := own_spelling(username)) != username:
        raise ValidationError(f"There is the user {known}: two spellings of a name are one person.")


def twins(names: Iterable[str]) -> list[list[str]]:
    """Return those of the names that are one person's in several spellings, each person's together."""
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        spellings[name_key(name)].append(name)
    return [spelled for spelled in spellings.values() if len(spelled) > 1]
