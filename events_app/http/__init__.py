"""HTTP below Django: Daphne with bounded connections, requests, bodies and memory."""
