"""The HTTP API of the domain: one file a resource, all schemas in `schemas.py`."""
