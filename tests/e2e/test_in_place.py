"""Keys that take effect while an endpoint is open: by a reload, and by `set`."""
import socket

import pytest

from harness import (ControlError, expect, free_port, pump, section, serial, tcp_server,
                     wait_for)
from test_handover import restart


@pytest.fixture(params=["reload", "set"])
def change(request):
    """Changes a key of a section, in either way."""
    def by_reload(d, name, key, value):
        before, at, after = d.sections.partition(f" {name}]\n")
        d.sections = before + at + f"{key} = {value}\n" + "".join(
            line for line in after.splitlines(True) if not line.startswith(f"{key} ="))
        d.reload(d.sections)

    def by_set(d, name, key, value):
        d.control(f"set {name}/{key} {value}")
    return by_reload if request.param == "reload" else by_set


def begin(daemon, sections, **kwargs):
    d = daemon(sections, **kwargs)
    d.sections = sections
    return d


def servers(directory):
    """Kind, address for the section, and for connect()."""
    port = free_port()
    return {"tcp-server": (f"127.0.0.1:{port}", port),
            "unix-server": (directory / "lan.sock", directory / "lan.sock")}


@pytest.fixture(params=["tcp-server", "unix-server"])
def server(request, pty, daemon, connect, directory):
    """A daemon with a server, one client, and what the client's connection is called."""
    listen, where = servers(directory)[request.param]
    a = pty("a")
    d = begin(daemon, serial("a", a, framing="line") + section(
        request.param, "lan", listen=listen, framing="line", max_clients=2,
        idle_timeout="1h"))
    client = connect(where)
    client.send(b"one\n")
    expect(a, b"one\n", [client])
    return d, a, client, where


def stays(d, a, client):
    """The client is connected as before, and so are its counters."""
    client.send(b"two\n")
    expect(a, b"two\n", [client])
    peer, = [row for row in d.json("peers") if row["name"] == "lan#1"]
    assert peer["rx_bytes"] == 8
    assert d.number("lan/opens") == 1 and d.number("lan/rx_frames") == 2
    assert d.number("lan/losses") == 0


def test_a_greeting_is_changed_for_new_clients(server, change, connect):
    d, a, client, where = server
    change(d, "lan", "greeting", r"hello\n")
    stays(d, a, client)
    assert d.get("lan/greeting") == r"hello\n"
    expect(connect(where), b"hello\n")
    assert not client.received


def test_max_clients_is_changed_for_new_clients(server, change, connect):
    d, a, client, where = server
    change(d, "lan", "max_clients", "1")
    stays(d, a, client)
    second = connect(where)
    pump([second], lambda: second.eof)
    change(d, "lan", "max_clients", "3")
    more = [connect(where), connect(where)]
    wait_for(lambda: len(d.json("peers")) == 3)
    assert not client.eof and not any(c.eof for c in more)
    assert "of 3)" in d.tasks()["lan.accept"]["label"]


def test_idle_timeout_is_changed_for_all_clients(server, change):
    d, a, client, _ = server
    change(d, "lan", "idle_timeout", "none")
    assert "lan.idle" not in d.tasks()
    stays(d, a, client)
    change(d, "lan", "idle_timeout", "100ms")
    pump([client], lambda: client.eof)
    assert d.number("lan/idle_closed") == 1


def test_allow_is_changed_for_new_clients(pty, daemon, connect, change):
    a, port = pty("a"), free_port()
    here = next((row[4][0] for row in socket.getaddrinfo(socket.gethostname(), 0)
                 if not row[4][0].startswith(("127.", "::1"))
                 and ":" not in row[4][0]), None)
    d = begin(daemon, serial("a", a, framing="line") + section(
        "tcp-server", "lan", listen=f"*:{port}", allow="192.0.2.0/24", framing="line"))
    client = connect(port)
    client.send(b"one\n")
    expect(a, b"one\n", [client])
    change(d, "lan", "allow", "198.51.100.0/24" if here is None else here)
    stays(d, a, client)
    if here is None:
        return
    far = connect((here, port))
    far.send(b"far\n")
    expect(a, b"far\n", [far])
    change(d, "lan", "allow", "192.0.2.0/24")
    far.send(b"far\n")
    expect(a, b"far\n", [far])
    refused = connect((here, port))
    pump([refused], lambda: refused.eof)


