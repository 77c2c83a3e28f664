"""
Clients that control a serial line over telnet (RFC 2217): a plain socket, and
pyserial's client.
"""
import signal
import socket
import struct
import termios

import pytest
import serial as pyserial

from harness import (expect, free_port, pump, section, serial, tcp_server,
                     wait_for)
from uart import DTR, NO_MODEM, RTS, Uarts

IAC, DONT, DO, WONT, WILL, SB, SE, BRK = (
    b"\xff", b"\xfe", b"\xfd", b"\xfc", b"\xfb", b"\xfa", b"\xf0", b"\xf3")
BINARY, ECHO, SGA, COM_PORT = b"\0", b"\1", b"\3", b"\x2c"
(SIGNATURE, BAUD, DATASIZE, PARITY, STOPSIZE, CONTROL, LINE_STATE, MODEM_STATE, SUSPEND,
 RESUME, LINE_MASK, MODEM_MASK, PURGE) = range(13)
OFFERS = (IAC + DO + COM_PORT + IAC + WILL + BINARY + IAC + DO + BINARY +
          IAC + WILL + SGA + IAC + DO + SGA + IAC + WILL + ECHO)
AGREED = (IAC + WILL + COM_PORT + IAC + DO + BINARY + IAC + WILL + BINARY +
          IAC + DO + SGA + IAC + WILL + SGA + IAC + DO + ECHO)
CTS, DSR, RI, CD = 0x020, 0x100, 0x080, 0x040


def command(number, value=b""):
    return IAC + SB + COM_PORT + bytes([number]) + value.replace(IAC, IAC + IAC) + IAC + SE


def answer(number, value=b""):
    return command(number + 100, value)


def baud(n):
    return struct.pack("!I", n)


class Telnet:
    """A client that has agreed to everything that the server offers."""

    def __init__(self, stream):
        self.stream = stream
        expect(stream, OFFERS)
        stream.send(AGREED)
        # The state of the modem lines comes first.
        self.modem = self.until(MODEM_STATE)

    def until(self, number):
        """The value of the next answer to that command; all before it is forgotten."""
        start = IAC + SB + COM_PORT + bytes([number + 100])

        def found():
            return start in self.stream.received and \
                (IAC + SE) in self.stream.received[self.stream.received.index(start):]
        pump([self.stream], found, what=f"an answer to {number}")
        received = self.stream.received
        at = received.index(start) + len(start)
        end = received.index(IAC + SE, at)
        value = bytes(received[at:end])
        del received[:end + 2]
        return value

    def ask(self, number, value=b"\0"):
        self.stream.send(command(number, value))
        return self.until(number)


@pytest.fixture
def server(directory, pty, daemon, connect):
    """Starts a daemon with a line and a server for it; it, the device, and a function
    that makes clients."""
    uarts = Uarts(directory / "lines")
    port = free_port()

    def start(lacks=0, line={}, extra="", **keys):
        a = pty("a")
        chip = uarts.line(a)
        chip.lacks = lacks
        rest = tcp_server("net", port, protocol="rfc2217", **keys) + extra
        d = daemon(serial("a", a, **line) + rest, env=uarts.env)
        d.port, d.chip, d.rest = port, chip, rest
        return d, a, lambda: Telnet(connect(port))
    return start


def speed(pty):
    """The speed of the line in baud."""
    return pty.speed()[1]


# --- the protocol -------------------------------------------------------------

def test_bytes_pass_both_ways_with_iac_doubled(server):
    d, a, client = server()
    c = client()
    everything = bytes(range(256)) * 5
    c.stream.send(everything.replace(IAC, IAC + IAC))
    expect(a, everything, [c.stream])
    a.send(everything)
    expect(c.stream, everything.replace(IAC, IAC + IAC), [a])
    # The counters are of payload.
    wait_for(lambda: d.number("net/tx_bytes") == len(everything))
    assert d.number("net/rx_bytes") == len(everything)


def test_the_server_says_what_it_is(server):
    d, a, client = server()
    text = client().ask(SIGNATURE, b"").decode()
    assert text.startswith("ttybridge ") and text.endswith(" net")


def test_what_a_client_says_it_is_does_not_fill_the_log(server):
    d, a, client = server()
    c = client()
    c.stream.send(command(SIGNATURE, b"someone") * 100)
    c.ask(SIGNATURE, b"")
    assert 1 <= d.stderr().count("net#1: is someone") <= 5


