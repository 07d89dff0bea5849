"""Presence: which streams are open on which server process, and their arrivals, heartbeats and departures."""
