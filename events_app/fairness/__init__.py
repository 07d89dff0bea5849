"""Whose turn it is where many requests wait."""
