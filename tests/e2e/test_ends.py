"""What the end of a connection, of a section or of a setting must not take with it."""
import contextlib
import signal
import socket
import threading

import pytest

from harness import (ControlError, Client, expect, fill, flush, free_port, move,
                     pump, route, same, section, serial, tcp_server, wait_for)


def numbered(count, size=20):
    return [(b"%08d" % i).ljust(size - 1, b".") + b"\n" for i in range(count)]


@pytest.mark.parametrize("chatter", [False, True],
                         ids=["silent device", "device that speaks"])
def test_what_a_client_sent_before_it_closed_arrives(pty, daemon, chatter):
    a, port = pty("a"), free_port()
    d = daemon(serial("a", a, framing="line", queue="2K") +
               tcp_server("lan", port, framing="line"))
    client = Client(("127.0.0.1", port))
    wait_for(lambda: d.number("lan/peers") == 1)
    a.reading = False
    lines = b"".join(numbered(5000))
    client.send(lines)
    flush([client, a])
    client.close()
    if chatter:
        # Answers to one that has left: its connection is reset.
        for _ in range(5):
            a.send(b"an answer\n")
            flush([a])
            d.get("lan/state")
    a.reading = True
    expect(a, lines)


def test_a_connection_that_is_reset_while_all_is_full_holds_nobody_back(pty, daemon):
    s, t, port = pty("s"), pty("t"), free_port()
    d = daemon(serial("s", s, framing="line") +
               serial("t", t, framing="line", queue="2K") +
               tcp_server("lan", port, framing="line", queue="2K", stall_timeout="1h") +
               route("down", from_="s", to="lan") + route("up", from_="lan", to="t"))
    client = Client(("127.0.0.1", port), receive_buffer=4096)
    wait_for(lambda: d.number("lan/peers") == 1)
    t.reading = client.reading = False
    lines = b"".join(numbered(300000))
    client.send(lines)
    s.send(lines)
    fill([s, client])
    assert s.outgoing and client.outgoing
    held_at = d.number("s/rx_bytes")
    client.reset()
    pump([s], lambda: d.number("s/rx_bytes") > held_at + 100000,
         what="the device to be read on")
    t.reading = True
    pump([s, t], lambda: d.number("lan/peers") == 0, what="the connection to go")


def test_a_changed_section_of_a_held_back_source_loses_nothing(pty, daemon):
    a, b = pty("a"), pty("b")

    def conf(label):
        return (serial("a", a, framing="line", label=label) +
                serial("b", b, framing="line", queue="4K"))

    d = daemon(conf("one"))
    b.reading = False
    lines = numbered(3000)
    a.send(b"".join(lines))
    fill([a])
    assert a.outgoing
    before = d.number("a/rx_bytes")
    d.reload(conf("two"))
    assert d.bad("a", "malformed") <= 1
    assert d.number("a/bad_malformed_bytes") < 20
    assert before <= d.number("a/rx_bytes")
    d.balance("a", "b")


def test_a_held_back_frame_does_not_grow_too_old(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line", frame_timeout="50ms") +
               serial("b", b, framing="line", queue="2K"))
    b.reading = False
    lines = b"".join(numbered(3000, 33))
    a.send(lines)
    fill([a], quiet=0.4)
    assert a.outgoing
    b.reading = True
    expect(b, lines, [a])
    assert d.bad("a", "timeout") == 0


@pytest.mark.parametrize("why", ["down", "drop-oldest"])
def test_a_frame_that_can_never_fit_drops_no_others(pty, daemon, why):
    a, b = pty("a"), pty("b")
    policy = {"overflow": why} if why != "down" else {}
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="1000", **policy))
    if why == "down":
        b.unplug()
        d.wait_state("b", "lost")
    else:
        b.reading = False
        a.send(b"y" * 200 + b"\n")
        while d.number("b/queued_frames") == 0:
            a.send((b"y" * 200 + b"\n") * 20)
            flush([a])
    held = d.number("b/queued_frames")
    if why == "down":
        a.send(b"".join(numbered(20)))
        flush([a])
        d.wait_number("b/queued_frames", 20)
        held = 20
    a.send(b"x" * 2000 + b"\n")
    flush([a])
    wait_for(lambda: d.dropped("b") >= 1)
    assert d.number("b/queued_frames") >= held


def test_a_refused_change_leaves_no_trace(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    for command in ("set a/usb 1234:5678", "set a/device /dev/zz",
                    "set a/reopen_min 1h"):
        with pytest.raises(ControlError):
            d.control(command)
    d.control("set a/baud 115200")
    d.control("reopen a")
    d.wait_state("a", "up")
    a.send(b"still here\n")
    expect(b, b"still here\n", [a])


def test_a_paused_source_with_a_backlog_is_not_read_on(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="2K"))
    b.reading = False
    lines = b"".join(numbered(3000))
    a.send(lines)
    fill([a])
    d.control("pause a")
    frames = d.number("a/rx_frames")
    b.reading = True
    pump([b], lambda: d.queued("b") == 0)
    assert d.number("a/rx_frames") == frames
    d.control("resume a")
    expect(b, lines, [a])


