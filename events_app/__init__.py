"""Streams, presence, the event log and its relay. Knows presence keys, channels and events; no domain word."""
