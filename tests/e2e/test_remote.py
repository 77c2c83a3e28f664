"""
Serial ports of other machines (device = rfc2217://HOST:PORT): of another daemon, of
pyserial's server, and of a far end that does as the test says.
"""
import signal
import socket
import termios
import threading

import pytest
import serial as pyserial
from serial import rfc2217

from harness import (Client, Stream, ControlError, expect, free_port, run, section, serial,
                     tcp_server, wait_for)
from test_rfc2217 import (BAUD, BINARY, COM_PORT, CONTROL, CTS, DATASIZE, DO, DONT, IAC,
                          LINE_MASK, MODEM_MASK, MODEM_STATE, PARITY, RESUME, SB, SE,
                          STOPSIZE, SUSPEND, WILL, Telnet, answer, baud, command, restart)
from test_kill import Manager
from uart import DTR, NO_RTSCTS, NO_SPEED, RTS, Uarts


def remote(name, port, **keys):
    return section("serial", name, device=f"rfc2217://127.0.0.1:{port}",
                   **dict(reopen_min="20ms", reopen_max="100ms") | keys)


@pytest.fixture
def far(directory, pty, daemon):
    """Starts a daemon with a line and a server for it; it, the device, its chip."""
    uarts = Uarts(directory / "lines")

    def start(lacks=0, port=None, **keys):
        a = pty("a")
        chip = uarts.line(a)
        chip.lacks = lacks
        d = daemon(serial("a", a) + tcp_server("net", port or free_port(),
                                               protocol="rfc2217", **keys),
                   name="far", env=uarts.env)
        d.listens = int(d.endpoints()["net"]["address"].rpartition(":")[2])
        return d, a, chip
    return start


@pytest.fixture
def near(daemon, pty):
    """Starts a daemon with the remote port r and the device b; it, and b."""
    def start(port, settled=True, **keys):
        b = pty("b")
        return daemon(remote("r", port, **keys) + serial("b", b), settled=settled), b
    return start


# --- our own server -----------------------------------------------------------

def test_bytes_pass_in_both_directions(far, near):
    f, a, _ = far()
    d, b = near(f.listens)
    everything = bytes(range(256)) * 20
    a.send(everything)
    expect(b, everything, [a])
    b.send(everything)
    expect(a, everything, [b])
    assert d.number("r/rx_bytes") == d.number("r/tx_bytes") == len(everything)


def test_the_port_has_the_settings_of_the_section(far, near):
    f, a, chip = far()
    d, b = near(f.listens, baud=57600, mode="8N2", flow="xonxoff", dtr="off")
    d.wait_state("r", "up")
    iflag, _, cflag, *_ = a.termios()
    assert a.speed() == (57600, 57600)
    assert cflag & termios.CSTOPB and iflag & termios.IXON
    wait_for(lambda: not chip.on(DTR))
    assert chip.on(RTS)
    assert f"rfc2217://127.0.0.1:{f.listens} 57600 8N2" in d.endpoints()["r"]["address"]
    assert "does not do as it was asked" not in d.stderr()


@pytest.mark.parametrize("lacks, keys, words", [
    (NO_SPEED, {"baud": 57600}, "its line runs at 9600 baud instead of 57600"),
    (NO_RTSCTS, {"flow": "rtscts"}, "it does not do that flow control"),
    (0, {"mode": "7E1"}, "its mode is 8N1 instead of 7E1")])
def test_what_the_far_end_does_otherwise_is_said(far, near, lacks, keys, words):
    f, a, chip = far(lacks=lacks)
    d, b = near(f.listens, **keys)
    assert d.state("r") == "up"
    assert f"r: the other machine does not do as it was asked: {words}" in d.stderr()
    # The address is what the line does; the keys are those of the section.
    assert d.endpoints()["r"]["address"].endswith(" 9600 8N1")
    assert all(d.get(f"r/{key}") == str(value) for key, value in keys.items())


