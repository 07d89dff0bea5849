"""The event log: its table, the relay to the streams of a process, and the format on the wire."""
