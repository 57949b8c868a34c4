"""Loopback addresses for pods and pickers: each gets one of its own, so that all can listen on the manifest's port."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
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
    _guards: list[socket.socket] = field(default_factory=list, repr=False)

    def release(self) -> None:
        """Give the address back."""
        for guard in self._guards:
            guard.close()
        self._guards.clear()


def claim(network: str, ports: Iterable[int]) -> Lease:
    """Claim an address of ``network`` ("127.0.1.") with all ``ports`` free, else free ports on 127.0.0.1.

    The second form serves systems that answer on 127.0.0.1 only (macOS), and machines where somebody listens on the
    port on every address. Raises ``NoAddress`` when even that fails.
    """
    wanted = tuple(dict.fromkeys(ports))
    for last in range(1, 255):
        host = f"{network}{last}"
        try:
            return _guarded(host, {port: port for port in wanted})
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                break
    for _ in range(100):
        try:
            return _guarded(LOOPBACK, {port: _free_port() for port in wanted})
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


def _guarded(host: str, ports: dict[int, int]) -> Lease:
    lease = Lease(host, ports)
    try:
        for port in ports.values():
            # Two gateways may look at the same moment, before either's server listens. A UDP socket bound to the same
            # number is the reservation: it does not disturb the TCP listener and goes away with this process.
            guard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            lease._guards.append(guard)
            guard.bind((host, port))
            _probe(host, port)
    except OSError:
        lease.release()
        raise
    return lease


def _probe(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of an earlier run that are still in TIME_WAIT are no obstacle to a server, nor to this check.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        # macOS lets two sockets with SO_REUSEADDR bind the same port; listening tells.
        probe.listen(1)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
