"""
RFC 2217: what is told when, commands and data that wait for each other, and what is handed
over to the next process.
"""
import select
import signal
import time

from harness import expect, pump, serial, wait_for
from test_rfc2217 import (AGREED, BAUD, COM_PORT, CONTROL, IAC, MODEM_MASK, MODEM_STATE,
                          OFFERS, PURGE, RESUME, RI, SB, SIGNATURE, SUSPEND, WILL, answer,
                          baud, command, restart, server, speed)  # noqa: F401
from uart import DTR


def test_a_client_that_may_only_read_changes_nothing(server):
    d, a, client = server(role="read")
    c = client()
    assert c.ask(BAUD, baud(57600)) == baud(9600)
    assert c.ask(CONTROL, b"\x09") == b"\x08" and d.chip.on(DTR)
    assert c.ask(CONTROL, b"\5") == b"\6" and not d.chip.breaking
    d.chip.unsent = 7
    c.ask(PURGE, b"\3")
    assert d.chip.flushed == 0
    # What has no effect on others is for all.
    assert c.ask(MODEM_MASK, b"\x10") == b"\x10"


def test_a_ring_is_told_when_it_ends(server):
    d, a, client = server()
    c, all_of_it = client(), client()
    # The end alone: the beginning changes nothing for this client.
    assert c.ask(MODEM_MASK, b"\x04") == b"\x04"
    d.chip.modem |= RI
    assert all_of_it.until(MODEM_STATE) == b"\x40"
    d.chip.modem &= ~RI
    assert all_of_it.until(MODEM_STATE) == b"\x04"
    assert c.until(MODEM_STATE) == b"\x04"


def test_modem_lines_are_not_polled_without_clients(server):
    d, a, client = server()
    c, other = client(), client()
    c.stream.close()
    d.wait_number("net/peers", 1)
    assert "net.modem" in d.tasks()
    other.stream.close()
    wait_for(lambda: "net.modem" not in d.tasks())


def test_output_that_is_suspended_keeps_the_daemon_idle(server):
    d, a, client = server()
    c = client()
    c.stream.send(command(SUSPEND))
    c.ask(SIGNATURE, b"")
    a.send(b"hello")
    wait_for(lambda: d.queued("net") == 1)
    before, start = d.cpu(), time.monotonic()
    wait_for(lambda: time.monotonic() - start > 2)
    assert d.cpu() - before <= 0.1
    c.stream.send(command(RESUME))
    expect(c.stream, b"hello", [a])


def test_output_is_purged_for_the_only_client(server):
    d, a, client = server()
    c, other = client(), client()
    d.chip.unsent = 7
    assert c.ask(PURGE, b"\2") == b"\2" and d.chip.flushed == 0
    other.stream.close()
    d.wait_number("net/peers", 1)
    assert c.ask(PURGE, b"\1") == b"\1" and d.chip.flushed == 0
    assert c.ask(PURGE, b"\2") == b"\2" and d.chip.flushed == 7


def test_a_question_does_not_wait_for_data(server):
    d, a, client = server()
    c = client()
    d.chip.unsent = 1000000
    c.stream.send(b"before" + command(BAUD, baud(0)) + command(CONTROL, b"\7"))

    def answered():
        d.chip.unsent -= 1
        c.stream.turn(select.POLLIN)
        return answer(BAUD, baud(9600)) + answer(CONTROL, b"\x08") in c.stream.received
    wait_for(answered)


def test_a_client_that_comes_soon_keeps_the_line(server, connect):
    d, a, client = server()
    c = client()
    second = connect(d.port)
    expect(second, OFFERS)
    c.ask(BAUD, baud(115200))
    c.stream.send(b"last")
    expect(a, b"last", [c.stream])
    d.chip.unsent = 1000000

    def sending(done):
        d.chip.unsent -= 1
        return done()
    c.stream.close()
    wait_for(lambda: sending(lambda: "a.restore" in d.tasks()))
    second.send(AGREED)
    told = IAC + SB + COM_PORT + bytes([MODEM_STATE + 100])
    pump([second], lambda: sending(lambda: told in second.received))
    assert "a.restore" not in d.tasks()
    d.chip.unsent = 0
    second.send(command(BAUD, baud(0)))
    pump([second], lambda: answer(BAUD, baud(115200)) in second.received)
    assert speed(a) == 115200
    second.close()
    wait_for(lambda: speed(a) == 9600)


def test_a_command_that_waits_survives_a_restart(server):
    d, a, client = server()
    c = client()
    d.chip.unsent = 1000000
    c.stream.send(b"before" + command(BAUD, baud(19200)) + b"after")
    expect(a, b"before", [c.stream])

    def sending(done):
        d.chip.unsent -= 1
        return done()
    wait_for(lambda: sending(
        lambda: "sent before a command" in d.tasks()["net#1.read"]["label"]))
    d.signal(signal.SIGUSR2)
    wait_for(lambda: sending(lambda: d.stderr().count(" endpoints up") > 1))
    assert speed(a) == 9600
    d.chip.unsent = 0
    assert c.until(BAUD) == baud(19200)
    expect(a, b"after", [c.stream])


def test_a_suspended_client_is_suspended_after_a_restart(server):
    d, a, client = server()
    c = client()
    c.stream.send(command(SUSPEND))
    c.ask(SIGNATURE, b"")
    restart(d)
    a.send(b"hello")
    wait_for(lambda: d.number("a/rx_bytes") == 5)
    c.ask(SIGNATURE, b"")
    assert not c.stream.received
    c.stream.send(command(RESUME))
    expect(c.stream, b"hello", [a])


def test_a_server_that_a_restart_removes_restores_the_line(server):
    d, a, client = server()
    c = client()
    c.ask(BAUD, baud(57600))
    d.write(serial("a", a))
    restart(d)
    wait_for(lambda: speed(a) == 9600)


def test_a_client_that_reads_late_gets_all_answers(server, connect):
    d, a, client = server()
    greedy = connect(d.port)
    greedy.reading = False
    greedy.send((IAC + WILL + b"\x55") * 2000000)
    pump([greedy], lambda: "for the answers to its commands" in
         d.tasks()["net#1.read"]["label"])
    greedy.outgoing = greedy.outgoing[:len(greedy.outgoing) % 3] + b"end"
    greedy.reading = True
    expect(a, b"end", [greedy])
