"""The command `silo`."""
