"""Users of the command `silo` at one server."""

import pytest

from sessions_app.roles import Role
from tests.processes.client.cli_user import CliUser


@pytest.fixture
def ada(serve, cli_user_of) -> CliUser:
    return cli_user_of(serve())


@pytest.fixture
def bob(ada, cli_user_of) -> CliUser:
    return cli_user_of(ada.client.server, "bob")


@pytest.fixture
def root(ada, cli_user_of) -> CliUser:
    return cli_user_of(ada.client.server, "root", Role.ADMIN)
