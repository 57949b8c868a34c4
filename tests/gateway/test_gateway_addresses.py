"""Every pod and picker gets an address of its own."""

import errno
import socket
from typing import Any

import pytest

from signalbox.gateway import addresses
from signalbox.gateway.addresses import LOOPBACK, NoAddress, claim, port_is_free

NETWORK = "127.0.77."


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def own_addresses() -> None:
    try:
        with socket.socket() as probe:
            probe.bind((f"{NETWORK}1", 0))
    except OSError:
        pytest.skip("this system answers on 127.0.0.1 only")


@pytest.mark.usefixtures("own_addresses")
def test_claims_get_different_addresses_and_the_same_port() -> None:
    port = free_port()
    first, second = claim(NETWORK, [port]), claim(NETWORK, [port])
    assert first.host != second.host
    assert first.ports == second.ports == {port: port}
    host = first.host
    first.release()
    third = claim(NETWORK, [port])
    assert third.host == host
    second.release()
    third.release()


@pytest.mark.usefixtures("own_addresses")
def test_an_address_with_a_listener_is_passed_over() -> None:
    with socket.create_server((f"{NETWORK}1", 0)) as server:
        lease = claim(NETWORK, [server.getsockname()[1], free_port()])
        assert lease.host == f"{NETWORK}2"
        lease.release()


@pytest.mark.usefixtures("own_addresses")
def test_a_claim_does_not_disturb_the_server_it_is_for() -> None:
    lease = claim(NETWORK, [port := free_port()])
    with socket.create_server((lease.host, lease.ports[port])):
        pass
    lease.release()


@pytest.mark.usefixtures("own_addresses")
def test_a_port_that_is_only_wished_for_gives_way_and_decides_nothing() -> None:
    needed, wish = free_port(), free_port()
    with socket.create_server((f"{NETWORK}1", wish)):
        lease = claim(NETWORK, [needed], [wish, needed, 0])
    assert (lease.host, lease.ports) == (f"{NETWORK}1", {needed: needed})
    assert lease.spare[2] == 0
    assert len({needed, wish, *lease.spare}) == 5
    lease.release()


@pytest.mark.usefixtures("own_addresses")
def test_ports_the_gateway_takes_on_every_address_are_left_alone() -> None:
    needed, wish = free_port(), free_port()
    lease = claim(NETWORK, [needed], [wish], {wish})
    assert lease.host != LOOPBACK
    assert lease.spare != (wish,)
    lease.release()
    lease = claim(NETWORK, [needed], [], {needed})
    assert lease.host == LOOPBACK
    assert lease.ports[needed] != needed
    lease.release()


def test_where_only_one_address_exists_pods_get_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    real = addresses._guarded

    def one_address_only(host: str, *rest: Any) -> addresses.Lease:
        if host != LOOPBACK:
            raise OSError(errno.EADDRNOTAVAIL, "not available")
        return real(host, *rest)

    monkeypatch.setattr(addresses, "_guarded", one_address_only)
    first, second = claim(NETWORK, [9002, 9003], [8080]), claim(NETWORK, [9002, 9003], [8080])
    assert first.host == second.host == LOOPBACK
    assert first.ports.keys() == {9002, 9003}
    assert len({*first.ports.values(), *second.ports.values(), *first.spare, *second.spare}) == 6
    assert 8080 not in {*first.spare, *second.spare}, "that one is the user's"
    first.release()
    second.release()


def test_when_nothing_is_free_the_error_names_network_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> addresses.Lease:
        raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(addresses, "_guarded", nothing)
    with pytest.raises(NoAddress, match=r"127\.0\.77\.0/24 .* 8000"):
        claim(NETWORK, [8000])


def test_a_port_in_use_is_told_from_a_free_one() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        error = port_is_free(LOOPBACK, port)
        assert error is not None
        assert error.errno == errno.EADDRINUSE
    assert port_is_free(LOOPBACK, port) is None
