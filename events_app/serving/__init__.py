"""The ASGI applications of streams and signs of life, and the server process that runs them."""