def test_a_frame_sent_to_a_full_queue_that_is_down_is_accepted(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") +
               serial("b", b, framing="line", queue="100"))
    b.unplug()
    d.wait_state("b", "lost")
    for i in range(10):
        d.control(f"send b number{i:014d}")
    assert d.number("b/queued_frames") == 5
    with pytest.raises(ControlError):
        d.control("send b " + "x" * 200)
    b.plug()
    expect(b, b"".join(b"number%014d\n" % i for i in range(5, 10)))


# --- the end of the daemon ----------------------------------------------------

@pytest.mark.parametrize("kind", ["tcp-server", "tcp-client", "unix-server"])
def test_a_stop_resets_no_connection_that_is_sending(daemon, directory, connect, kind):
    port = free_port()
    listener = socket.socket()
    if kind == "tcp-client":
        listener.bind(("127.0.0.1", port))
        listener.listen()
        server = section(kind, "lan", connect=f"127.0.0.1:{port}", framing="line")
    elif kind == "tcp-server":
        server = tcp_server("lan", port, framing="line")
    else:
        server = section(kind, "lan", listen=directory / "lan", framing="line")
    d = daemon(section("unix-server", "a", listen=directory / "a", framing="line") + server +
               route("r", from_="a", to="lan"))
    if kind == "tcp-client":
        listener.settimeout(20)
        client, _ = listener.accept()
    else:
        client = connect(port if kind == "tcp-server" else directory / "lan").sock
    listener.close()
    a = connect(directory / "a")
    # Less than the buffers of the kernel: nothing is queued.
    lines = b"".join(numbered(1000, 100))
    a.send(lines)
    flush([a])
    d.wait_number("lan/tx_frames", 1000)
    # All that its connection takes, and more as soon as there is room.
    d.signal(signal.SIGSTOP)
    d.signal(signal.SIGTERM)
    with contextlib.suppress(BlockingIOError):
        client.setblocking(False)
        while True:
            client.send(b"a line of mine\n" * 1000)
    client.setblocking(True)
    client.settimeout(20)

    def send_until_it_is_refused():
        with contextlib.suppress(ConnectionError):
            while True:
                client.sendall(b"a line of mine\n")
    sender = threading.Thread(target=send_until_it_is_refused)
    sender.start()
    d.signal(signal.SIGCONT)
    got = bytearray()
    while data := client.recv(1000):
        got += data
    assert got == lines
    sender.join()
    client.close()
    d.exit()


def test_a_stop_waits_for_a_client_that_reads_slowly(daemon, directory):
    port = free_port()
    d = daemon(section("daemon", "", drain_timeout="20s") +
               section("unix-server", "a", listen=directory / "a", framing="line") +
               tcp_server("lan", port, framing="line"))
    client, a = Client(("127.0.0.1", port), receive_buffer=4096), Client(directory / "a")
    try:
        wait_for(lambda: d.number("lan/peers") == 1)
        lines = b"".join(numbered(3000, 100))
        a.send(lines)
        flush([a])
        d.wait_number("lan/tx_frames", 3000)
        d.signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in d.stderr())

        def talks():
            client.send(b"and another\n")
            return client.eof
        pump([client], talks)
        same(client.take(), lines)
        assert d.exit() == 0
    finally:
        client.close()
        a.close()


def test_a_stop_waits_for_the_user_of_a_pty(daemon, directory, open_tty, connect):
    d = daemon(section("daemon", "", drain_timeout="20s") +
               section("unix-server", "a", listen=directory / "a", framing="line") +
               section("pty", "p", link=directory / "p", framing="line"), settled=False)
    user, a = open_tty(directory / "p"), connect(directory / "a")
    d.wait_state("p", "up")
    # Less than the kernel keeps for a terminal: nothing is queued.
    lines = b"".join(numbered(30, 100))
    a.send(lines)
    d.wait_number("p/tx_frames", 30)
    d.signal(signal.SIGTERM)
    # It has ended, or waits.
    wait_for(lambda: d.process.poll() is not None or "daemon.drain" in d.tasks())
    pump([user], lambda: user.eof)
    same(user.take(), lines)
    assert d.exit() == 0


@pytest.mark.parametrize("held", [True, False], ids=["held back", "free"])
def test_after_a_stop_nothing_more_is_read(daemon, directory, connect, held):
    port = free_port()
    d = daemon(section("daemon", "", drain_timeout="20s") +
               section("unix-server", "a", listen=directory / "a", framing="line") +
               tcp_server("lan", port, framing="line", queue="16K", stall_timeout="1h"))
    client, a = connect(port, receive_buffer=4096), connect(directory / "a")
    wait_for(lambda: d.number("lan/peers") == 1)
    if held:
        while d.tasks()["a#1.read"]["state"] != "paused":
            if not a.outgoing:
                a.send(b"".join(numbered(1000, 100)))
            move([a])
    d.signal(signal.SIGSTOP)
    d.signal(signal.SIGTERM)
    if not held:
        a.send(b"".join(numbered(100, 100)))
    sent = a.written
    d.signal(signal.SIGCONT)
    wait_for(lambda: "stopping" in d.stderr())
    # It drains, and all the time there is room for more.
    pump([client, a], lambda: client.eof)
    assert a.written == sent
    assert client.take().count(b"\n") == 0 or held
    assert d.exit() == 0