def test_settings_are_set_and_answered(server):
    d, a, client = server()
    c = client()
    assert c.ask(BAUD, baud(0)) == baud(9600)
    assert c.ask(BAUD, baud(57600)) == baud(57600)
    wait_for(lambda: speed(a) == 57600)
    assert c.ask(BAUD, baud(0)) == baud(57600)
    assert c.ask(STOPSIZE, b"\2") == b"\2"
    assert a.termios()[2] & termios.CSTOPB
    assert c.ask(CONTROL, b"\0") == b"\1"
    assert c.ask(CONTROL, b"\2") == b"\2"
    assert a.termios()[0] & termios.IXON
    assert c.ask(CONTROL, b"\x0d") == b"\x0f"
    assert c.ask(CONTROL, b"\3") == b"\3"
    assert a.termios()[2] & termios.CRTSCTS


def test_what_a_line_cannot_do_is_answered_with_what_it_does(server):
    d, a, client = server()
    c = client()
    assert c.ask(DATASIZE, b"\x09") == b"\x08"
    assert c.ask(PARITY, b"\x06") == b"\1"
    # A pseudo-terminal has 8 bits and no parity.
    assert c.ask(DATASIZE, b"\7") == b"\x08"
    assert c.ask(PARITY, b"\3") == b"\1"
    assert c.ask(STOPSIZE, b"\3") == b"\1"
    assert c.ask(CONTROL, b"\x13") == b"\1"
    wait_for(lambda: "cannot set data bits" in d.stderr())


def test_signals_and_break(server):
    d, a, client = server()
    c = client()
    assert c.ask(CONTROL, b"\7") == b"\x08"
    assert c.ask(CONTROL, b"\x09") == b"\x09" and not d.chip.on(DTR)
    assert c.ask(CONTROL, b"\x0c") == b"\x0c" and not d.chip.on(RTS)
    assert c.ask(CONTROL, b"\x08") == b"\x08" and d.chip.on(DTR)
    assert c.ask(CONTROL, b"\4") == b"\6"
    assert c.ask(CONTROL, b"\5") == b"\5" and d.chip.breaking
    assert c.ask(CONTROL, b"\4") == b"\5"
    assert c.ask(CONTROL, b"\6") == b"\6" and not d.chip.breaking


def test_parts_can_be_denied(server):
    d, a, client = server(rfc2217_deny="baud dtr break purge")
    c = client()
    assert c.ask(BAUD, baud(57600)) == baud(9600)
    assert c.ask(CONTROL, b"\x09") == b"\x08" and d.chip.on(DTR)
    assert c.ask(CONTROL, b"\5") == b"\6"
    d.chip.unsent = 7
    assert c.ask(PURGE, b"\3") == b"\3"
    assert d.chip.flushed == 0
    assert c.ask(PURGE, b"\4") == b"\0"
    assert c.ask(CONTROL, b"\x0c") == b"\x0c" and not d.chip.on(RTS)


def test_modem_lines_are_told(server):
    d, a, client = server()
    c = client()
    assert "net.modem" in d.tasks()
    d.chip.modem |= CTS | CD
    assert c.until(MODEM_STATE) == b"\x99"
    d.chip.modem &= ~CD
    assert c.until(MODEM_STATE) == b"\x18"
    assert c.ask(MODEM_MASK, b"\x20") == b"\x20"
    d.chip.modem &= ~CTS
    d.chip.modem |= DSR
    assert c.until(MODEM_STATE) == b"\x20"
    assert c.ask(MODEM_MASK, b"\0") == b"\0"
    wait_for(lambda: "net.modem" not in d.tasks())


def test_line_errors_are_told(server):
    d, a, client = server()
    c = client()
    d.chip.frame += 1
    assert c.ask(LINE_MASK, b"\xff") == b"\x1e"
    d.chip.parity += 1
    d.chip.brk += 1
    state = b"\0"
    while state != b"\x14":
        state = bytes([state[0] | c.until(LINE_STATE)[0]])


def test_a_suspended_client_gets_nothing_until_it_resumes(server):
    d, a, client = server()
    c = client()
    c.stream.send(command(SUSPEND))
    c.ask(SIGNATURE, b"")
    a.send(b"hello")
    wait_for(lambda: d.number("a/rx_bytes") == 5)
    c.ask(SIGNATURE, b"")
    assert not c.stream.received
    c.stream.send(command(RESUME))
    expect(c.stream, b"hello", [a])


def test_a_purge_leaves_the_input_of_others(server):
    d, a, client = server()
    c, other = client(), client()
    # Both are there before the daemon looks, the command first.
    d.signal(signal.SIGSTOP)
    c.stream.send(command(PURGE, b"\1"))
    a.send(b"hello")
    d.signal(signal.SIGCONT)
    assert c.until(PURGE) == b"\1"
    expect(other.stream, b"hello", [a])


