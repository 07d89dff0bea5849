"""PostgreSQL without setting one up: a cluster in the project's var folder, alive while it is used."""
