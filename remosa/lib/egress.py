"""Where outgoing calls may go: public addresses, and the networks that the operator has named.

The question is asked of the very address a socket is about to be connected to, after names,
unusual spellings and redirects have been resolved: there is nothing left between the check and the
connection that could change the answer. This module decides; ``remosa.lib.http`` obeys.
"""

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

GLOBAL_UNICAST = IPv6Network("2000::/3")  # everything else of IPv6 is local, reserved or an embedding
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is meant
YOUNGER = (  # than the tables of older Pythons
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
    IPv6Network("2002::/16"),  # RFC 7526: 6to4 is over; a relay would unwrap the IPv4 address inside
)
RELAY_ANYCAST = IPv4Network("192.88.99.0/24")  # RFC 7526: deprecated 6to4 relays
LOOKUPS_AT_ONCE = 64


def is_allowed(address: str) -> bool:
    """Whether a socket may be connected to ``address``, a numeric IPv4 or IPv6 address."""
    ip = _meant(ip_address(address))
    if any(ip.version == network.version and ip in network for network in _allowed_networks()):
        return True
    return _is_public_v4(ip) if isinstance(ip, IPv4Address) else _is_public_v6(ip)


def _meant(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 spelling of it, else ``ip`` itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in NAT64 else ip


def _is_public_v4(ip: IPv4Address) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip in RELAY_ANYCAST)


def _is_public_v6(ip: IPv6Address) -> bool:
    if ip not in GLOBAL_UNICAST or any(ip in network for network in YOUNGER):
        return False
    return ip.is_global and not ip.scope_id


def _allowed_networks() -> list[IPv4Network | IPv6Network]:
    return _networks(tuple(settings.EGRESS_ALLOW))


@cache
def _networks(cidrs: tuple[str, ...]) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(cidr) for cidr in cidrs]
    except ValueError as exc:
        raise ImproperlyConfigured(
            f"EGRESS_ALLOW: {exc}. Write networks like 10.20.0.0/16 or 192.0.2.7/32, separated by commas."
        ) from exc


class Lookup(Protocol):
    """Where a door asks for the addresses of a name."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The numeric addresses of ``host``; OSError when there are none."""


class Resolver:
    """The system's name lookup, each in a daemon thread.

    The event loop's own pool would be joined when the loop ends, so that a hanging name server
    could hold a caller long past its deadline. These threads are simply left behind, and bounded.
    """

    _slots = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of ``host``; OSError when there are none."""
        return await asyncio.wrap_future(self.begin(host, port))

    def begin(self, host: str, port: int) -> "Future[list[str]]":
        """The same for a caller without an event loop, who waits as long as it likes."""
        if not self._slots.acquire(blocking=False):
            raise OSError("too many name lookups are hanging")
        answer: Future[list[str]] = Future()
        threading.Thread(target=self._look_up, args=(host, port, answer), name="lookup", daemon=True).start()
        return answer

    def _look_up(self, host: str, port: int, answer: "Future[list[str]]") -> None:
        found: list[str] = []
        failure: Exception | None = None
        try:
            found = _system_lookup(host, port)
        except (OSError, UnicodeError) as exc:  # UnicodeError: a label that IDNA cannot encode
            failure = exc if isinstance(exc, OSError) else OSError("not a host name")
        finally:
            self._slots.release()
        if not answer.set_running_or_notify_cancel():
            return  # nobody waits any more
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(found)


def _system_lookup(host: str, port: int) -> list[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_kind, address in infos))
