"""Event streams, presence, the event log and its relay: everything that does not depend on the domain."""
