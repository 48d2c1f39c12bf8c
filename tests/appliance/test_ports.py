from __future__ import annotations

import os
import socket

import pytest

from proxy.appliance import ports


def test_a_free_port_is_no_complaint() -> None:
    """What nobody listens on can be used."""
    assert ports.complaint("SLUICE_LISTEN_PORT", "127.0.0.1", ports.free_port()) is None


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with reuseport"])
def test_a_taken_port_is_named_with_its_setting(shared: bool) -> None:
    """Another listener is noticed, even one that would share its port with a second Sluice."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        complaint = ports.complaint("SLUICE_ADMIN_PORT", "127.0.0.1", port)
    assert complaint == f"SLUICE_ADMIN_PORT: 127.0.0.1 port {port} is in use by another program."


def test_an_address_of_another_machine_is_said() -> None:
    """Listening on an address that is not here is explained."""
    complaint = ports.complaint("SLUICE_LISTEN_PORT", "192.0.2.1", 8080)
    assert complaint is not None
    assert "does not have the address" in complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every port")
def test_a_low_port_without_the_right_is_said() -> None:
    """What only root may use is explained."""
    complaint = ports.complaint("SLUICE_LISTEN_PORT", "127.0.0.1", 81)
    assert complaint is not None
    assert "NET_BIND_SERVICE" in complaint


def test_a_free_port_is_not_one_for_outgoing_connections() -> None:
    """The kernel could give those to any client in the meantime."""
    assert all(ports.free_port() < 32_768 for _ in range(20))


def test_an_address_that_nothing_can_reach_is_said() -> None:
    """The kernel binds the address of a group, but nobody could ever connect to it."""
    complaint = ports.complaint("SLUICE_LISTEN_PORT", "224.0.0.1", ports.free_port())
    assert complaint is not None
    assert "does not have the address" in complaint