def test_a_client_that_sends_is_not_replaced(server):
    d, a, client = server(max_clients=2, takeover="yes")
    first, second = client(), client()
    first.stream.send(b"hello")
    expect(a, b"hello", [first.stream])
    third = client()
    pump([second.stream], lambda: second.stream.eof)
    assert [p["name"] for p in d.json("peers") if p["name"] != "a"] == ["net#1", "net#3"]
    third.stream.send(b"x")
    expect(a, b"x", [third.stream])


# --- the place of commands ----------------------------------------------------

def test_a_command_waits_for_the_data_before_it(server):
    d, a, client = server()
    c = client()
    d.chip.unsent = 1000000

    def sending():
        # The driver sends slowly.
        d.chip.unsent -= 1
        return d.number("a/tx_bytes") == 6
    c.stream.send(b"before" + command(BAUD, baud(19200)) + b"after")
    wait_for(sending)
    expect(a, b"before", [c.stream])
    # Others are not held up.
    other = client()
    sending()
    assert other.ask(BAUD, baud(0)) == baud(9600)
    sending()
    assert other.ask(CONTROL, b"\x09") == b"\x09"
    assert sending() and speed(a) == 9600
    assert "what net#1 sent before a command" in d.tasks()["net#1.read"]["label"]
    d.chip.unsent = 0
    assert c.until(BAUD) == baud(19200)
    expect(a, b"after", [c.stream])


def test_a_command_waits_while_its_server_is_paused(server):
    d, a, client = server()
    c = client()
    d.chip.unsent = 1000000
    c.stream.send(b"x" + command(BAUD, baud(19200)))
    expect(a, b"x", [c.stream])
    wait_for(lambda: "sent before a command" in d.tasks()["net#1.read"]["label"])
    d.control("pause net")
    # Until the command would have been tried again.
    for _ in range(100):
        d.tasks()
    assert speed(a) == 9600
    d.chip.unsent = 0
    d.control("resume net")
    assert c.until(BAUD) == baud(19200)


def test_a_command_does_not_wait_for_ever(server):
    d, a, client = server()
    c = client()
    d.chip.unsent = 10
    c.stream.send(b"before" + command(BAUD, baud(19200)) + b"after")
    assert c.until(BAUD) == baud(19200)
    expect(a, b"beforeafter", [c.stream])


def test_every_change_of_a_signal_is_executed(server):
    d, a, client = server()
    c = client()
    rises = d.chip.rises
    c.stream.send((command(CONTROL, b"\x09") + command(CONTROL, b"\x08")) * 50)
    for _ in range(50):
        assert c.until(CONTROL) == b"\x09"
        assert c.until(CONTROL) == b"\x08"
    assert d.chip.rises == rises + 50


# --- the end ------------------------------------------------------------------

def test_the_last_client_restores_the_line(server):
    d, a, client = server()
    c, other = client(), client()
    c.ask(BAUD, baud(115200))
    c.ask(CONTROL, b"\x09")
    c.ask(CONTROL, b"\5")
    other.ask(STOPSIZE, b"\2")
    c.stream.close()
    wait_for(lambda: "#2" in d.control("peers")[-1] and len(d.control("peers")) == 2)
    assert speed(a) == 115200 and d.chip.breaking
    other.stream.close()
    wait_for(lambda: speed(a) == 9600)
    assert not a.termios()[2] & termios.CSTOPB
    assert d.chip.on(DTR) and not d.chip.breaking


def test_a_section_that_has_changed_is_what_the_line_is_restored_to(server):
    d, a, client = server()
    c = client()
    c.ask(BAUD, baud(115200))
    d.reload(serial("a", a, baud=57600, dtr="off") + d.rest)
    assert speed(a) == 57600 and not d.chip.on(DTR)
    assert c.ask(BAUD, baud(19200)) == baud(19200)
    c.ask(CONTROL, b"\x08")
    assert d.chip.on(DTR)
    c.stream.close()
    wait_for(lambda: speed(a) == 57600 and not d.chip.on(DTR))
    # Of a client that changes nothing, too.
    c = client()
    d.control("set a/baud 38400")
    c.stream.close()
    wait_for(lambda: not d.json("peers") or len(d.json("peers")) == 1)
    assert speed(a) == 38400


# --- restarts -----------------------------------------------------------------

def restart(d):
    n = d.stderr().count(" endpoints up")
    d.signal(signal.SIGUSR2)
    wait_for(lambda: d.stderr().count(" endpoints up") > n)


