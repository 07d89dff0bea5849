"""The program's end of the helper: finds a Python for it, starts it, sends commands, reads messages.

Runs in the program.
"""
