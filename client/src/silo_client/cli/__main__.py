"""`python -m silo_client.cli` is `silo`."""

from silo_client.cli import run

if __name__ == "__main__":
    run()
