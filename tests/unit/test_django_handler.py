"""What is left of the body of an answered request: nothing."""

import asyncio
import io

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from silo.django_handler import Handler

SCOPE = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}


@pytest.mark.parametrize("leaves", [False, True])
def test_the_body_goes_with_the_answer(leaves):
    handler, request = Handler(), ASGIRequest(SCOPE, io.BytesIO(b"a part"))
    read = []

    async def view(request):
        read.append(request.body)
        if leaves:
            raise asyncio.CancelledError
        return HttpResponse()

    handler.get_response_async = view
    try:
        assert asyncio.run(handler.run_get_response(request)).status_code == 200
    except asyncio.CancelledError:
        assert leaves
    assert read == [b"a part"]
    assert request.body == b""
