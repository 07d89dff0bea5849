"""The route to a server: the proxy and the trusted certificates that the environment names.

httpx reads the same variables by itself, but its error names none of them where one is invalid.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import httpx

from silo_client.errors import ConfigurationError

CA_FILE_VARIABLE, CA_FOLDER_VARIABLE = "SSL_CERT_FILE", "SSL_CERT_DIR"
KEY_LOG_VARIABLE = "SSLKEYLOGFILE"
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
# Desktops write this where they mean SOCKS 5.
OTHER_NAMES = {"socks": "socks5"}
DEFAULT_PORTS = {"http": 80, "https": 443}
# Where the client is shipped with a plug-in, the program's own httpx comes first, which may be older than ours.
PROXY_ARGUMENT = "proxy" if "proxy" in signature(httpx.Client).parameters else "proxies"
HAS_SOCKS = find_spec("socksio") is not None
# Exceptions where a request gets no answer that can be read. httpx raises the first.
UNREACHED: tuple[type[Exception], ...] = (httpx.RequestError,)
if HAS_SOCKS:
    # Raised where the answer is not one of a SOCKS proxy.
    UNREACHED = (*UNREACHED, import_module("socksio").SOCKSError)
# How `openssl rehash` names the certificates of a folder.
HASHED = re.compile(r"[0-9a-f]{8}\.\d+")


@dataclass(frozen=True)
class ProxyChoice:
    """The proxy by which a server is reached.

    Args:
        url: its URL, with user name and password.
        source: the variable that names it, or the system's settings.
    """

    url: httpx.URL
    source: str

    def __str__(self) -> str:
        return f"the proxy {_shown(self.url)} ({self.source})"


@dataclass(frozen=True)
class Route:
    """How a server is reached.

    Args:
        proxy: the proxy; None for a direct connection.
        verify: the certificates to trust, as httpx takes them.
    """

    proxy: ProxyChoice | None
    verify: ssl.SSLContext | bool

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of an httpx client, which then reads nothing of the environment by itself."""
        options: dict[str, Any] = {"verify": self.verify, "trust_env": False}
        if self.proxy is not None:
            trusted = isinstance(self.verify, ssl.SSLContext) and self.proxy.url.scheme == "https"
            more: Any = {"ssl_context": self.verify} if trusted else {}
            options[PROXY_ARGUMENT] = httpx.Proxy(self.proxy.url, **more)
        return options

    @property
    def through(self) -> str:
        """The end of a sentence: " through the proxy ...", or "" without one."""
        return f" through {self.proxy}" if self.proxy else ""


def route_to(url: str, ca_file: str | None = None) -> Route:
    """Return the route to a server.

    Args:
        url: the server's URL.
        ca_file: a PEM file of the certificates to trust; None for those that the environment names, or the usual ones.

    Raises:
        ConfigurationError: the file, or a variable of the environment that matters for this server, is invalid.
    """
    address = httpx.URL(url)
    proxy = find_proxy(address)
    secure = "https" in (address.scheme, proxy.url.scheme if proxy else "")
    # Without encryption no certificates are read; a named file is checked nevertheless.
    return Route(proxy, make_context(ca_file) if secure or ca_file else False)


# -- proxies --


def find_proxy(
    address: httpx.URL, environment: Mapping[str, str] = os.environ
) -> ProxyChoice | None:
    """Return the proxy that the environment, or the system's settings, name for a server; None for no proxy.

    Raises:
        ConfigurationError: the proxy's URL is invalid.
    """
    named = _named(environment)
    if not named:
        return _of_the_system(address)
    if _is_excepted(address, _value(environment, "no_proxy")[1]):
        return None
    for kind in (address.scheme, "all"):
        if kind in named:
            source, text = named[kind]
            return _checked(text, source)
    return None


