"""Database code that the other packages share: raw SQL, retries with more locks, threads, and outages."""
