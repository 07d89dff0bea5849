"""The client's version, stated here only: a program that ships this folder has it too."""

__version__ = "1.4.0.dev0"
