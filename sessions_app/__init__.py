"""The domain: items, workstations, edit sessions, their API, admin and sweeper."""