def test_a_session_survives_a_restart(server):
    d, a, client = server()
    c = client()
    c.ask(BAUD, baud(57600))
    c.ask(MODEM_MASK, b"\x10")
    c.stream.send(b"a\xff")
    expect(a, b"a", [c.stream])
    restart(d)
    c.stream.send(b"\xffb" + IAC)
    expect(a, b"\xffb", [c.stream])
    restart(d)
    c.stream.send(SB + COM_PORT + b"\1" + baud(0))
    restart(d)
    c.stream.send(IAC + SE)
    assert c.until(BAUD) == baud(57600)
    assert speed(a) == 57600
    d.chip.modem |= CTS
    assert c.until(MODEM_STATE) == b"\x10"
    c.stream.close()
    wait_for(lambda: speed(a) == 9600)


def test_a_break_ends_at_a_restart(server):
    d, a, client = server()
    c = client()
    assert c.ask(CONTROL, b"\5") == b"\5" and d.chip.breaking
    restart(d)
    assert c.ask(CONTROL, b"\4") == b"\6" and not d.chip.breaking


def test_a_break_ends_when_the_port_is_opened_again(server):
    d, a, client = server()
    c = client()
    assert c.ask(CONTROL, b"\5") == b"\5" and d.chip.breaking
    d.control("reopen a")
    d.wait_number("a/opens", 2)
    assert c.ask(CONTROL, b"\4") == b"\6" and not d.chip.breaking


def test_a_section_that_has_changed_takes_effect_at_a_restart(server):
    d, a, client = server()
    c = client()
    c.ask(BAUD, baud(115200))
    d.write(serial("a", a, baud=57600) + d.rest)
    restart(d)
    assert c.ask(BAUD, baud(0)) == baud(57600)
    assert speed(a) == 57600
    c.ask(BAUD, baud(19200))
    restart(d)
    assert c.ask(BAUD, baud(0)) == baud(19200)
    c.stream.close()
    wait_for(lambda: speed(a) == 57600)


def test_output_that_waits_survives_a_restart(server, connect):
    d, a, client = server(extra="")
    c = client()
    c.stream.reading = False
    data = b"\xff" * (4 << 20)
    a.send(data)
    pump([a], lambda: d.number("net/queued") > 30000 or not a.outgoing)
    for _ in range(3):
        restart(d)
    c.stream.reading = True
    expect(c.stream, data + data, [a])


# --- pyserial's client --------------------------------------------------------

@pytest.fixture
def port(server):
    """Opens rfc2217:// with pyserial; the daemon, the device, and the port."""
    made = []

    def open_port(query="", **keys):
        d, a, _ = server(**keys)
        made.append(pyserial.serial_for_url(f"rfc2217://127.0.0.1:{d.port}{query}",
                                            timeout=10))
        return d, a, made[-1]
    yield open_port
    for p in made:
        p.close()


def echo(a, p, data):
    """What the port writes comes back from the device."""
    p.write(data)
    expect(a, data)
    a.send(data)
    pump([a], lambda: not a.outgoing)
    assert p.read(len(data)) == data


def test_pyserial_opens_and_talks(port):
    d, a, p = port()
    echo(a, p, bytes(range(256)))
    p.baudrate = 230400
    assert speed(a) == 230400
    p.stopbits = 2
    assert a.termios()[2] & termios.CSTOPB
    p.close()
    wait_for(lambda: speed(a) == 9600)


def test_pyserial_moves_the_signals(port):
    d, a, p = port()
    p.dtr = False
    assert not d.chip.on(DTR)
    p.rts = False
    assert not d.chip.on(RTS)
    p.dtr = True
    assert d.chip.on(DTR) and not d.chip.on(RTS)
    p.break_condition = True
    assert d.chip.breaking
    p.break_condition = False
    assert not d.chip.breaking
    assert not p.cts
    d.chip.modem |= CTS
    wait_for(lambda: p.cts)
    d.chip.modem |= DSR | RI | CD
    wait_for(lambda: p.dsr and p.ri and p.cd)


def test_pyserial_purges(port):
    d, a, p = port()
    p.reset_input_buffer()
    p.reset_output_buffer()
    echo(a, p, b"x")


@pytest.mark.parametrize("keys", [{"rfc2217_deny": "purge"}, {"role": "read"}])
def test_pyserial_opens_a_line_whose_output_it_may_not_discard(port, keys):
    d, a, p = port(**keys)
    a.send(b"hello")
    pump([a], lambda: not a.outgoing)
    assert p.read(5) == b"hello"
    d.chip.unsent = 7
    p.reset_output_buffer()
    assert d.chip.flushed == 0


