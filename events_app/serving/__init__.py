"""The ASGI applications of streams and alive requests, and the server process that runs them."""
