"""Texts of configuration files."""

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"
NUMBERS = {
    "session_timeout_minutes": 15,
    "heartbeat_seconds": 30,
    "sweep_seconds": 30,
    "disconnect_grace_seconds": 0,
    "dead_peer_seconds": 45,
    "server_dead_seconds": 10,
    "idle_timeout_minutes": 0,
    "event_retention_hours": 24,
}


def in_sessions(key, value):
    return f"modules:\n  sessions:\n    {key}: {value}\n"


def in_limits(key, value):
    return f"limits:\n  {key}: {value}\n"


def in_server(key, value):
    return f"server:\n  {key}: {value}\n"
