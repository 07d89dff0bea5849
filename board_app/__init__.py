"""The board: pages that show people who edits what, right now, and let them act on it."""
