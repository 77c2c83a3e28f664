"""TLS on tcp-server and tcp-client."""
import pytest

from certificates import Authority, TlsClient
from harness import expect, free_port, pump, serial, tcp_server


@pytest.fixture
def ca(directory):
    return Authority(directory)


@pytest.fixture
def secure():
    """Makes TLS clients: secure(port, context)."""
    made = []

    def make(*args, **kwargs):
        made.append(TlsClient(*args, **kwargs))
        return made[-1]
    yield make
    for c in made:
        c.close()


def tls_server(name, port, certificate, **keys):
    return tcp_server(name, port, tls="yes", tls_cert=certificate[0], tls_key=certificate[1],
                      **keys)


def shaken(*clients):
    pump(clients, lambda: all(c.done or c.eof for c in clients), what="the handshake")


def test_bytes_pass_both_ways(pty, daemon, secure, ca):
    a, port = pty("a"), free_port()
    daemon(serial("a", a, framing="line") +
           tls_server("lan", port, ca.make("server"), framing="line"))
    c = secure(port, ca.client_context())
    shaken(c)
    c.send(b"to the line\n")
    expect(a, b"to the line\n", [c])
    a.send(b"from the line\n")
    expect(c, b"from the line\n", [a])
