"""The way to a server: addresses, proxies, certificates. Used by the program and the helper."""