def test_what_the_far_end_does_otherwise_is_said_once(far, near):
    f, a, chip = far(lacks=NO_SPEED)
    d, b = near(f.listens, baud=57600)
    d.control("set r/flow xonxoff")
    wait_for(lambda: a.termios()[0] & termios.IXON)
    # The answer comes before the data.
    a.send(b"x")
    expect(b, b"x", [a])
    assert d.stderr().count("its line runs at 9600 baud instead of 57600") == 1


def test_a_difference_is_not_said_with_all_that_follows(far, near):
    f, a, chip = far(lacks=NO_SPEED)
    d, b = near(f.listens, baud=57600)
    chip.frame += 1
    wait_for(lambda: d.number("r/line_frame") == 1)
    assert d.stderr().count("does not do as it was asked") == 1


def test_settings_change_while_it_is_open(far, near):
    f, a, chip = far()
    d, b = near(f.listens)
    d.control("set r/baud 115200")
    d.control("set r/mode 8N2")
    wait_for(lambda: a.speed() == (115200, 115200) and
             a.termios()[2] & termios.CSTOPB)
    d.control("set r/rts off")
    wait_for(lambda: not chip.on(RTS))
    d.control("set r/flow rtscts")
    wait_for(lambda: a.termios()[2] & termios.CRTSCTS)
    assert d.get("r/opens") == "1"
    chip.lacks = NO_SPEED
    d.control("set r/baud 57600")
    wait_for(lambda: "its line runs at 9600 baud instead of 57600" in d.stderr())


def test_keepalive_is_changed_while_it_is_open(far, near):
    f, a, chip = far()
    d, b = near(f.listens)
    assert "1 TCP peer " in d.tasks()["daemon.keepalive"]["label"]
    d.control("set r/keepalive no")
    assert "daemon.keepalive" not in d.tasks()
    d.control("set r/keepalive 1h")
    assert "1 TCP peer " in d.tasks()["daemon.keepalive"]["label"]
    assert d.get("r/opens") == "1"


def test_a_break_and_a_reset_reach_the_far_end(far, near):
    f, a, chip = far()
    d, b = near(f.listens, reset="classic")
    d.control("break r 1ms")
    wait_for(lambda: chip.breaks == 1 and chip.breaking == 0)
    chip.forget_changes()
    d.control("reset r")
    # One line after the other, since each is a command of its own.
    wait_for(lambda: chip.changes() == [RTS, RTS, RTS | DTR, DTR, 0, 0])


def test_errors_and_breaks_of_the_line_are_counted(far, near):
    f, a, chip = far()
    d, b = near(f.listens)
    assert d.number("r/line_parity") == 0
    chip.frame += 1
    chip.brk += 1
    wait_for(lambda: (d.number("r/line_frame"), d.number("r/line_break")) == (1, 1))
    assert (d.number("r/line_parity"), d.number("r/line_overrun")) == (0, 0)


def test_errors_are_counted_on_after_a_restart(far, near):
    f, a, chip = far()
    d, b = near(f.listens)
    chip.frame += 1
    wait_for(lambda: d.number("r/line_frame") == 1)
    restart(d)
    chip.frame += 1
    wait_for(lambda: d.number("r/line_frame") == 2)
    assert d.number("r/line_parity") == 0


def test_when_it_is_lost_it_is_opened_again(far, near):
    f, a, chip = far()
    d, b = near(f.listens, baud=57600)
    f.stop()
    d.wait_state("r", "lost")
    b.send(b"waits")
    a.close()
    chip.lacks = 0
    again, a, chip = far(port=f.listens)
    expect(a, b"waits", [b])
    assert a.speed() == (57600, 57600)
    assert d.number("r/losses") == 1


