"""HAProxy and nginx as deploy/proxies configures them, in front of two servers."""

import httpx

from tests.proxies.kinds import HAPROXY, NGINX
from tests.proxies.proxy import Proxy

PROXIES = {kind.program: kind for kind in (HAPROXY, NGINX)}


def is_ready_through(proxy: Proxy) -> bool:
    try:
        return httpx.get(f"{proxy.url}/ready", timeout=3).status_code == 200
    except httpx.TransportError:
        return False
