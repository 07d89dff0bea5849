"""How Django's own pages write times: see `en/formats.py`."""
