"""The helper process: it keeps the event stream, whatever the program computes. `main.py` is where it begins.

Everything here runs in the helper only. One exception: `silo watch` opens an `event_stream.py` in its own process.
"""
