"""The HTTP API of the domain: one file a resource; types in `fields.py`, bodies in `*_schemas.py`."""
