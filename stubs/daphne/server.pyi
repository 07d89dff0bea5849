from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import Any

from daphne.http_protocol import HTTPFactory

twisted_loop: AbstractEventLoop

class Server:
    # What is known of each request that is under way or was answered a moment ago.
    connections: dict[Any, dict[str, Any]]
    http_factory: HTTPFactory
    def __init__(
        self,
        application: Any,
        endpoints: Sequence[str],
        signal_handlers: bool,
        request_buffer_size: int,
        server_name: str,
    ) -> None: ...
    def run(self) -> None: ...
    def listen_success(self, port: Any) -> None: ...
    def kill_all_applications(self) -> Any: ...
    def timeout_checker(self) -> None: ...
    async def handle_reply(self, protocol: Any, message: Any) -> None: ...
