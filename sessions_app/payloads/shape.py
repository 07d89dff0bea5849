"""The base of all shapes: a schema whose example is made from the examples of its members."""

from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Json = dict[str, Any]


class Example:
    """The example of a member, in its type: `Annotated[str, Example("ada")]`."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Shape(BaseModel):
    """One JSON object of the API: its members in their order on the wire, with types, descriptions and examples.

    A function beside each shape builds it, as a plain dict: events and answers are built too often for pydantic.
    `tests/unit/test_payloads.py` holds the two together.

    The members of a base class come first; of several base classes, those of the last one.
    """

    # Examples that differ from those in the members' types, by the member's name.
    shown: ClassVar[Json] = {}

    @classmethod
    def example(cls) -> Json:
        """Return the example that the API's description shows."""
        return {
            field.alias or name: cls.shown[name] if name in cls.shown else _example(field)
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the example to the description."""
        described = handler(core_schema)
        handler.resolve_ref_schema(described)["examples"] = [cls.example()]
        return described


def _example(field: FieldInfo) -> Any:
    """Return the example of a member: the last one in its type, else that of the shape, or list of a shape, that it is.

    Raises:
        LookupError: the member has no example.
    """
    given = [mark.value for mark in field.metadata if isinstance(mark, Example)]
    if given:
        return given[-1]
    for annotation in (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, Shape):
            example = annotation.example()
            return [example] if get_origin(field.annotation) is list else example
    raise LookupError(f"{field} has no Example")
