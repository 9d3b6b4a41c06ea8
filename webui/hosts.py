"""Host names and addresses: which are this machine's own, and which client a request counts for."""

import ipaddress
from functools import lru_cache

from flask import Request

_REMEMBERED = 1024  # hosts: every request asks of the same few


@lru_cache(_REMEMBERED)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_address(host: str) -> bool:
    """Whether a host is written as an address, not as a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def client_of(request: Request) -> str:
    """Whom a request counts for: its address, of which IPv6 gives everybody 2**64."""
    return _client(request.remote_addr or "unknown")


@lru_cache(_REMEMBERED)
def _client(given: str) -> str:
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return given
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
