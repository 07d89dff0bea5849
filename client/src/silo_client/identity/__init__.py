"""Which workstation and which machine this is, and which other processes are the same workstation.

Runs in the program. The helper gets the result.
"""