def test_pyserial_opens_a_line_without_modem_lines(port):
    d, a, p = port(lacks=NO_MODEM)
    p.dtr = False
    p.rts = True
    echo(a, p, b"x")


# --- telnet -------------------------------------------------------------------

PLAIN_OFFERS = OFFERS[3:]


@pytest.fixture
def console(directory, pty, daemon, connect):
    def start(**keys):
        port = free_port()
        a = pty("a")
        uarts = Uarts(directory / "lines")
        d = daemon(serial("a", a) + tcp_server("net", port, protocol="telnet", **keys),
                   env=uarts.env)
        d.chip = uarts.line(a)
        c = connect(port)
        expect(c, PLAIN_OFFERS)
        return d, a, c
    return start


def test_a_person_gets_character_mode(console):
    d, a, c = console()
    # As telnet(1): everything but BINARY.
    c.send(IAC + DONT + BINARY + IAC + WONT + BINARY + IAC + DO + SGA +
           IAC + WILL + SGA + IAC + DO + ECHO + IAC + DO + b"\x18")
    expect(c, IAC + WONT + b"\x18")
    c.send(b"ls\r\0")
    expect(a, b"ls\r", [c])
    c.send(b"a\r\nb" + IAC + IAC)
    expect(a, b"a\r\nb\xff", [c])
    a.send(b"x\r\ny\rz\xff\r")
    expect(c, b"x\r\ny\r\0z\xff\xff\r\0", [a])


def test_commands_of_telnet(console):
    d, a, c = console()
    c.send(IAC + BRK)
    wait_for(lambda: d.chip.breaks == 1 and not d.chip.breaking)
    c.send(IAC + b"\xf6")
    expect(c, b"\r\n[yes]\r\n")
    # A "Synch": the urgent byte is a part of the stream.
    c.sock.send(IAC)
    c.sock.send(b"\xf2", socket.MSG_OOB)
    c.send(b"after")
    expect(a, b"after", [c])
    # RFC 2217 is not for this protocol.
    c.send(IAC + WILL + COM_PORT)
    expect(c, IAC + DONT + COM_PORT)
    c.send(command(BAUD, baud(19200)) + b"x")
    expect(a, b"x", [c])
    assert speed(a) == 9600


def test_a_client_of_telnet(directory, pty, daemon, connect):
    """Our tcp-client with our server."""
    a, b = pty("a"), pty("b")
    port = free_port()
    d = daemon(serial("a", a) + tcp_server("net", port, protocol="telnet"))
    other = daemon(serial("b", b) + section(
        "tcp-client", "out", connect=f"127.0.0.1:{port}", protocol="telnet"), name="other")
    other.wait_state("out", "up")
    data = bytes(range(256)) * 300
    a.send(data)
    expect(b, data, [a])
    b.send(data)
    expect(a, data, [b])


# --- garbage ------------------------------------------------------------------

def test_garbage_is_counted_and_bounded(server, connect):
    d, a, client = server()
    c = client()
    slow = connect(d.port)
    expect(slow, OFFERS)
    slow.send(IAC + SB + COM_PORT)
    slow.send(b"\1" * 100000)
    # Answers are not read: requests wait.
    greedy = connect(d.port)
    greedy.reading = False
    greedy.send((IAC + WILL + b"\x55" + IAC + DO + b"\x56") * 200000)
    c.stream.send(IAC + SB + IAC + SE + command(99) + command(BAUD, b"\1") +
                  command(DATASIZE, b"\1\1") + b"x")
    expect(a, b"x", [c.stream, slow, greedy])
    d.wait_number("net/bad_commands", 4)
    slow.send(IAC + SE)
    d.wait_number("net/bad_commands", 5)
    a.send(b"y" * 1000)
    expect(c.stream, b"y" * 1000, [a])
    assert d.rss() < 200 << 20
    # One that has answers to read and vanishes is closed.
    d.wait_number("net/peers", 3)
    vanishing = connect(d.port)
    vanishing.reading = False
    vanishing.send((IAC + WILL + b"\x55") * 2000000)
    held = "room in net#4's output, for the answers to its commands"
    pump([vanishing], lambda: d.tasks()["net#4.read"]["label"] == held)
    vanishing.reset()
    d.wait_number("net/peers", 3)
    # The greedy one gets an answer to each request once it reads.
    greedy.reading = True
    answers = (IAC + DONT + b"\x55" + IAC + WONT + b"\x56") * 200000
    pump([greedy, slow], lambda: len(greedy.received) == len(OFFERS + answers) + 1000)
    assert greedy.take().replace(b"y" * 1000, b"") == OFFERS + answers
