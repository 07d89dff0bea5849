"""The project: settings, configuration, URLs, the API root and its errors. Knows the apps; no app knows it."""
