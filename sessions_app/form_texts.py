"""Fields of HTML forms for texts, by the rule of `text.py`."""

from django import forms
from django.core.exceptions import ValidationError

from sessions_app.text import text_fault


def check_plain(text: str) -> None:
    """Check that a text has only characters that can be seen.

    Raises:
        ValidationError: it has others.
    """
    if fault := text_fault(text):
        raise ValidationError(f"{fault[0].upper()}{fault[1:]}.")


class PlainTextField(forms.CharField):
    """A text that has only characters that can be seen."""

    default_validators = [check_plain]
