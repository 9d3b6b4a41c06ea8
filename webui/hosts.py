"""Host names and addresses: which are this machine's own, and which client a request counts for."""

import ipaddress
import socket
from collections.abc import Mapping
from functools import lru_cache

from flask import Request

_REMEMBERED = 1024  # hosts: every request asks of the same few
_BEYOND = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # nobody's (RFC 5737, RFC 3849); to bind all interfaces


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


def address_elsewhere(bound: str, beyond: Mapping[str, str] = _BEYOND) -> str | None:
    """How other machines address this one, where all of its interfaces are bound; None where that is not known.

    beyond: an address on the way to which the system chooses the interface. Nothing is sent there.
    """
    bound = bound.strip("[]")
    if bound not in beyond:
        return None
    try:
        with socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((beyond[bound], 9))
            found = str(way.getsockname()[0])
    except OSError:  # no network
        return None
    return f"[{found}]" if ":" in found else found


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
