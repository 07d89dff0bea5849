"""The calls that the writer can carry out: what their operations say of path, body and answer, looked up once.

The operation of the API stays the one declaration of its call; Ninja runs it for all other requests.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja.operation import Operation
from pydantic import BaseModel, ValidationError

from events_app.http.lane_parser import Headers
from sessions_app.api.in_sets import JSON_TYPE, SetView, parts_of
from sessions_app.authentication import BearerAuth, Principal, Right
from sessions_app.models.results import Acquired
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release
from silo import short_way
from silo.api import api

Wish = Acquire | Release

# Longer than the address of any valid part number: these are not kept.
_MOST_PATH: Final = 1024
_KEPT: Final = 4096
_JSON: Final = ((b"content-type", JSON_TYPE.encode()),)
_METHODS: Final = frozenset({"POST", "DELETE"})
_ENDS_WITH_ID: Final = re.compile(
    rb"([\s\S]*/)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)
_ANY_ID: Final = str(UUID(int=0)).encode()


class Answer(NamedTuple):
    """An answer, without the headers that every answer has."""

    status: int
    headers: Headers
    body: bytes


class Call(NamedTuple):
    """An operation that is called.

    Args:
        operation: the operation.
        view: its view.
        right: what a token needs for it.
        body: what is in its body, by the name of the view's parameter.
        kwargs: the parameters in its path.
    """

    operation: Operation
    view: SetView
    right: Right
    body: Mapping[str, type[BaseModel]]
    kwargs: Mapping[str, Any]

    def wish(self, who: Principal, body: bytes) -> Wish:
        """Return what is asked for.

        Raises:
            ValidationError: the body is not valid.
        """
        read = {name: model.model_validate_json(body) for name, model in self.body.items()}
        return self.view.prepare(who.user, **self.kwargs, **read)

    def answer(self, outcome: Any) -> Answer:
        """Return what Ninja answers.

        Args:
            outcome: what became of the request, or its refusal.
        """
        try:
            return _answer(*self.view.answer(outcome), _JSON)
        except Exception as error:
            return self.refused(error)

    def refused(self, error: Exception) -> Answer:
        """Return the answer for an error."""
        request = HttpRequest()
        request.path = self.operation.path
        response = api.on_exception(request, error)
        assert isinstance(response, HttpResponse)
        headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in response.items()]
        return _answer(response.status_code, response.content, (*headers,))


def _answer(status: int, body: bytes, headers: Headers) -> Answer:
    return Answer(status, (*headers, (b"content-length", b"%d" % len(body))), body)


def called(method: str, target: bytes) -> Call | None:
    """Return the call of the writer to which Django's routes lead, or None if it is none of these, or not valid.

    Args:
        method: in capitals.
        target: the address, as it was received.
    """
    if method not in _METHODS or len(target) > _MOST_PATH or b"?" in target:
        return None
    found = _ENDS_WITH_ID.fullmatch(target)
    if found is None:
        return _called(method, target)
    # The routes do not tell one id from another: so each address of an item is looked for once.
    call = _called(method, found[1] + _ANY_ID)
    session_id = UUID(int=int(found[2].replace(b"-", b""), 16))
    return call and call._replace(kwargs={**call.kwargs, "session_id": session_id})


@lru_cache(_KEPT)
def _called(method: str, target: bytes) -> Call | None:
    try:
        path = unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return None
    match = short_way.hot_call(method, path)
    call = _operations().get((method, match.view_name)) if match else None
    if call is None or match is None:
        return None
    [*in_path] = (m for m in call.operation.models if m.__ninja_param_source__ == "path")
    try:
        values = [model.model_validate(match.kwargs) for model in in_path]
    except ValidationError:
        return None
    return call._replace(kwargs={name: value for one in values for name, value in one})


@cache
def _operations() -> dict[tuple[str, str], Call]:
    """Return the operations whose views the writer can carry out, by method and name of the address."""
    found = {}
    for router in api._get_bound_routers():
        for path in router.path_operations.values():
            for operation in path.operations:
                view = parts_of(operation.view_func)
                if view is None:
                    continue
                [auth] = (one for one in operation.auth_callbacks if isinstance(one, BearerAuth))
                [method] = operation.methods
                name = f"{api.urls_namespace}:{operation.view_func.__name__}"
                found[method, name] = Call(operation, view, auth.right, _bodies(operation), {})
    return found


def _bodies(operation: Operation) -> dict[str, type[BaseModel]]:
    """Return the schema of the body, by the name of the view's parameter; nothing where there is no body.

    Raises:
        TypeError: the operation has parameters elsewhere, which this way does not know.
    """
    found: dict[str, type[BaseModel]] = {}
    for model in operation.models:
        if model.__ninja_param_source__ == "body":
            [(name, field)] = model.model_fields.items()
            assert isinstance(field.annotation, type)
            found[name] = field.annotation
        elif model.__ninja_param_source__ != "path":
            raise TypeError(f"{operation.path} has parameters that the writer's way does not read")
    return found


def size_of(outcome: Any) -> int:
    """Return about how many texts the answer to an outcome has: node keys, and other sessions with theirs."""
    if not isinstance(outcome, list):
        return 0
    acquired = [one for one in outcome if isinstance(one, Acquired)]
    cones = (vars(one.session).get("dependency_cone", ()) for one in acquired)
    met = (1 + len(conflict.shared) for one in acquired for conflict in one.conflicts)
    return sum(map(len, cones)) + sum(met)
