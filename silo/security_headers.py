"""Security headers for every answer: of Django, of static files and of streams.

Django's own middleware has the others (`nosniff`, `Referrer-Policy`, `Cross-Origin-Opener-Policy`, HSTS).
"""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

# Scripts, styles and requests of this service's own addresses only, nothing inline, and in no frame. The page of the
# API's description and the admin site have small images in their style sheets.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# Browsers that were here by HTTPS use HTTPS for so long. Other services below the same name are not included, and
# browsers' preload lists are not asked for, because both would decide for other services.
HSTS_SECONDS: Final = 365 * 24 * 3600


class ContentSecurityPolicyMiddleware:
    """Sends the policy with every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response


# In the order of the settings, for answers that do not pass through Django.
MIDDLEWARE: Final = (
    SecurityMiddleware,
    XFrameOptionsMiddleware,
    ContentSecurityPolicyMiddleware,
)


def add(request: HttpRequest, response: HttpResponseBase) -> None:
    """Add the headers to an answer that does not pass through Django."""
    for middleware in MIDDLEWARE:
        # Each adds its headers to the response.
        middleware(lambda _: response)(request)