@pytest.mark.parametrize("who", ["near", "far"])
def test_a_restart_continues_the_session(far, near, who):
    f, a, chip = far()
    d, b = near(f.listens, baud=57600)
    restarted = d if who == "near" else f
    for n in range(1, 4):
        b.send(b"\xffa\r")
        a.send(b"\xff\0b")
        restarted.signal(signal.SIGUSR2)
        wait_for(lambda: restarted.stderr().count(" endpoints up") > n)
        expect(a, b"\xffa\r", [b])
        expect(b, b"\xff\0b", [a])
        assert a.speed() == (57600, 57600)
    assert d.number("r/losses") == 0
    assert d.number("r/opens") == 1
    # Commands still work, and are answered.
    chip.lacks = NO_SPEED
    d.control("set r/baud 19200")
    wait_for(lambda: "its line runs at 9600 baud instead of 19200" in d.stderr())


def test_a_connection_that_outlives_a_killed_process_is_used(far, pty, directory):
    f, a, chip = far()
    b, manager = pty("b"), Manager(directory)
    conf = remote("r", f.listens, baud=57600) + serial("b", b)
    try:
        with manager.start(directory, conf) as d:
            d.settle()
            d.kill()
        with manager.start(directory, conf) as d:
            d.settle()
            b.send(b"\xff after\r\n")
            expect(a, b"\xff after\r\n", [b])
            chip.lacks = NO_SPEED
            d.control("set r/baud 19200")
            wait_for(lambda: "its line runs at 9600 baud instead of 19200" in d.stderr())
            assert f.number("net/opens") == 1 and "net#2" not in f.stderr()
    finally:
        manager.close()


# --- a far end that does as the test says ---------------------------------------

OFFERS = (IAC + WILL + COM_PORT + IAC + WILL + BINARY + IAC + DO + BINARY +
          IAC + WILL + b"\3" + IAC + DO + b"\3")
AGREES = IAC + DO + COM_PORT + IAC + DO + BINARY + IAC + WILL + BINARY
SETTINGS = ((BAUD, baud(9600)), (DATASIZE, b"\x08"), (PARITY, b"\1"), (STOPSIZE, b"\1"),
            (CONTROL, b"\1"))
ASKED = b"".join(command(*x) for x in SETTINGS) + \
    command(LINE_MASK, b"\x1e") + command(MODEM_MASK, b"\xff")
CONFIRMED = b"".join(answer(*x) for x in SETTINGS)


class Accepted(Client):
    def __init__(self, sock):
        Stream.__init__(self)
        self.sock = sock
        sock.setblocking(False)


@pytest.fixture
def scripted(daemon, pty):
    """Starts a daemon with a remote port; it, a device, and a function that gives the
    far ends of its connections, one after the other."""
    made = []

    def start(extra="", **keys):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)
        made.append(listener)
        b = pty("b")
        d = daemon(remote("r", listener.getsockname()[1], **keys) + serial("b", b) + extra,
                   settled=False)

        def accept():
            made.append(Accepted(listener.accept()[0]))
            return made[-1]
        return d, b, accept
    yield start
    for x in made:
        x.close()


def agree(far):
    expect(far, OFFERS)
    far.send(AGREES)
    expect(far, ASKED)
    far.send(CONFIRMED)


def test_the_port_is_opening_until_its_settings_are_confirmed(scripted):
    d, b, accept = scripted()
    far = accept()
    expect(far, OFFERS)
    assert d.state("r") == "opening"
    assert "127.0.0.1" in d.tasks()["r.agree"]["label"]
    assert "to agree to RFC 2217" in d.tasks()["r.agree"]["label"]
    far.send(AGREES)
    expect(far, ASKED)
    far.send(b"noise" + answer(*SETTINGS[0]) + answer(*SETTINGS[1]))
    wait_for(lambda: "to confirm parity, stop bits, flow control" in
             d.tasks()["r.agree"]["label"])
    assert d.state("r") == "opening"
    far.send(b"more noise" + b"".join(answer(*x) for x in SETTINGS[2:]) + b"data\xff\xff")
    d.wait_state("r", "up")
    expect(b, b"data\xff")
    assert "r.agree" not in d.tasks()