def _named(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the variables that name proxies, and their values, by the scheme that each is for."""
    found = {kind: _value(environment, f"{kind}_proxy") for kind in ("http", "https", "all")}
    if "REQUEST_METHOD" in environment and found["http"][0].isupper():
        # In a CGI script this is a header of the request, which anybody can send.
        del found["http"]
    return {kind: value for kind, value in found.items() if value[1]}


def _value(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return a variable as it is written, and its value. Lower case comes first, as in other programs."""
    for written in (name, name.upper()):
        if written in environment:
            return written, environment[written].strip()
    return name.upper(), ""


def _of_the_system(address: httpx.URL) -> ProxyChoice | None:
    # On macOS and Windows those of the system's settings; elsewhere there are none.
    text = urllib.request.getproxies().get(address.scheme, "")
    if not text or urllib.request.proxy_bypass(address.host):
        return None
    return _checked(text, "the system's settings")


def _checked(text: str, source: str) -> ProxyChoice:
    scheme, separator, rest = text.rpartition("://")
    scheme = OTHER_NAMES.get(scheme.lower(), scheme.lower()) if separator else "http"
    try:
        url = httpx.URL(f"{scheme}://{rest}")
        usable = scheme in PROXY_SCHEMES and _is_host(url.host) and (url.port or 1) < 65536
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"{source} is not a proxy URL such as http://proxy.example.com:3128"
            f" (schemes: http, https, socks5): {_without_password(text)!r}"
        )
    if scheme.startswith("socks") and not HAS_SOCKS:
        raise ConfigurationError(
            f"{source} names a SOCKS proxy ({_shown(url)}), which needs the extra"
            " socks: run pip install socksio, as 'silo-client[socks]' does, or list the server in NO_PROXY"
        )
    return ProxyChoice(url, source)


def _is_excepted(address: httpx.URL, no_proxy: str) -> bool:
    """Whether NO_PROXY names the server: *, a host, a domain, an address or a network, each with a port or without."""
    port = address.port or DEFAULT_PORTS[address.scheme]
    return any(
        _is_named(address.host, port, entry.strip().lower())
        for entry in re.split(r"[,\s]+", no_proxy)
        if entry.strip()
    )


def _is_named(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    entry = entry.rpartition("://")[2]
    if match := re.fullmatch(r"(\[[^]]*\]|[^:]*):(\d+)", entry):
        if int(match[2]) != port:
            return False
        entry = match[1]
    entry = entry.replace("[", "").replace("]", "")
    try:
        own = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = entry.lstrip("*").lstrip(".")
        return bool(name) and (host.lower() == name or host.lower().endswith(f".{name}"))
    try:
        return own in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return bool(host) and not re.search(r"[\s%]", host)


def _shown(url: httpx.URL) -> str:
    """Return a URL without its user and password."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")


def _without_password(text: str) -> str:
    return re.sub(r"(^|//).*@", r"\1***@", text)


# -- certificates --


def make_context(ca_file: str | None) -> ssl.SSLContext | bool:
    """Return what httpx takes as `verify`.

    Args:
        ca_file: a PEM file of the certificates to trust; None for those that the environment names, or the usual ones.

    Raises:
        ConfigurationError: the certificates cannot be read, or there are none.
    """
    _check_key_log()
    if ca_file:
        return _context_of(ca_file, f"The CA file {ca_file} is invalid")
    if file := os.environ.get(CA_FILE_VARIABLE):
        return _context_of(file, f"{CA_FILE_VARIABLE} names {file}, which is no valid CA file")
    if folder := os.environ.get(CA_FOLDER_VARIABLE):
        wrong = (
            f"{CA_FOLDER_VARIABLE} names {folder}, which has no certificates with hashes as names:"
            " run `openssl rehash` on it"
        )
        if not any(map(_has_certificates, folder.split(os.pathsep))):
            raise ConfigurationError(wrong)
        return _context_of(None, wrong, folder)
    return True


def _context_of(file: str | None, wrong: str, folder: str | None = None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except (OSError, ValueError) as error:  # ssl.SSLError is the first; a null byte, the second
        raise ConfigurationError(f"{wrong}: {error}") from error


def _has_certificates(folder: str) -> bool:
    try:
        return any(HASHED.fullmatch(file.name) for file in Path(folder).iterdir())
    except OSError:
        return False


def _check_key_log() -> None:
    """Check that Python can write the keys of connections to the file that the environment names."""
    if not (named := os.environ.get(KEY_LOG_VARIABLE)):
        return
    try:
        with Path(named).open("a"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{KEY_LOG_VARIABLE} names {named}: {error}") from error
