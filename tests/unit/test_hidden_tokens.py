"""A bearer token is not shown where a request that waits for the writer is: a log may hold that."""

import uuid
from types import SimpleNamespace

import pytest

from sessions_app.authentication import LETTING_GO_RIGHT
from sessions_app.operations.release import Release
from sessions_app.writer import Permitted
from silo import set_way

TOKEN = "silo_" + "s" * 43
HEADERS = (
    (b"host", b"localhost"),
    (b"authorization", b"Bearer " + TOKEN.encode()),
    (b"content-length", b"2"),
)


@pytest.fixture
def asker():
    asker = set_way._asker(HEADERS)
    assert asker.token == TOKEN
    return asker


def test_of_who_asks_and_all_that_holds_it(asker):
    shown = [asker, set_way._Asked(None, asker, None), set_way._Waiting(None, asker, None, 0.0)]
    for one in shown:
        assert "_Asker" in repr(one)
        assert TOKEN not in repr(one)


def test_of_a_permitted_request():
    user = SimpleNamespace(id=1)
    permitted = Permitted(Release(user, [uuid.uuid4()]), TOKEN, LETTING_GO_RIGHT)
    assert permitted.token == TOKEN
    assert TOKEN not in repr(permitted)
