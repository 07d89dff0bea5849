"""Logging in by OpenID Connect: the way to the provider, and back."""

import logging

from django.conf import settings
from django.contrib.auth import login
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from board_app.access import RETRY_AFTER, UNAVAILABLE
from board_app.openid import BACKEND, attempt
from board_app.openid.attempt import Attempt
from board_app.openid.calls import REST_SECONDS, NotUsable, Unavailable
from board_app.openid.provider import PROVIDER, SET_UP_WRONG, NotBelieved, refuses_client
from board_app.pages.log_in import log_in_page
from sessions_app.openid_accounts import NoEntry, account_of
from sessions_app.wrong_credentials import OpenIdLogIn

logger = logging.getLogger(__name__)

NOT_FROM_HERE = (
    "This log-in was started in another browser or tab, or more than ten minutes ago. Begin again."
)
NOT_BELIEVED = (
    "The answer of {name} could not be verified, perhaps because it was used before. Begin again."
)
GIVEN_UP = "The log-in at {name} was cancelled or refused there."
AWAY = (
    "{name} cannot be reached at the moment. Try again in some seconds, or log in with a password."
)
NOT_USABLE = "The answer of {name} cannot be used here. Tell an administrator."
TOO_MANY = "Too many log-ins from this address were wrong. Try again in {seconds} seconds."


@never_cache
@require_GET
def begin(request: HttpRequest) -> HttpResponseBase:
    """Send the browser to the provider."""
    _check_configured()
    following = request.GET.get("next", "")
    try:
        begun = PROVIDER.begin(_redirect_uri(request), ask=attempt.logged_out_before(request))
    except Unavailable as error:
        return _away(request, error, following)
    response = HttpResponseRedirect(begun.url)
    Attempt(begun, following).keep(response)
    return response


@never_cache
@require_GET
def answer(request: HttpRequest) -> HttpResponseBase:
    """Log in whom the provider has sent back, or say why not."""
    _check_configured()
    answered = attempt.of(request)
    if answered is None:
        # Nothing can be guessed here, and any page of the web can have somebody's browser ask for this address: so it
        # is no wrong log-in, and the attempt of another tab goes on.
        return _refused(request, 400, NOT_FROM_HERE)
    log_in = OpenIdLogIn(request)
    if seconds := log_in.seconds_to_wait():
        response = _refused(request, 429, TOO_MANY.format(seconds=seconds))
        response["Retry-After"] = str(seconds)
        return response
    response = _answer(request, log_in, answered)
    attempt.forget(response)
    return response


def _answer(request: HttpRequest, log_in: OpenIdLogIn, answered: Attempt) -> HttpResponseBase:
    following = answered.next
    if (error_code := request.GET.get("error")) in SET_UP_WRONG:
        log_in.not_wrong()
        return _away(request, refuses_client(error_code), following)
    if error_code is not None or not (code := request.GET.get("code", "")):
        log_in.not_wrong()
        return _refused(request, 403, GIVEN_UP, following)
    # RFC 9207: a provider that names itself is this one.
    if request.GET.get("iss", settings.ACCOUNTS.openid_issuer) != settings.ACCOUNTS.openid_issuer:
        log_in.failed("another provider's answer")
        return _refused(request, 400, NOT_BELIEVED, following)
    try:
        identity = PROVIDER.identity(code, answered.begun, _redirect_uri(request))
    except Unavailable as error:
        log_in.not_wrong()
        return _away(request, error, following)
    except NotBelieved as error:
        log_in.failed(str(error))
        return _refused(request, 400, NOT_BELIEVED, following)
    try:
        user = account_of(
            identity,
            gives_roles=bool(settings.ACCOUNTS.openid_groups_claim),
            take_over=settings.ACCOUNTS.openid_take_over,
        )
        login(request, user, backend=BACKEND)
    except NoEntry as error:
        log_in.refused(error.why, error.username)
        return _refused(request, 403, error.message, following)
    except (OperationalError, InterfaceError, InternalError) as error:
        log_in.not_wrong()
        logger.warning("the database did not serve a page", extra={"error": error})
        response = _refused(request, 503, UNAVAILABLE)
        response["Retry-After"] = RETRY_AFTER
        return response
    log_in.succeeded(user.username)
    response = HttpResponseRedirect(_safe(request, following) or resolve_url("board:sessions"))
    attempt.forget_log_out(response)
    return response


def _check_configured() -> None:
    if not settings.ACCOUNTS.openid_issuer:
        raise Http404


def _redirect_uri(request: HttpRequest) -> str:
    """Return the address to which the provider sends browsers back: with the host, scheme and path that they use."""
    return request.build_absolute_uri(reverse("board:openid_answer"))


def _safe(request: HttpRequest, following: str) -> str:
    """Return the address that a user wanted to see, if it is one of this service."""
    good = url_has_allowed_host_and_scheme(
        following, {request.get_host()}, require_https=request.is_secure()
    )
    return following if good else ""


def _away(request: HttpRequest, error: Unavailable, following: str) -> HttpResponseBase:
    # However many press the button meanwhile.
    if not error.repeated:
        logger.warning("the provider of OpenID Connect cannot be used", extra={"why": str(error)})
    if isinstance(error, NotUsable):
        # Not after some seconds either.
        return _refused(request, 503, NOT_USABLE, following)
    response = _refused(request, 503, AWAY, following)
    response["Retry-After"] = f"{REST_SECONDS:g}"
    return response


def _refused(
    request: HttpRequest, status: int, message: str, following: str = ""
) -> HttpResponseBase:
    said = message.replace("{name}", settings.ACCOUNTS.openid_name)
    return log_in_page(request, status, said, _safe(request, following))