def test_settings_that_change_before_it_is_up_are_asked_for(scripted):
    d, b, accept = scripted()
    far = accept()
    expect(far, OFFERS)
    far.send(AGREES)
    expect(far, ASKED)
    d.control("set r/baud 57600")
    assert d.state("r") == "opening"
    far.send(CONFIRMED)
    expect(far, command(BAUD, baud(57600)))
    far.send(answer(BAUD, baud(57600)))
    d.wait_state("r", "up")


def test_the_far_end_may_suspend_the_data_before_it_is_up(scripted):
    d, b, accept = scripted()
    far = accept()
    expect(far, OFFERS)
    far.send(AGREES)
    expect(far, ASKED)
    far.send(answer(SUSPEND) + CONFIRMED)
    d.wait_state("r", "up")
    b.send(b"waits")
    wait_for(lambda: d.queued("r") == 1)
    assert not far.received
    far.send(answer(RESUME))
    expect(far, b"waits", [b])


def test_input_of_any_split_is_understood(scripted):
    d, b, accept = scripted()
    far = accept()
    expect(far, OFFERS)
    for byte in AGREES:
        far.send(bytes([byte]))
    expect(far, ASKED)
    for byte in CONFIRMED + b"x":
        far.send(bytes([byte]))
    expect(b, b"x")


@pytest.mark.parametrize("says, why", [
    (IAC + DONT + COM_PORT, "it refuses RFC 2217"),
    (None, "the other machine has closed the connection")])
def test_a_far_end_without_rfc2217(scripted, says, why):
    d, b, accept = scripted(reopen_min="10s", reopen_max="10s")
    far = accept()
    expect(far, OFFERS)
    if says is None:
        far.close()
    else:
        far.send(says)
    d.wait_state("r", "lost")
    assert why in d.get("r/error")


def test_a_far_end_that_does_not_answer(scripted):
    d, b, accept = scripted(connect_timeout="50ms", reopen_min="10s", reopen_max="10s")
    accept()
    d.wait_state("r", "lost")
    assert "does not answer (does it do RFC 2217?)" in d.get("r/error")


def test_a_far_end_that_does_not_confirm(scripted):
    d, b, accept = scripted(connect_timeout="300ms", reopen_min="10s", reopen_max="10s")
    far = accept()
    expect(far, OFFERS)
    far.send(AGREES + answer(*SETTINGS[0]))
    d.wait_state("r", "lost")
    assert "does not confirm data bits, parity, stop bits, flow control" in d.get("r/error")


def test_a_far_end_that_ends_rfc2217_is_lost(scripted):
    d, b, accept = scripted(reopen_min="10s", reopen_max="10s")
    far = accept()
    agree(far)
    d.wait_state("r", "up")
    far.send(IAC + DONT + COM_PORT)
    d.wait_state("r", "lost")
    assert "has ended RFC 2217" in d.get("r/error")


def test_garbage_from_the_far_end_does_no_harm(scripted):
    d, b, accept = scripted()
    far = accept()
    agree(far)
    d.wait_state("r", "up")
    far.send(command(BAUD) + answer(BAUD, b"\1") + answer(DATASIZE, b"\x63") +
             answer(PARITY) + answer(77, b"x" * 300) + IAC + SB + b"\x63" + IAC + SE +
             answer(CONTROL, b"\xff\xff"[:1]) + b"still there")
    expect(b, b"still there")
    assert d.state("r") == "up"


def test_the_far_end_may_suspend_the_data(scripted):
    d, b, accept = scripted()
    far = accept()
    agree(far)
    d.wait_state("r", "up")
    far.send(answer(SUSPEND) + b"1")
    expect(b, b"1")
    b.send(b"waits")
    wait_for(lambda: d.queued("r") == 1)
    # Commands are sent meanwhile.
    d.control("set r/dtr off")
    expect(far, command(CONTROL, b"\x09"))
    far.send(answer(RESUME))
    expect(far, b"waits", [b])


