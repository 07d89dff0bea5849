"""The commands of `silo`, one function each."""