def test_keepalive_is_changed_for_all_clients(pty, daemon, connect, change):
    a, port = pty("a"), free_port()
    d = begin(daemon, serial("a", a, framing="line") + tcp_server("lan", port, framing="line"))
    client = connect(port)
    client.send(b"one\n")
    expect(a, b"one\n", [client])
    assert "1 TCP peer " in d.tasks()["daemon.keepalive"]["label"]
    change(d, "lan", "keepalive", "no")
    stays(d, a, client)
    assert "daemon.keepalive" not in d.tasks()
    change(d, "lan", "keepalive", "1h")
    assert "1 TCP peer " in d.tasks()["daemon.keepalive"]["label"]
    client.close()
    wait_for(lambda: "daemon.keepalive" not in d.tasks())


def test_a_client_stays_connected(pty, daemon, change):
    a = pty("a")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        d = begin(daemon, serial("a", a, framing="line") + section(
            "tcp-client", "out", connect="127.0.0.1:%d" % listening.getsockname()[1],
            framing="line", on_open=r"hi\n"))
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(20)
            assert peer.recv(100) == b"hi\n"
            for key, value in (("on_open", r"hello\n"), ("on_close", r"bye\n"),
                               ("keepalive", "no"), ("keepalive", "20s"),
                               ("connect_timeout", "3s")):
                change(d, "out", key, value)
            a.send(b"line\n")
            assert peer.recv(100) == b"line\n"
            assert d.number("out/opens") == 1
            d.control("reopen out")
            assert peer.recv(100) == b"bye\n"
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(20)
            assert peer.recv(100) == b"hello\n"


def test_the_speed_of_a_line_is_changed(pty, daemon, change):
    a, b = pty("a"), pty("b")
    d = begin(daemon, serial("a", a, framing="line", baud=9600) + serial("b", b, framing="line"))
    d.settle()
    b.send(b"one\n")
    expect(a, b"one\n", [b])
    change(d, "a", "baud", "57600")
    assert a.speed() == (57600, 57600)
    change(d, "a", "on_open", r"hi\n")
    assert d.number("a/opens") == 1 and d.number("a/tx_frames") == 1
    assert "57600" in d.get("a/address")
    d.control("reopen a")
    expect(a, b"hi\n")
    wait_for(lambda: a.speed() == (57600, 57600))


def datagram(sock):
    return sock.recv(4096)


def test_partners_are_changed(pty, daemon, change):
    a, port = pty("a"), free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as one, \
            socket.socket(type=socket.SOCK_DGRAM) as two, \
            socket.socket(type=socket.SOCK_DGRAM) as sender:
        for s in (one, two, sender):
            s.bind(("127.0.0.1", 0))
            s.settimeout(20)
        first, second = ("127.0.0.1:%d" % s.getsockname()[1] for s in (one, two))
        d = begin(daemon, serial("a", a, framing="line") + section(
            "udp", "net", listen=f"127.0.0.1:{port}", send_to=first, framing="line"))
        sender.sendto(b"sender\n", ("127.0.0.1", port))
        expect(a, b"sender\n")
        change(d, "net", "send_to", f"{first} {second}")
        a.send(b"three\n")
        for s in (one, two, sender):
            assert datagram(s) == b"three\n"
        change(d, "net", "send_to", second)
        assert len(d.json("peers")) == 2
        a.send(b"two\n")
        assert datagram(two) == datagram(sender) == b"two\n"
        # A sender becomes a partner, and is not sent each frame twice.
        change(d, "net", "send_to", f"{first} 127.0.0.1:{sender.getsockname()[1]}")
        a.send(b"last\n")
        assert datagram(one) == datagram(sender) == b"last\n"
        assert len(d.json("peers")) == 2 and d.number("net/opens") == 1
        assert d.get("net/address").endswith(f"{first} and 1 more")