def test_suspended_data_waits_after_a_restart(scripted):
    d, b, accept = scripted()
    far = accept()
    agree(far)
    d.wait_state("r", "up")
    far.send(answer(SUSPEND) + b"1")
    expect(b, b"1")
    restart(d)
    b.send(b"waits")
    wait_for(lambda: d.queued("r") == 1)
    assert not far.received
    far.send(answer(RESUME))
    expect(far, b"waits", [b])


@pytest.mark.parametrize("keys, commands", [
    (dict(rts="off", dtr="off"), (b"\x0c", b"\x09")),
    (dict(dtr="off", rts="off"), (b"\x09", b"\x0c"))])
def test_signals_are_set_in_the_order_of_the_section(scripted, keys, commands):
    d, b, accept = scripted(**keys)
    far = accept()
    agree(far)
    expect(far, b"".join(command(CONTROL, c) for c in commands))


def test_flow_control_by_dtr_and_dsr_is_for_both_directions(scripted):
    d, b, accept = scripted(flow="dtrdsr")
    far = accept()
    expect(far, OFFERS)
    far.send(AGREES)
    both = command(CONTROL, b"\x13") + command(CONTROL, b"\x12")
    expect(far, ASKED.replace(command(CONTROL, b"\1"), both))


@pytest.fixture
def served(scripted, connect):
    """A far end that has agreed, behind a server for its port: the daemon, the far end,
    and a function that makes clients."""
    port = free_port()
    d, b, accept = scripted(tcp_server("net", port, protocol="rfc2217", line="r"))
    far = accept()
    agree(far)
    d.wait_state("r", "up")
    return d, far, lambda: Telnet(connect(port))


def test_the_far_end_may_tell_its_settings(served):
    d, far, client = served
    c = client()
    far.send(answer(BAUD, baud(57600)) + answer(BAUD, baud(0)))
    d.wait_number("r/bad_commands", 1)
    assert c.ask(BAUD, baud(0)) == baud(57600)
    # It is as if none had been told before.
    c.stream.send(command(BAUD, baud(19200)))
    expect(far, command(BAUD, baud(19200)), [c.stream])
    far.send(answer(BAUD, baud(38400)))
    assert c.until(BAUD) == baud(38400)


def test_a_client_does_not_wait_for_ever_for_the_far_end(served):
    d, far, client = served
    assert client().ask(BAUD, baud(57600)) == baud(57600)
    expect(far, command(BAUD, baud(57600)))


def test_a_setting_is_kept_when_another_one_follows(served):
    d, far, client = served
    one, two = client(), client()
    one.stream.send(command(STOPSIZE, b"\2"))
    expect(far, command(STOPSIZE, b"\2"), [one.stream])
    two.stream.send(command(BAUD, baud(57600)))
    expect(far, command(BAUD, baud(57600)), [two.stream])
    far.send(answer(STOPSIZE, b"\2") + answer(BAUD, baud(57600)))
    assert one.until(STOPSIZE) == b"\2" and two.until(BAUD) == baud(57600)
    assert one.ask(STOPSIZE, b"\0") == b"\2"
    # Nothing else has been asked for.
    two.stream.send(command(BAUD, baud(19200)))
    expect(far, command(BAUD, baud(19200)), [two.stream])


def test_modem_lines_of_the_far_end_rise_and_fall(served):
    d, far, client = served
    c = client()
    far.send(answer(MODEM_STATE, b"\x30"))
    assert c.until(MODEM_STATE) == b"\x33"
    far.send(answer(MODEM_STATE, b"\x20"))
    assert c.until(MODEM_STATE) == b"\x21"


# --- pyserial's server ----------------------------------------------------------

