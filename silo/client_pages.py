"""`/client`: the client's package for workstations, to everybody, as it is no secret.

`pip install http://silo.example.com:8000/client` installs it from its sources, `.../client/<wheel>` from the wheel. The
page `/client/` is for people, and for `pip --find-links`; `/client/simple/` is an index in the form of PEP 503.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from silo import client_package
from silo.client_package import File, NoSourcesError, Package
from silo.errors import CODES, envelope

NAME = "silo-client"
# Another server, or this one after an upgrade, may have other bytes under the same name: caches ask, by the ETag.
CACHING = "public, no-cache"
NO_SOURCES = (
    "This server has no sources of the client: it was installed without the folder client/."
)

View = Callable[..., HttpResponse]


def _with_package(view: View) -> View:
    """Give a view the package; answer 404 where there is none."""

    @csrf_exempt
    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, **named: str) -> HttpResponse:
        try:
            package = client_package.build(settings.CLIENT_FOLDER)
        except NoSourcesError:
            return envelope(404, CODES[404][0], NO_SOURCES)
        response = view(request, package, **named)
        if response.status_code < 400:
            response["Cache-Control"] = CACHING
        return response

    return answer


@_with_package
def page(request: HttpRequest, package: Package) -> HttpResponse:
    """Say how to install the client; give pip, which accepts anything, the sources."""
    wanted = request.get_preferred_type([package.sources.kind, "text/html"])
    if wanted == package.sources.kind:
        response = _file(request, package.sources)
    else:
        here = request.build_absolute_uri()
        about = {"here": here, "server": urljoin(here, "..").rstrip("/"), **_links(package)}
        response = render(request, "silo/client.html", about)
    patch_vary_headers(response, ["Accept"])
    return response


@_with_package
def file(request: HttpRequest, package: Package, name: str) -> HttpResponse:
    """Give the wheel, or the sources."""
    for one in (package.wheel, package.sources):
        if one.name == name:
            return _file(request, one)
    return envelope(
        404, CODES[404][0], f"This server has {package.wheel.name} and {package.sources.name}."
    )


@_with_package
def index(request: HttpRequest, package: Package) -> HttpResponse:
    """List the one project, as PEP 503 has it."""
    return render(request, "silo/client_index.html", {"links": [(f"{NAME}/", NAME)]})


@_with_package
def project(request: HttpRequest, package: Package) -> HttpResponse:
    """List the files of the project, as PEP 503 has it."""
    return render(request, "silo/client_index.html", {"up": "../../", **_links(package)})


def _links(package: Package) -> Mapping[str, Any]:
    files = (package.wheel, package.sources)
    return {
        "links": [(f"{one.name}#sha256={one.sha256}", one.name) for one in files],
        "wheel": package.wheel.name,
        "requires_python": package.requires_python,
    }


def _file(request: HttpRequest, wanted: File) -> HttpResponse:
    etag = f'"{wanted.sha256}"'
    response = HttpResponse(wanted.content, content_type=wanted.kind)
    response["ETag"] = etag
    # Where the address has no file name, pip reads it here.
    response["Content-Disposition"] = f'attachment; filename="{wanted.name}"'
    answer = get_conditional_response(request, etag, None, response)
    assert isinstance(answer, HttpResponse)
    return answer


urlpatterns: list[URLPattern] = [
    path("", page, name="client"),
    path("simple/", index),
    path(f"simple/{NAME}/", project),
    path("<str:name>", file),
]
