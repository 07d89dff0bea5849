from collections.abc import Collection
from threading import Lock
from typing import Any

MAX_PENDING: int

class Listener:
    user_id: Any
    channels: Collection[str]

class ListenerManager:
    lock: Lock
    # By the name of a channel.
    listeners_by_channel: dict[str, set[Any]]
    def add_listener(self, listener: Listener) -> None: ...
    def remove_listener(self, listener: Listener) -> None: ...

def get_listener_manager() -> ListenerManager: ...
