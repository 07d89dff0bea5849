"""Ids of selected rows in one value: a form may have only so many fields."""

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class IdsField(forms.Field):
    """Ids, separated by commas.

    Args:
        things: what they are, in the plural.
        most: how many there may be.
        kind: makes an id of a text, or raises ValueError.
    """

    widget = forms.HiddenInput

    def __init__(
        self, things: str, most: int, kind: Callable[[str], Any] = uuid.UUID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.things = things
        self.most = most

    def prepare_value(self, value: Any) -> Any:
        """Return the text of ids."""
        return value if isinstance(value, str) else ",".join(map(str, value or ()))

    def to_python(self, value: Any) -> list[Any]:
        """Return the ids of a text."""
        try:
            ids = [self.kind(text) for text in (value or "").split(",") if text]
        except ValueError:
            raise ValidationError(f"These are not {self.things}; select them again.") from None
        if len(ids) > self.most:
            raise ValidationError(too_many(self.things, self.most))
        return ids


def too_many(things: str, most: int) -> str:
    """Return what to say where more are selected than may be."""
    return f"Select at most {most} {things} at once."