class PyserialServer(threading.Thread):
    """pyserial's loop://, whose output is its input, behind its PortManager."""

    def __init__(self):
        super().__init__(daemon=True)
        self.port = pyserial.serial_for_url("loop://", timeout=0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.number = self.listener.getsockname()[1]
        self.start()

    def run(self):
        sock = self.listener.accept()[0]
        sock.settimeout(0.01)
        self.write = sock.sendall
        manager = rfc2217.PortManager(self.port, self)
        while True:
            try:
                data = sock.recv(1024)
            except TimeoutError:
                continue
            if not data:
                break
            self.port.write(b"".join(manager.filter(data)))
            sock.sendall(b"".join(manager.escape(self.port.read(self.port.in_waiting))))
        sock.close()

    def close(self):
        self.listener.close()
        self.join()


def test_a_port_of_pyserials_server(near):
    server = PyserialServer()
    d, b = near(server.number, baud=57600, mode="7E2", flow="rtscts", rts="off")
    port = server.port
    everything = bytes(range(256)) * 4
    b.send(everything)
    expect(b, everything)
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits, port.rtscts) == \
        (57600, 7, "E", 2, True)
    d.control("set r/baud 115200")
    d.control("set r/dtr off")
    d.control("break r 1ms")
    wait_for(lambda: port.baudrate == 115200 and not port.dtr and not port.rts)
    assert "does not do as it was asked" not in d.stderr()
    d.stop()
    server.close()


# --- the configuration ------------------------------------------------------------

@pytest.mark.parametrize("keys, fault", [
    ({"device": "rfc2217://host"}, "is not rfc2217://HOST:PORT, such as"),
    ({"device": "rfc2217://host:0"}, "is not rfc2217://HOST:PORT, such as"),
    ({"device": "socket://host:1"},
     "a TCP connection without RFC 2217 is a [tcp-client]"),
    ({"device": "rfc2217://host:1", "rs485": "yes"},
     "rs485 is for the ports of this machine"),
    ({"device": "rfc2217://host:1", "low_latency": "yes"},
     "low_latency is for the ports of this machine")])
def test_faults_of_the_section(directory, keys, fault):
    file = directory / "faulty.conf"
    file.write_text(section("serial", "r", **keys))
    done = run("--check", "-c", file)
    assert done.returncode == 2 and fault in done.stderr + done.stdout


def test_keys_of_this_machine_cannot_be_set(far, near):
    f, a, chip = far()
    d, b = near(f.listens)
    with pytest.raises(ControlError, match="low_latency is for the ports of this"):
        d.control("set r/low_latency yes")
    assert d.state("r") == "up"


# --- a server for a port of another machine ------------------------------------------

@pytest.fixture
def chain(far, daemon):
    """A client of a daemon whose port is that of another daemon: the far daemon, its
    device and chip, and what opens the client."""
    f, a, chip = far()
    port = free_port()
    d = daemon(remote("r", f.listens) + tcp_server("net", port, protocol="rfc2217"))
    opened = []

    def client(**keys):
        opened.append(pyserial.serial_for_url(f"rfc2217://127.0.0.1:{port}", **keys))
        return opened[-1]
    yield f, a, chip, d, client
    for c in opened:
        c.close()


def test_a_client_sets_up_a_port_two_machines_away(chain):
    f, a, chip, d, client = chain
    c = client(baudrate=57600, stopbits=2, timeout=10)
    assert a.speed() == (57600, 57600) and a.termios()[2] & termios.CSTOPB
    everything = bytes(range(256))
    a.send(everything)
    assert c.read(256) == everything
    c.write(everything)
    expect(a, everything)
    c.rts = False
    wait_for(lambda: not chip.on(RTS))
    chip.modem |= CTS
    wait_for(lambda: c.cts)
    c.close()
    wait_for(lambda: a.speed() == (9600, 9600) and chip.on(RTS))


def test_a_client_is_told_what_the_line_two_machines_away_does(chain):
    f, a, chip, d, client = chain
    c = client(baudrate=57600)
    chip.lacks = NO_SPEED
    with pytest.raises(ValueError, match="remote rejected value for option 'baudrate'"):
        c.baudrate = 19200
