"""Two users of one server."""

import pytest

from tests.processes.service import Client


@pytest.fixture
def ada(serve, client_of) -> Client:
    return client_of(serve())


@pytest.fixture
def bob(ada, client_of) -> Client:
    return client_of(ada.server, "bob")
