from __future__ import annotations

import socket

from bench.load.backlog import overflows, read_overflows, read_waiting, waiting

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000010 00:00000000 00000000
   2: 0100007F:1F91 00000000:0000 0A 00000000:00000005 00:00000000 00000000
   3: 0100007F:1F90 0100007F:A001 01 00000000:00000007 00:00000000 00000000
"""


def test_a_port_with_two_listening_sockets() -> None:
    """Both queues count, other ports and open connections do not."""
    assert read_waiting(iter(TABLE.splitlines()), 8080) == 3 + 16


def test_a_server_that_does_not_accept() -> None:
    """Its clients wait in the queue until it does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        assert waiting(port) == 3
        server.accept()[0].close()
        assert waiting(port) == 2
        for client in clients:
            client.close()


def test_the_kernel_s_counters() -> None:
    """Names and values stand in lines of their own."""
    text = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 5 17\nIpExt: InBytes\nIpExt: 1\n"
    assert read_overflows(text) == 17
    assert overflows() >= 0
