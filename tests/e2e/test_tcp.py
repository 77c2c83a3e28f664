"""Clients that come over the network: many, slow, stuck, half-closed, too many."""
import os
import resource
import socket
import time

import pytest

from harness import (Client, expect, fill, flush,
                     free_port, pump, route, run, same, section, serial,
                     tcp_server, wait_for)

MB = 1024 * 1024


def numbered(n, size):
    return [(b"%07d " % i).ljust(size - 1, b"x") for i in range(n)]


def joined(lines):
    return b"".join(line + b"\n" for line in lines)


def joined_by(d, n):
    wait_for(lambda: len(d.json("peers")) == n, what=f"{n} peers")


def busy(d, seconds=0.5):
    """Processor time that it takes while nothing happens."""
    before, start = d.cpu(), time.monotonic()
    pump([], lambda: time.monotonic() - start > seconds)
    return d.cpu() - before


# --- fan-out -----------------------------------------------------------------

def test_seven_of_eight_clients_get_every_line_while_one_never_reads(
        pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", stall_timeout="300ms"))
    clients = [connect(port, receive_buffer=65536 if i else 2048)
               for i in range(8)]
    joined_by(d, 8)
    stuck, others = clients[0], clients[1:]
    stuck.reading = False
    before = d.rss()
    lines = joined(numbered(160000, 100))
    a.send(lines)
    pump([a, *others], lambda: all(len(c.received) >= len(lines)
                                   for c in others), timeout=90)
    for c in others:
        same(c.take(), lines)
    assert d.rss() - before < 8 * MB
    assert d.dropped("lan") > 0
    assert d.dropped("lan") == d.dropped("lan", "stalled")
    # Whatever the stuck one reads now is whole lines, in order.
    stuck.reading = True
    pump([stuck], lambda: d.queued("lan") == 0)
    fill([stuck], quiet=0.1)
    got = stuck.take().split(b"\n")
    assert got.pop() == b""
    numbers = [int(line[:7]) for line in got]
    assert numbers == sorted(set(numbers))
    assert len(got) + d.dropped("lan") == 160000
    a.send(b"again\n")
    for c in clients:
        expect(c, b"again\n", [a])


def test_a_slow_client_loses_nothing_and_the_others_wait_for_it(
        pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", stall_timeout="2s"))
    slow, quick = connect(port, receive_buffer=2048), connect(port)
    joined_by(d, 2)
    lines = joined(numbered(60000, 100))
    a.send(lines)
    while len(slow.received) < len(lines):
        slow.reading = False
        fill([a, quick], quiet=0.1)
        slow.reading = True
        had = len(slow.received)
        pump([a, slow, quick], lambda: len(slow.received) >= had + 2000000 or
             len(slow.received) >= len(lines))
    pump([quick], lambda: len(quick.received) >= len(lines))
    same(slow.take(), lines)
    same(quick.take(), lines)
    assert d.dropped("lan") == 0


def test_lines_of_several_clients_reach_the_device_whole(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    clients = [connect(port) for _ in range(5)]
    joined_by(d, 5)
    for i, c in enumerate(clients):
        c.send(b"".join(b"%d-%05d\n" % (i, j) for j in range(3000)))
    pump([a, *clients], lambda: len(a.lines()) >= 15000)
    for i in range(5):
        assert [line for line in a.lines() if line.startswith(b"%d-" % i)] == \
            [b"%d-%05d" % (i, j) for j in range(3000)]


def test_a_frame_never_goes_back_to_its_own_peer(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    one, two = connect(port), connect(port)
    joined_by(d, 2)
    one.send(b"from one\n")
    expect(a, b"from one\n", [one])
    a.send(b"from a\n")
    expect(one, b"from a\n", [a])
    expect(two, b"from a\n", [a])       # and nothing before it


def test_peers_hear_each_other_where_a_route_says_so(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line") +
               route("chat", from_="lan", to="lan a") +
               route("out", from_="a", to="lan"))
    one, two = connect(port), connect(port)
    joined_by(d, 2)
    one.send(b"from one\n")
    expect(two, b"from one\n", [one])
    expect(a, b"from one\n", [one])
    two.send(b"from two\n")
    expect(one, b"from two\n", [two])   # and not its own line before it


def test_a_client_that_resets_disturbs_nobody(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    stays = connect(port)
    opens = d.opens("a", "lan")
    for i in range(50):
        goes = Client(("127.0.0.1", port))
        goes.send(b"half")
        flush([goes])
        goes.reset()
        a.send(b"line %d\n" % i)
        expect(stays, b"line %d\n" % i, [a])
    joined_by(d, 1)
    assert d.opens("a", "lan") == opens


def test_a_hundred_clients_that_come_and_go_leave_no_descriptor(
        pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a) + tcp_server("lan", port))
    before = d.descriptors()
    for _ in range(100):
        Client(("127.0.0.1", port)).close()
    wait_for(lambda: d.json("peers") == [] and
             len(d.descriptors()) == len(before))


@pytest.mark.parametrize("how", ["close", "reset", "cancel", "reload"])
def test_a_client_that_held_the_bus_and_goes_lets_it_go_on(
        how, pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    devices = serial("a", a, framing="line") + serial("b", b, framing="line")
    d = daemon(devices + tcp_server("lan", port, framing="line", queue="4K",
                                    stall_timeout="none"))
    stuck = connect(port, receive_buffer=2048)
    stuck.reading = False
    joined_by(d, 1)
    lines = joined(numbered(100000, 100))
    a.send(lines)
    fill([a, b])
    assert a.outgoing
    if how == "close":
        stuck.close()
    elif how == "reset":
        stuck.reset()
    elif how == "cancel":
        d.control("cancel lan#1.write")
    else:
        d.reload(devices)
    expect(b, lines, [a])


# --- ends of a connection ----------------------------------------------------

def test_a_half_closed_client_gets_what_it_is_owed(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", stall_timeout="none"))
    client = connect(port, receive_buffer=2048)
    client.reading = False
    joined_by(d, 1)
    lines = joined(numbered(150000, 100))
    a.send(lines)
    pump([a], lambda: d.queued("lan") > 0, timeout=60)
    fill([a])
    a.outgoing.clear()
    client.send(b"last words\n")
    flush([client])
    client.end()
    expect(a, b"last words\n")
    spent = busy(d)
    assert spent < 0.15, f"{spent} s of processor for 0.5 s of waiting"
    owed = d.number("a/rx_frames") * 100
    client.reading = True
    pump([client], lambda: client.eof, timeout=60)
    got = client.take()
    assert len(got) >= owed
    same(got, lines[:len(got)])
    joined_by(d, 0)


def test_a_frame_that_only_silence_ends_arrives_before_a_clients_end(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="idle", idle="100ms"))
    client = connect(port)
    joined_by(d, 1)
    client.send(b"last words")
    flush([client])
    client.end()
    expect(a, b"last words\n")
    pump([client], lambda: client.eof)
    assert d.bad("lan", "malformed") == 0


def test_netcat_that_ends_at_once_still_delivers_its_lines(pty, daemon):
    a, port = pty("a"), free_port()
    daemon(serial("a", a, framing="line") +
           tcp_server("lan", port, framing="line"))
    for i in range(20):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"line %d\n" % i * 50)
        expect(a, b"line %d\n" % i * 50)


def test_a_client_that_ends_gets_the_echo_of_its_lines(daemon, connect):
    port = free_port()
    daemon(tcp_server("lan", port, framing="line") +
           section("echo", "mirror", framing="line"))
    client = connect(port)
    lines = joined(numbered(2000, 50))
    client.send(lines)
    flush([client])
    client.end()
    pump([client], lambda: client.eof)
    same(client.take(), lines)


def test_frames_of_a_peer_that_went_are_counted_not_kept(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line"))
    a.send(b"to nobody\n")
    flush([a])
    d.wait_number("a/rx_frames", 1)
    wait_for(lambda: d.dropped("lan") == 1)
    client = connect(port)
    joined_by(d, 1)
    a.send(b"to you\n")
    expect(client, b"to you\n", [a])
    d.balance("a", "lan")


# --- too many ----------------------------------------------------------------

def test_one_client_more_than_max_clients_is_closed(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", max_clients=2))
    one, two = connect(port), connect(port)
    joined_by(d, 2)
    for _ in range(5):
        more = connect(port)
        pump([more], lambda: more.eof)
        assert more.take() == b""
    assert d.number("lan/refused") == 5
    assert "refused: max_clients = 2 are connected already" in d.stderr()
    a.send(b"for two\n")
    expect(one, b"for two\n", [a])
    expect(two, b"for two\n", [a])
    one.close()
    joined_by(d, 1)
    three = connect(port)
    joined_by(d, 2)
    a.send(b"for two again\n")
    expect(two, b"for two again\n", [a])
    expect(three, b"for two again\n", [a])


def test_one_that_had_ended_makes_room_for_one_when_it_goes(daemon, connect):
    port = free_port()
    d = daemon(tcp_server("lan", port, max_clients=2))
    for _ in range(3):
        ended = connect(port)
        joined_by(d, 1)
        ended.end()
        pump([ended], lambda: ended.eof)
        joined_by(d, 0)
    clients = [connect(port), connect(port)]
    joined_by(d, 2)
    third = connect(port)
    pump([third], lambda: third.eof)
    assert d.number("lan/refused") == 1
    clients[0].close()
    joined_by(d, 1)
    connect(port)
    joined_by(d, 2)


def test_one_that_has_ended_and_is_owed_data_keeps_nobody_out(pty, daemon, connect):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               tcp_server("lan", port, framing="line", max_clients=1,
                          stall_timeout="none"))
    owed = connect(port, receive_buffer=2048)
    joined_by(d, 1)
    owed.reading = False
    while d.queued("lan") == 0:
        if not a.outgoing:
            a.send(b"x" * 999 + b"\n")
        flush([a])
    owed.end()
    wait_for(lambda: "sends no more" in d.tasks()["lan#1.read"]["label"])
    second = connect(port)
    joined_by(d, 2)
    assert d.number("lan/refused") == 0
    second.send(b"I am in\n")
    expect(a, b"I am in\n", [second])


def test_clients_that_come_again_at_once_find_their_place_free(pty, daemon, connect):
    """Although each of the earlier connections might be half closed, and await an answer."""
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line", open="demand") +
               tcp_server("lan", port, framing="line", max_clients=1), settled=False)
    for i in range(10):
        client = connect(port)
        client.send(b"question %d\n" % i)
        expect(a, b"question %d\n" % i, [client])
        a.send(b"answer %d\n" % i)
        pump([a, client], lambda: client.received.endswith(b"answer %d\n" % i))
        client.close()
    # Nor do those whose end has not been read yet, as the port is about to be opened.
    for _ in range(10):
        connect(port).close()
    last = connect(port)
    last.send(b"the last\n")
    expect(a, b"the last\n", [last])
    assert d.number("lan/refused") == 0


def test_without_descriptors_the_daemon_does_not_spin(pty, daemon, connect):
    a, b, port = pty("a"), pty("b"), free_port()
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line") +
               tcp_server("lan", port, framing="line"))
    session = d.session()
    session.ask("version")
    full = max(d.descriptors()) + 1
    old = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (full, old[1]))
    waiting = [connect(port) for _ in range(30)]
    # It works on meanwhile, and takes little time for a second of that.
    before, start = d.cpu(), time.monotonic()
    i = 0
    while time.monotonic() - start < 1:
        i += 1
        a.send(b"line %d\n" % i)
        expect(b, b"line %d\n" % i, [a])
        pump([], lambda: time.monotonic() - start > i * 0.1)
    assert d.cpu() - before < 0.3
    assert session.ask("version")
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, old)
    for c in waiting:
        c.close()
    late = wait_for(lambda: joined_late(d, connect, port))
    a.send(b"welcome\n")
    pump([a, late], lambda: late.received.endswith(b"welcome\n"))
    session.close()


def joined_late(d, connect, port):
    client = connect(port)
    name = "%s:%d" % client.sock.getsockname()

    def known():
        pump([client], lambda: True)
        client.turn(1)
        return client.eof or any(name in str(row) for row in d.json("peers"))
    wait_for(known)
    return None if client.eof else client


# --- who may come ------------------------------------------------------------

def own_address():
    """An address of this machine that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


def test_a_stranger_is_turned_away_unless_allowed(pty, daemon, directory):
    address = own_address()
    if address is None or address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    port, open_port = free_port(), free_port()
    a = pty("a")
    d = daemon(serial("a", a) +
               section("tcp-server", "closed", listen=f"*:{port}",
                       allow="198.51.100.0/24") +
               section("tcp-server", "open", listen=f"*:{open_port}",
                       allow=f"198.51.100.0/24 {address}/32"))
    stranger = Client((address, port))
    pump([stranger], lambda: stranger.eof)
    stranger.close()
    friend, local = Client((address, open_port)), Client(("127.0.0.1", port))
    joined_by(d, 2)
    a.send(b"hello")
    expect(friend, b"hello", [a])
    expect(local, b"hello", [a])
    friend.close()
    local.close()


def test_listening_beyond_loopback_without_allow_is_a_fault(directory):
    conf = directory / "open.conf"
    conf.write_text(section("serial", "a", device="/dev/null") +
                    section("tcp-server", "lan", listen="0.0.0.0:5011"))
    done = run("-c", conf, "--check")
    assert done.returncode == 2
    assert f"{conf}:4: " in done.stderr + done.stdout
    assert "allow" in done.stderr + done.stdout


# --- the daemon as a client --------------------------------------------------

def test_a_tcp_client_endpoint_connects_again_by_itself(pty, daemon):
    a = pty("a")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        d = daemon(serial("a", a, framing="line") +
                   section("tcp-client", "out", connect=f"127.0.0.1:{port}",
                           framing="line", reopen_min="20ms",
                           reopen_max="100ms"), settled=False)
        wait_for(lambda: d.state("out") in ("lost", "opening"))
        a.send(b"held\n")
        d.wait_number("out/queued_frames", 1)
        server.listen()
        server.settimeout(10)
        peer, _ = server.accept()
        peer.settimeout(10)
        assert peer.recv(100) == b"held\n"
        peer.sendall(b"back\n")
        expect(a, b"back\n")
        peer.close()
        peer, _ = server.accept()
        peer.settimeout(10)
        d.wait_state("out", "up")
        a.send(b"second\n")
        flush([a])
        assert peer.recv(100) == b"second\n"
        peer.close()


def test_an_endpoint_whose_port_is_taken_says_so_and_takes_it_later(
        pty, daemon, connect):
    a = pty("a")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        d = daemon(serial("a", a) +
                   tcp_server("lan", port, reopen_min="50ms",
                              reopen_max="100ms"), settled=False)
        d.wait_state("a", "up")
        d.wait_state("lan", "lost")
        assert "in use" in d.stderr()
    d.wait_state("lan", "up")
    client = connect(port)
    joined_by(d, 1)
    a.send(b"hello")
    expect(client, b"hello", [a])


def test_a_unix_server_serves_and_leaves_no_socket_behind(
        pty, daemon, connect, directory):
    a, path = pty("a"), directory / "lan.sock"
    d = daemon(serial("a", a, framing="line") +
               section("unix-server", "local", listen=path, framing="line",
                       mode="0600"))
    assert os.stat(path).st_mode & 0o777 == 0o600
    client = connect(path)
    joined_by(d, 1)
    client.send(b"in\n")
    expect(a, b"in\n", [client])
    a.send(b"out\n")
    expect(client, b"out\n", [a])
    d.stop()
    assert not path.exists()


def test_datagrams_go_in_and_out_as_frames(pty, daemon):
    a, port = pty("a"), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(10)
        daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"127.0.0.1:{port}",
                       send_to="127.0.0.1:%d" % peer.getsockname()[1]))
        peer.sendto(b"one", ("127.0.0.1", port))
        peer.sendto(b"two", ("127.0.0.1", port))
        expect(a, b"one\ntwo\n")
        a.send(b"three\n")
        flush([a])
        assert peer.recv(100) == b"three"


def test_a_datagram_that_is_too_long_is_counted(pty, daemon):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"127.0.0.1:{port}"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for n in (4096, 4097, 1):
            peer.sendto(b"x" * n, ("127.0.0.1", port))
        expect(a, b"x" * 4096 + b"\nx\n")
        d.wait_number("air/refused", 1)


def test_each_frame_is_a_datagram_to_every_peer(pty, daemon):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line") +
               section("udp", "air", listen=f"127.0.0.1:{port}"))
    peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
             for _ in range(2)]
    try:
        for peer in peers:
            peer.settimeout(10)
            peer.sendto(b"hello", ("127.0.0.1", port))
        expect(a, b"hello\nhello\n")
        joined_by(d, 2)
        lines = [b"line %d" % i for i in range(50)]
        a.send(joined(lines))
        flush([a])
        for peer in peers:
            assert [peer.recv(100) for _ in lines] == lines
    finally:
        for peer in peers:
            peer.close()
