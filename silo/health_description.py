"""`/health` and `/ready` in the API's description: Django serves them beside the API."""

from typing import Any

from silo import __version__


def _path(operation_id: str, summary: str, *answers: tuple[int, str, dict[str, Any]]) -> Any:
    return {
        "get": {
            "operationId": operation_id,
            "summary": summary,
            "tags": ["health"],
            "security": [],
            "responses": {
                status: {
                    "description": description,
                    "content": {
                        "application/json": {"schema": _schema(example), "example": example}
                    },
                }
                for status, description, example in answers
            },
        }
    }


def _schema(example: dict[str, Any]) -> dict[str, Any]:
    types = {str: "string", int: "integer"}
    return {
        "type": "object",
        "properties": {name: {"type": types[type(value)]} for name, value in example.items()},
        "required": list(example),
    }


_READY = {"status": "ready", "database": "ok", "relay": "ok", "sse_clients": 7}
_NOT_READY = _READY | {
    "status": "not ready",
    "database": "unavailable",
    "reason": "the database says: could not extend file: No space left on device",
}

PATHS = {
    "/health": _path(
        "health",
        "Say that this process runs, and its version",
        (200, "The process is running.", {"status": "ok", "version": __version__}),
    ),
    "/ready": _path(
        "ready",
        "Say whether this process may be sent traffic",
        (200, "It may.", _READY),
        (503, "It may not: something is starting, stopping or cut off.", _NOT_READY),
    ),
}
