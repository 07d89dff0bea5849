"""Views of requests that the writer of a process may carry out in sets: each is declared once, for both ways.

Such a view is written as two functions: one gets the user and returns the request for the writer, the other one answers
its outcome. Where Django calls the view, it carries out a set of one. `silo/set_way.py` has the writer do it. The
answer is written as its payload is built, and not validated again: tests hold payloads to their shapes.
"""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from ninja import Status

from events_app.json_text import json_bytes
from sessions_app.authentication import principal
from sessions_app.errors import DomainError
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release
from sessions_app.operations.sets import carry_out

# As Ninja names it.
JSON_TYPE: Final = "application/json; charset=utf-8"

Prepare = Callable[..., Acquire | Release]


class SetView:
    """A view in its two parts.

    Args:
        prepare: called like a view, with the user instead of the request; returns what is asked for.
        answer: returns the result of the view for the outcome: a payload, or a `Status` without a body.
        refused: returns the error that is answered for a refusal.
    """

    def __init__(
        self,
        prepare: Prepare,
        answer: Callable[[Any], Any],
        refused: Callable[[DomainError], DomainError],
    ) -> None:
        self.prepare: Final = prepare
        self._answer = answer
        self._refused = refused

    def answer(self, outcome: Any) -> tuple[int, bytes]:
        """Return status and body of the answer.

        Args:
            outcome: what became of the request, or its refusal.

        Raises:
            DomainError: the request was refused.
        """
        if isinstance(outcome, DomainError):
            raise self._refused(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        found = self._answer(outcome)
        # A status of its own has no body.
        return (found.status_code, b"") if isinstance(found, Status) else (200, json_bytes(found))


def _as_it_is(error: DomainError) -> DomainError:
    return error


def in_sets(
    answer: Callable[[Any], Any], refused: Callable[[DomainError], DomainError] = _as_it_is
) -> Callable[[Prepare], Callable[..., Any]]:
    """Make a view of a function that returns a request for the writer; see `SetView`."""

    def make(prepare: Prepare) -> Callable[..., Any]:
        parts = SetView(prepare, answer, refused)

        @wraps(prepare)
        def view(request: HttpRequest, **values: Any) -> Any:
            [outcome] = carry_out([prepare(principal(request).user, **values)])
            status, body = parts.answer(outcome)
            return HttpResponse(body, status=status, content_type=JSON_TYPE)

        # Ninja asks for the values of all parameters but `request`.
        declared = signature(prepare)
        _, *asked_for = declared.parameters.values()
        request = Parameter("request", Parameter.POSITIONAL_OR_KEYWORD)
        view.__signature__ = declared.replace(parameters=[request, *asked_for])  # type: ignore[attr-defined]
        view.parts = parts  # type: ignore[attr-defined]
        return view

    return make


def parts_of(view: Callable[..., Any]) -> SetView | None:
    """Return the parts of a view; None where it has none."""
    return getattr(view, "parts", None)
