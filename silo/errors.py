"""Every error in one envelope: `{"error": "<code>", "message": "<sentence>", ...}`."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, RawPostDataException
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from events_app.database.set_writer import Overloaded
from events_app.http import refusals
from events_app.http.envelope import content, headers
from sessions_app.errors import DomainError
from silo.pages import is_page

logger = logging.getLogger(__name__)

# A body of 8 MB can have a million faults, and the name of an unknown member can be 8 MB long.
MAX_FAULTS = 20
MAX_WHERE = 200

# The errors that Django and Ninja answer by themselves.
CODES = {
    400: ("invalid_request", "The request is not valid."),
    401: ("not_authenticated", "Send a valid bearer token, or log in."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing at this address."),
    405: (
        "method_not_allowed",
        "The operation at this address does not support the request's method.",
    ),
    413: refusals.BODY_TOO_LARGE[1:],
    414: refusals.URI_TOO_LONG[1:],
    422: ("invalid", "The request is not valid."),
    429: (
        "too_many_requests",
        "Too many requests of this user or address wait already; try again later.",
    ),
    431: refusals.HEADER_TOO_LARGE[1:],
    500: refusals.FAILED[1:],
    503: refusals.UNAVAILABLE[1:],
}
HOST_REFUSED = "The Host header names a host that is not among the server's `allowed_hosts`."
TOO_MANY_PARAMETERS = f"A query has at most {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} parameters."
INVALID_JSON = ("invalid_json", "The body is not a JSON document in UTF-8.")


def envelope(status: int, code: str, message: str, **details: Any) -> JsonResponse:
    response = JsonResponse(content(code, message, **details), status=status)
    for name, value in headers(status, retry_after=1 if status == 503 else None).items():
        response[name] = value
    return response


def install(api: NinjaAPI) -> None:
    """Have the API answer every exception in the envelope."""

    @api.exception_handler(DomainError)
    def _domain(request: HttpRequest, error: DomainError) -> HttpResponse:
        response = envelope(error.status, error.code, error.message, **error.details)
        if error.retry_after is not None:
            response["Retry-After"] = str(error.retry_after)
        return response

    @api.exception_handler(AuthenticationError)
    def _unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return envelope(401, *CODES[401])

    @api.exception_handler(HttpError)
    def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
        if error.status_code == 400:
            return _not_json()
        if error.status_code == 403:
            # Ninja's CSRF check; refusals of the domain are DomainErrors.
            return envelope(403, "forbidden", "With a login session a write needs X-CSRFToken.")
        code, _ = CODES.get(error.status_code, CODES[500])
        return envelope(error.status_code, code, str(error))

    @api.exception_handler(ValidationError)
    def _validation(request: HttpRequest, error: ValidationError) -> HttpResponse:
        faults = [
            {"where": _where(fault["loc"]), "why": fault["msg"].removeprefix("Value error, ")}
            for fault in error.errors[:MAX_FAULTS]
        ]
        first = faults[0]
        return envelope(422, "invalid", f"{first['where']}: {first['why']}", faults=faults)

    # A form, which Django reads in search of its CSRF token.
    @api.exception_handler(RawPostDataException)
    @api.exception_handler(MultiPartParserError)
    @api.exception_handler(BadRequest)
    def _form(request: HttpRequest, error: Exception) -> HttpResponse:
        return _not_json()

    @api.exception_handler(RequestDataTooBig)
    def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return envelope(413, *CODES[413])

    @api.exception_handler(TooManyFieldsSent)
    def _too_many(request: HttpRequest, error: TooManyFieldsSent) -> HttpResponse:
        return envelope(422, CODES[422][0], TOO_MANY_PARAMETERS)

    @api.exception_handler(SuspiciousOperation)
    def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
        return envelope(422, *CODES[422])

    @api.exception_handler(Overloaded)
    def _overloaded(request: HttpRequest, error: Overloaded) -> HttpResponse:
        response = _logged(envelope(503, CODES[503][0], f"{error} Try again."))
        # Others were refused at the same moment.
        response["Retry-After"] = headers(503)["Retry-After"]
        return response

    @api.exception_handler(OperationalError)
    @api.exception_handler(InterfaceError)
    @api.exception_handler(InternalError)
    def _database_away(request: HttpRequest, error: Exception) -> HttpResponse:
        logger.warning("the database did not serve a request", extra={"error": error})
        return _logged(envelope(503, *CODES[503]))

    @api.exception_handler(Exception)
    def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
        logger.exception("a request failed", extra={"path": request.path})
        return _logged(envelope(500, *CODES[500]))


def _logged(response: JsonResponse) -> JsonResponse:
    """Keep Django from logging it a second time, and as an ERROR."""
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _not_json() -> JsonResponse:
    return envelope(422, *INVALID_JSON)


def _where(place: Sequence[str | int]) -> str:
    """Return the path to a fault. Ninja puts the name of the view's parameter, `body`, after the place `body`."""
    if tuple(place[:2]) == ("body", "body"):
        place = place[1:]
    return ".".join(map(str, place))[:MAX_WHERE]


class EnvelopeMiddleware:
    """Puts the errors of Django itself (404, 405, ...) into the envelope, except where people read pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if response.status_code == 400 and _is_host_refused(request):
            return envelope(400, CODES[400][0], HOST_REFUSED)
        if response.status_code < 400 or (is_page(request.path_info) and _says_something(response)):
            return response
        if response.headers.get("Content-Type") == "application/json":
            # The API's own, or `/ready`.
            return response
        code, message = CODES.get(response.status_code, CODES[400])
        answer = envelope(response.status_code, code, message)
        if "Allow" in response:
            answer["Allow"] = response["Allow"]
        return answer


def _says_something(response: HttpResponse) -> bool:
    """Say whether an answer is a page; Django's for a method that an address has not is empty."""
    return bool(response.content)


def _is_host_refused(request: HttpRequest) -> bool:
    try:
        request.get_host()
    except DisallowedHost:
        return True
    return False
