"""What stands in the paths of the API."""

from django.urls import register_converter
from django.urls.converters import StringConverter


class PartNumberConverter(StringConverter):
    """A part number may hold slashes, which arrive here already decoded.

    So may it, as Django's own `path` does not let it, hold a line feed: which then is refused as any control character.
    """

    regex = r"[\s\S]+"


register_converter(PartNumberConverter, "part_number")

OF_ITEM = "/items/{part_number:part_number}"
