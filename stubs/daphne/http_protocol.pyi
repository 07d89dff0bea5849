from typing import Any

from twisted.web import http

class WebRequest(http.Request):
    channel: Any
    content: Any
    server: Any
    def __init__(self, *args: Any, parsePOSTFormSubmission: bool) -> None: ...
    def basic_error(self, status: int, status_text: bytes, body: str) -> None: ...
    def handle_reply(self, message: dict[str, Any]) -> None: ...
    def connectionLost(self, reason: Any) -> None: ...
    def process(self) -> Any: ...

class HTTPFactory:
    protocol: Any
    timeOut: float | None
    buildProtocol: Any
