"""The event log: what is written, how the relay brings it to the streams of a process, how it looks on the wire."""