@pytest.mark.parametrize("key, value", [("listen", "127.0.0.1:1"), ("protocol", "raw")])
def test_a_key_that_needs_a_new_socket_cannot_be_set(server, key, value):
    d, a, client, _ = server
    if d.get("lan/type") == "unix-server" and key == "protocol":
        pytest.skip("a unix-server has no such key")
    with pytest.raises(ControlError, match="change the file and reload"):
        d.control(f"set lan/{key} {value}")
    stays(d, a, client)


@pytest.mark.parametrize("key, value, why", [
    ("allow", "here", "'allow': "), ("max_clients", "0", "'0'"),
    ("greeting", r"\q", r"'\q"), ("keepalive", "1s", "2s to 12h")])
def test_a_wrong_value_is_not_set(pty, daemon, key, value, why):
    d = daemon(serial("a", pty("a")) + tcp_server(
        "lan", free_port(), greeting="hi", allow="192.0.2.0/24"))
    before = d.get(f"lan/{key}")
    with pytest.raises(ControlError) as e:
        d.control(f"set lan/{key} {value}")
    assert why in str(e.value)
    assert d.get(f"lan/{key}") == before


def test_an_endpoint_that_is_down_keeps_its_reason(pty, daemon, directory, change):
    d = begin(daemon, serial("a", directory / "none", baud=9600) +
              serial("b", pty("b")), settled=False)
    wait_for(lambda: d.get("a/state") == "lost")
    why = d.get("a/error")
    change(d, "a", "baud", "19200")
    assert why and d.get("a/error") == why


def test_it_stays_connected_when_the_daemon_starts_again_with_another_key(
        server, connect):
    d, a, client, where = server
    d.write(d.sections.replace("max_clients = 2", "max_clients = 1\ngreeting = x"))
    restart(d, [client])
    client.send(b"two\n")
    expect(a, b"two\n", [client])
    second = connect(where)
    pump([second], lambda: second.eof)
    assert d.number("lan/opens") == 1 and not second.received


def test_a_value_that_cannot_be_applied_opens_it_again(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) + serial("b", b))
    d.settle()
    # A pseudo-terminal has no such line; that is only tolerated when it is opened.
    d.reload(serial("a", a, rts="on") + serial("b", b))
    d.wait_number("a/opens", 2)
    d.wait_state("a", "up")
    assert "a: its section has changed: opened again ('rts': cannot set RTS" in d.stderr()
    assert d.get("a/rts") == "on" and d.number("b/opens") == 1


def test_a_port_is_opened_again_with_a_setting_that_it_cannot_have(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a) + serial("b", b))
    d.settle()
    d.reload(serial("a", a, flow="dtrdsr") + serial("b", b))
    d.wait_state("a", "lost")
    assert "Linux has no DTR/DSR flow control" in d.get("a/error")
    d.reload(serial("a", a, flow="none") + serial("b", b))
    d.wait_state("a", "up")


def test_roles_are_changed_together(pty, daemon, connect):
    a, port = pty("a"), free_port()
    conf = serial("a", a, framing="line") + tcp_server("lan", port, framing="line")
    d = daemon(conf + "writer = last\nrole = write\n")
    client = connect(port)
    client.send(b"one\n")
    expect(a, b"one\n", [client])
    d.reload(conf + "role = read\n")
    assert d.get("lan/role") == "read" and d.get("lan/writer") == "any"
    client.send(b"two\n")
    d.wait_number("lan/refused_bytes", 4)
    d.reload(conf)
    assert d.get("lan/role") == "all"
    client.send(b"three\n")
    expect(a, b"three\n", [client])
    assert d.number("lan/opens") == 1


def test_a_new_frame_timeout_is_for_frames_that_are_begun(pty, daemon, connect):
    port = free_port()
    conf = serial("a", pty("a"), framing="line")
    d = daemon(conf + tcp_server("lan", port, framing="line", frame_timeout="1h"))
    client = connect(port)
    client.send(b"never end")
    d.wait_number("lan/rx_held", 9)
    d.reload(conf + tcp_server("lan", port, framing="line", frame_timeout="50ms"))
    wait_for(lambda: d.bad("lan", "timeout") == 1)
    assert not client.eof
