"""Sockets that a service manager listens on for the daemon."""
import os
import socket

import pytest

from harness import Client, Daemon, expect, section, wait_for


def listening(address, only6=False):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
    s.bind((address, 0))
    s.listen()
    return s, s.getsockname()[1]


def server(name, listen, **keys):
    return section("tcp-server", name, listen=listen, framing="line", **keys)


@pytest.fixture
def pass_sockets(request, directory):
    """Starts a daemon as systemd does, with sockets of these names."""
    request.node.daemons = made = []

    def start(conf, **sockets):
        def preexec():
            high = [os.dup2(s.fileno(), 500 + i, inheritable=False)
                    for i, s in enumerate(sockets.values())]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
        env = {"LISTEN_FDS": str(len(sockets)),
               "LISTEN_FDNAMES": ":".join(sockets)}
        wrapper = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]
        made.append(Daemon(directory, conf, env=env, wrapper=wrapper,
                           preexec=preexec))
        for s in sockets.values():
            s.close()
        return made[-1]
    yield start
    for d in made:
        d.stop()


@pytest.mark.parametrize("bound, listen", [
    ("::", "{}"), ("::", "*:{}"), ("::", "127.0.0.1:{}"), ("::", "localhost:{}"),
    ("::", "[::]:{}"), ("::", "[::1]:{}"), ("0.0.0.0", "{}"), ("0.0.0.0", "*:{}"),
    ("127.0.0.1", "{}"), ("127.0.0.1", "127.0.0.1:{}"), ("::1", "[::1]:{}")])
def test_a_socket_serves_an_equivalent_address(pass_sockets, bound, listen):
    s, port = listening(bound)
    d = pass_sockets(server("lan", listen.format(port), allow="127.0.0.0/8") +
                     section("echo", "back"), ttybridge=s)
    client = Client(("127.0.0.1", port)) if bound != "::1" else None
    if client is not None:
        client.send(b"hello\n")
        expect(client, b"hello\n")
        client.close()
    assert "closed" not in d.stderr()
    rows = {row["name"]: row for row in d.json("endpoints")}
    assert rows["lan"]["address"].endswith(f":{port}")


def test_allow_still_excludes_others(pass_sockets):
    """A wildcard socket does not open a loopback address to the network."""
    s, port = listening("::")
    pass_sockets(server("lan", port), ttybridge=s)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            host = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no address but loopback")
    with socket.create_connection((host, port)) as stranger:
        stranger.settimeout(20)
        assert stranger.recv(1) == b""


@pytest.mark.parametrize("bound, listen", [
    ("127.0.0.1", "[::1]:{}"), ("::", "127.0.0.1:0"), ("127.0.0.1", "127.0.0.1:0")])
def test_a_socket_that_no_section_claims_is_closed(pass_sockets, bound, listen):
    s, port = listening(bound)
    d = pass_sockets(server("lan", listen.format(port)), spare=s)
    wait_for(lambda: "the inherited socket spare" in d.stderr())
    assert f":{port}) is closed: no section" in d.stderr()
    host = "::1" if bound == "::" else bound
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port)).close()


def test_a_socket_belongs_to_the_section_of_its_name(pass_sockets):
    one, port_one = listening("127.0.0.1")
    two, port_two = listening("127.0.0.1")
    d = pass_sockets(server("a", "127.0.0.1:1") + server("b", "127.0.0.1:2"),
                     b=one, a=two)
    rows = {row["name"]: row["address"] for row in d.json("endpoints")}
    assert rows == {"a": f"127.0.0.1:{port_two}", "b": f"127.0.0.1:{port_one}"}
