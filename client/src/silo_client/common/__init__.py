"""Leaves that the program and the helper both use: what they share, a clock, text."""
