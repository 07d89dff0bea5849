"""Fair turns for callers where many requests wait."""
