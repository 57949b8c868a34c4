"""Loopback addresses for pods and pickers: each gets one of its own, so that all can listen on the manifest's port."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

POD_NETWORK = "127.0.1."
PICKER_NETWORK = "127.0.2."
LOOPBACK = "127.0.0.1"


class NoAddress(Exception):
    """No address of a network is free for the ports asked for."""


@dataclass(slots=True)
class Lease:
    """An address that nobody else on this machine will claim until ``release`` is called or this process ends."""

    host: str
    ports: dict[int, int]
    """The port asked for -> the port to listen on: the same, except where only one address exists."""
    spare: tuple[int, ...] = ()
    """For each port that was only wished for: that one, or a free one where somebody has it; 0 for 0."""
    _guards: list[socket.socket] = field(default_factory=list, repr=False)

    def release(self) -> None:
        """Give the address back."""
        for guard in self._guards:
            guard.close()
        self._guards.clear()


def claim(
    network: str, ports: Iterable[int], wishes: Iterable[int] = (), avoid: Collection[int] = frozenset()
) -> Lease:
    """Claim an address of ``network`` ("127.0.1.") with all ``ports`` free, else free ports on 127.0.0.1.

    The second form serves systems that answer on 127.0.0.1 only (macOS), and machines where somebody listens on the
    port on every address. A port of ``wishes`` decides nothing: where it is taken another takes its place. Ports in
    ``avoid`` count as taken. Raises ``NoAddress`` when even that fails.
    """
    wanted = tuple(dict.fromkeys(ports))
    wishes = tuple(wishes)
    for last in range(1, 255):
        host = f"{network}{last}"
        try:
            return _guarded(host, {port: port for port in wanted}, wishes, avoid)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                break
    for _ in range(100):
        try:
            # Whatever shares this address must be told apart by port: none is worth more than another.
            return _guarded(LOOPBACK, {port: free_port(LOOPBACK) for port in wanted}, wishes, {*avoid, *wishes})
        except OSError:
            continue
    raise NoAddress(
        f"no free address in {network}0/24 and no free ports on {LOOPBACK} for {', '.join(map(str, wanted))}"
    )


def port_is_free(host: str, port: int) -> OSError | None:
    """Try to listen on a TCP port; return ``None`` when that works, else what the system said."""
    try:
        _probe(host, port)
    except OSError as error:
        return error
    return None


def _guarded(host: str, ports: dict[int, int], wishes: Iterable[int] = (), avoid: Collection[int] = ()) -> Lease:
    lease = Lease(host, ports)
    try:
        for port in ports.values():
            _guard(lease, port, avoid)
        for wish in wishes:
            lease.spare = (*lease.spare, _guard_wish(lease, wish, avoid) if wish else 0)
    except OSError:
        lease.release()
        raise
    return lease


def _guard(lease: Lease, port: int, avoid: Collection[int]) -> None:
    if port in avoid:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    # Two gateways may look at the same moment, before either's server listens. A UDP socket bound to the same number
    # is the reservation: it does not disturb the TCP listener and goes away with this process.
    guard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        guard.bind((lease.host, port))
        _probe(lease.host, port)
    except OSError:
        guard.close()
        raise
    lease._guards.append(guard)


def _guard_wish(lease: Lease, wish: int, avoid: Collection[int]) -> int:
    try:
        _guard(lease, wish, avoid)
    except OSError:
        _guard(lease, wish := free_port(lease.host), avoid)
    return wish


def _probe(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of an earlier run that are still in TIME_WAIT are no obstacle to a server, nor to this check.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        # macOS lets two sockets with SO_REUSEADDR bind the same port; listening tells.
        probe.listen(1)


def free_port(host: str) -> int:
    """A port of an IPv4 address that nobody listens on at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
