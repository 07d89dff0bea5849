"""What every use of the database shares: raw SQL, locks tried again, threads, and what to do while it is away."""
