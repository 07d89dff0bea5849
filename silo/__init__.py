"""The project: settings, configuration, URLs, the API root and its errors. Knows the apps; no app knows it."""

# The one place of the server's version.
__version__ = "1.4.0.dev0"
