"""What the Makefile runs, and what people who ship the client run; no part of the service."""
