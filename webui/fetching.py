"""Fetching a picture by its address, where that is allowed, without reaching what only this machine can reach.

A name is resolved once, every address it has is checked, and the connection is made to one that was: a name that
changes its mind (DNS rebinding) changes nothing. Redirects are followed by the same rules. Bytes and seconds are
bounded over the whole.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from engine.errors import InvalidInput, TooLarge

Resolver = Callable[[str, int], Sequence[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_REDIRECTS, _SECONDS, _BLOCK = 3, 10.0, 1 << 16
_REFUSED = "image_url: it leads to an address that is not public"
# Prefixes whose addresses hold IPv4 addresses that some networks route on: what is inside is never public for us.
_TRANSLATED = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, in whatever form it is written."""
    inside = getattr(address, "ipv4_mapped", None)
    if inside is not None:
        return is_public(inside)
    translated = any(address in net for net in _TRANSLATED if net.version == address.version)
    return address.is_global and not (address.is_multicast or address.is_reserved or translated)


def resolve(host: str, port: int) -> list[str]:
    """All addresses that a name has now."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Fetcher:
    """Fetches by the rules of this module. allowed, resolver, ports: what addresses and ports may be, and whose."""

    def __init__(
        self,
        max_bytes: int,
        hosts: Sequence[str] = (),
        *,
        seconds: float = _SECONDS,
        allowed: Callable[[Address], bool] = is_public,
        resolver: Resolver = resolve,
        ports: Sequence[int] = tuple(_PORTS.values()),
    ) -> None:
        self._max_bytes, self._hosts, self._seconds = max_bytes, {host.lower() for host in hosts}, seconds
        self._allowed, self._resolve, self._ports = allowed, resolver, ports

    def fetch(self, url: str) -> bytes:
        """The bytes there. Raises InvalidInput for what may not or cannot be fetched, TooLarge."""
        sockets: list[socket.socket] = []
        late = threading.Event()
        end = threading.Timer(self._seconds, _shut, (late, sockets))
        end.daemon = True
        end.start()  # a server that sends a byte now and then never runs into the timeout of a socket
        try:
            for _ in range(_REDIRECTS + 1):
                found = self._ask(self._checked(url), sockets, late)
                if late.is_set():
                    raise TimeoutError
                if isinstance(found, bytes):
                    return found
                url = urljoin(url, found)
        except (OSError, http.client.HTTPException, ValueError) as error:
            how = " in time" if late.is_set() or isinstance(error, TimeoutError) else ""
            raise InvalidInput(f"image_url: the server did not answer with a picture{how}") from None
        finally:
            end.cancel()
        raise InvalidInput(f"image_url: it redirects more than {_REDIRECTS} times")

    def _checked(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise InvalidInput("image_url: it is not an address") from None
        if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.password:
            raise InvalidInput("image_url: use http://HOST/PATH or https://HOST/PATH, without a user")
        if port not in self._ports:
            raise InvalidInput("image_url: use the usual port of http or https")
        if self._hosts and parts.hostname.lower() not in self._hosts:
            raise InvalidInput("image_url: this server fetches from other hosts alone (serve.image_url_hosts)")
        if not (url.isascii() and url.isprintable() and " " not in url):
            raise InvalidInput("image_url: it holds characters that an address cannot")
        return parts

    def _ask(self, parts: SplitResult, sockets: list[socket.socket], late: threading.Event) -> bytes | str:
        """The body, or where it redirects to. A connection made when time was up already is closed here."""
        host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
        with closing(http.client.HTTPConnection(host, port, timeout=self._seconds)) as connection:
            connection.sock = self._connected(host, port)  # to the address that was checked
            if parts.scheme == "https":
                secure, bare = ssl.create_default_context(), connection.sock
                connection.sock = secure.wrap_socket(bare, server_hostname=host, do_handshake_on_connect=False)
            sockets.append(connection.sock)
            if late.is_set():
                raise TimeoutError
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "rebus"})
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                return response.headers.get("Location", "")
            if response.status != 200:
                raise InvalidInput(f"image_url: the server answered {response.status}")
            return self._body(response)

    def _connected(self, host: str, port: int) -> socket.socket:
        try:
            addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in self._resolve(host, port)]
        except (OSError, UnicodeError, ValueError):
            raise InvalidInput("image_url: its host is not known") from None
        if not addresses or not all(map(self._allowed, addresses)):
            raise InvalidInput(_REFUSED)
        return socket.create_connection((str(addresses[0]), port), timeout=self._seconds)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        blocks, size = [], 0
        while block := response.read1(_BLOCK):
            size += len(block)
            if size > self._max_bytes:
                raise TooLarge(f"image_url: the picture has over {self._max_bytes:,} bytes: send a smaller one")
            blocks.append(block)
        return b"".join(blocks)


def _shut(late: threading.Event, sockets: Sequence[socket.socket]) -> None:
    late.set()
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
