"""Which streams are open, on which server process, and what their arrivals, heartbeats and departures are told to."""
