"""
Serial ports that are open only while a client of their routes is connected
(open = demand).
"""
import signal

import pytest

from harness import (ControlError, expect, free_port, pump, route, section, serial,
                     tcp_server, wait_for)
from uart import DTR, Uarts


@pytest.fixture
def server(directory, pty, daemon):
    """Starts a daemon with a port a on demand and a server for it; it, the device and the
    server's port."""
    uarts = Uarts(directory / "lines")

    def start(extra="", env=uarts.env, server={}, **keys):
        a = pty("a")
        port = free_port()
        conf = (serial("a", a, **{"open": "demand", "framing": "line", **keys}) +
                tcp_server("net", port, framing="line", **server))
        d = daemon(conf + extra, settled=False, env=env)
        d.conf, d.chip = conf, uarts.line(a)
        return d, a, port
    return start


def test_it_is_open_while_a_client_is_connected(server, connect):
    d, a, port = server()
    assert d.state("a") == "idle" and not a.opened()
    assert "version" in d.stderr() and ": 1 of 2 endpoints up, 1 idle\n" in d.stderr()
    for n in range(1, 4):
        first = connect(port)
        d.wait_state("a", "up")
        second = connect(port).send(b"from second\n")
        expect(a, b"from second\n", [second])
        a.send(b"to both\n")
        expect(first, b"to both\n", [a])
        expect(second, b"to both\n", [a])
        first.close()
        d.wait_number("net/peers", 1)
        second.send(b"again\n")
        expect(a, b"again\n", [second])
        assert d.state("a") == "up"
        second.close()
        d.wait_state("a", "idle")
        wait_for(lambda: not a.opened())
        assert d.number("a/opens") == n and d.number("a/losses") == 0


def test_what_a_client_sends_at_once_waits_until_it_is_open(server, connect):
    d, a, port = server()
    c = connect(port).send(b"first\nsecond\n")
    expect(a, b"first\nsecond\n", [c])


def test_what_the_last_client_sent_is_written_before_it_is_closed(server, connect):
    d, a, port = server()
    text = b"".join(b"%07d\n" % n for n in range(20000))
    c = connect(port).send(text)
    pump([c], lambda: not c.outgoing or d.state("a") == "up")
    pump([c, a], lambda: not c.outgoing)
    c.close()
    expect(a, text)
    d.wait_state("a", "idle")


def test_it_is_not_closed_while_its_device_takes_nothing(server, connect):
    d, a, port = server(queue="1M")
    text = b"".join(b"%07d\n" % n for n in range(20000))
    c = connect(port).send(text)
    pump([c], lambda: not c.outgoing)
    c.close()
    wait_for(lambda: not d.json("peers"))
    # It has been looked at several times.
    wait_for(lambda: d.tasks().get("demand", {"runs": 0})["runs"] > 4)
    assert d.state("a") == "up"
    expect(a, text)
    d.wait_state("a", "idle")


def test_a_frame_that_is_begun_is_written_before_it_is_closed(server, connect):
    d, a, port = server(server={"max_frame": "100K"}, max_frame="100K")
    text = b"x" * 100000 + b"\n"
    c = connect(port).send(text)
    pump([c], lambda: not c.outgoing)
    c.close()
    wait_for(lambda: not d.json("peers"))
    wait_for(lambda: d.tasks().get("demand", {"runs": 0})["runs"] > 4)
    expect(a, text)
    d.wait_state("a", "idle")


def test_each_client_has_its_time(server, connect, clock):
    d, a, port = server(env=clock.env, queue="1M")
    text = b"".join(b"%07d\n" % n for n in range(20000))
    connect(port).close()
    d.wait_number("a/opens", 1)
    d.wait_state("a", "idle")
    clock.move(d, 60)
    c = connect(port).send(text)
    pump([c], lambda: not c.outgoing)
    c.close()
    wait_for(lambda: not d.json("peers"))
    expect(a, text)
    d.wait_state("a", "idle")


def test_a_program_at_a_pty_is_a_client(server, directory, open_tty):
    d, a, port = server(extra=section("pty", "p", link=directory / "p", framing="line"))
    wait_for(lambda: d.state("p") == "waiting")
    assert d.state("a") == "idle"
    tty = open_tty(directory / "p")
    d.wait_state("a", "up")
    tty.close()
    d.wait_state("a", "idle")


def test_a_client_that_may_only_write_needs_it(server, connect):
    other = free_port()
    d, a, port = server(extra=tcp_server("in", other, framing="line", role="write"))
    c = connect(other).send(b"to the line\n")
    expect(a, b"to the line\n", [c])
    c.close()
    d.wait_state("a", "idle")


def test_a_client_of_other_routes_does_not_matter(server, connect, directory):
    other = free_port()
    d, a, port = server(extra=tcp_server("other", other, framing="line") +
                        route("r", from_="a", to="net"))
    connect(other)
    d.wait_number("other/peers", 1)
    assert d.state("a") == "idle"
    # A route from the port is enough.
    connect(port)
    d.wait_state("a", "up")


def test_a_restart_does_not_close_it_while_it_is_needed(server, connect):
    d, a, port = server()
    c = connect(port)
    d.wait_state("a", "up")
    for n in range(1, 4):
        d.signal(signal.SIGUSR2)
        wait_for(lambda: d.stderr().count("endpoints up") > n)
        c.send(b"x\n")
        expect(a, b"x\n", [c])
        assert d.chip.opens == 1 and d.chip.rises == 1
    assert d.number("a/opens") == 1


def test_a_reload_opens_and_closes_it(server, connect):
    d, a, port = server()
    always = d.conf.replace("open = demand", "open = always")
    d.reload(always)
    d.wait_state("a", "up")
    d.reload(d.conf)
    d.wait_state("a", "idle")
    c = connect(port)
    d.wait_state("a", "up")
    d.reload(d.conf + route("r", between="net other") +
             tcp_server("other", free_port(), framing="line"))
    d.wait_state("a", "idle")
    d.reload(d.conf)
    d.wait_state("a", "up")
    c.send(b"y\n")
    expect(a, b"y\n", [c])


def test_while_it_is_needed_it_is_opened_again(server, connect):
    d, a, port = server()
    a.unplug()
    c = connect(port)
    d.wait_state("a", "lost")
    a.plug()
    d.wait_state("a", "up")
    a.unplug()
    d.wait_state("a", "lost")
    c.close()
    d.wait_state("a", "idle")
    assert "a.reopen" not in d.tasks()
    a.plug()
    connect(port)
    d.wait_state("a", "up")


def test_an_idle_port_is_not_opened_by_hand(server):
    d, a, port = server()
    for command in ("reopen a", "break a", "reset a uno"):
        with pytest.raises(ControlError, match="a is idle"):
            d.control(command)
    assert d.state("a") == "idle" and not a.opened()
    # What is sent by hand waits for a client, too.
    d.control("send a hello")
    assert d.queued("a") == 1
