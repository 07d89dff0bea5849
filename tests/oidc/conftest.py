"""A provider of OpenID Connect, and a browser that goes there and back."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from django.test import Client

from board_app.openid.provider import PROVIDER
from sessions_app import wrong_credentials
from tests.ports import reserved
from tests.waiting import eventually

HERE = Path(__file__).parent
MODULE = Path(sys.prefix, "oidc-provider/node_modules/oidc-provider/lib/index.js")
SECRET = "the-secret-of-the-client"
BEGIN = "/board/log-in/openid"
ANSWER = f"{BEGIN}/answer"
PEOPLE = {
    "1": {"preferred_username": "ada", "given_name": "Ada", "family_name": "Lovelace"},
    "2": {"preferred_username": "bob", "name": "Bob", "groups": ["silo-admins", "staff"]},
    "3": {"preferred_username": "carol", "groups": ["staff"]},
}
PEOPLE["1"]["groups"] = ["silo-editors"]


class Started:
    """A provider that runs."""

    def __init__(self, folder, where):
        self._people = folder / "people.json"
        self.set_people(PEOPLE)
        port = reserved()
        self.issuer = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            ["node", HERE / "provider.mjs", MODULE, str(port), self._people, where],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        eventually(self._answers, f"a provider; see {folder / 'log'}")

    def _answers(self):
        assert self._process.poll() is None, Path(self._log.name).read_text()
        try:
            return httpx.get(f"{self.issuer}/.well-known/openid-configuration").is_success
        except httpx.TransportError:
            return False

    def set_people(self, people):
        self._people.write_text(json.dumps(people))

    def close(self):
        self._process.kill()
        self._process.wait()
        self._log.close()


@pytest.fixture(scope="session", params=["userinfo"])
def started(tmp_path_factory, request):
    """A provider whose claims are where the parameter says."""
    provider = Started(tmp_path_factory.mktemp("provider"), request.param)
    yield provider
    provider.close()


@pytest.fixture
def provider(started, settings):
    """The provider, named by the settings."""
    started.set_people(PEOPLE)
    configure(settings, started.issuer)
    return started


def configure(settings, issuer, **given):
    values = {
        "openid_issuer": issuer,
        "openid_name": "Company",
        "openid_client_id": "silo",
        "openid_client_secret": SECRET,
        "openid_viewer_groups": ["silo-viewers"],
        "openid_editor_groups": ["silo-editors"],
        "openid_admin_groups": ["silo-admins"],
    }
    settings.ACCOUNTS = settings.ACCOUNTS.model_copy(update=values | given)


@pytest.fixture(autouse=True)
def nothing_kept():
    """What other tests have tried, and kept of a provider, is forgotten."""
    wrong_credentials.forget()
    PROVIDER.forget()
    yield
    wrong_credentials.forget()
    PROVIDER.forget()


class Browser:
    """A browser at this service (`silo`, Django's client) and at the provider (`there`)."""

    def __init__(self):
        self.silo = Client()
        self.there = httpx.Client()

    def begin(self, following=""):
        """Press the button; return where the browser is sent."""
        answer = self.silo.get(BEGIN, {"next": following} if following else {})
        assert answer.status_code == 302, answer.content.decode()
        return answer["Location"]

    def at_provider(self, address, login, *, consents=True):
        """Log in there, and return the address with which the provider sends the browser back."""
        page = self._followed(self.there.get(address))
        while isinstance(page, httpx.Response):
            form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)[1]
            if prompt == "consent" and not consents:
                abort = re.search(r'href="([^"]+/abort)"', page.text)[1]
                page = self._followed(self.there.get(urljoin(str(page.url), abort)))
            else:
                filled = {"prompt": prompt, "login": login, "password": "any"}
                action = urljoin(str(page.url), form[1])
                page = self._followed(self.there.post(action, data=filled))
        return page

    def passes(self, address):
        """Say whether the provider sends the browser back without asking anything."""
        return isinstance(self._followed(self.there.get(address)), str)

    def _followed(self, answer):
        """Follow redirects at the provider; return a page of it, or the address of this service."""
        there = answer.url.host, answer.url.port
        while answer.is_redirect:
            address = urljoin(str(answer.url), answer.headers["Location"])
            parts = urlsplit(address)
            if (parts.hostname, parts.port) != there:
                return address
            answer = self.there.get(address)
        assert answer.is_success, answer.text
        return answer

    def back(self, address):
        """Come back with an address from the provider."""
        parts = urlsplit(address)
        assert parts.path == ANSWER
        return self.silo.get(f"{parts.path}?{parts.query}")

    def log_in(self, login, following="", *, consents=True):
        """Go there and back; return this service's answer."""
        return self.back(self.at_provider(self.begin(following), login, consents=consents))


@pytest.fixture
def new_browser():
    browsers = []

    def new():
        browsers.append(Browser())
        return browsers[-1]

    yield new
    for browser in browsers:
        browser.there.close()


@pytest.fixture
def browser(new_browser):
    return new_browser()
