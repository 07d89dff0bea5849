"""What `silo edit` does while it holds a session: runs the command, watches over the session, waits in line."""
