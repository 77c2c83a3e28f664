"""
The service is restarted under traffic between a serial line and clients: those of RFC 2217
and raw TCP stay connected, lose nothing and keep what they have negotiated; those with TLS
connect again at once, and the service counts what they miss.
"""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from certificates import Authority, TlsClient
from harness import Client, Pty, move, section, tcp_server, wait_for
from restart import CONF, CONTROL, TIMES, ask, number, show, systemctl
from test_handover import take_whole_lines
from test_rfc2217 import (AGREED, BAUD, CTS, IAC, LINE_MASK, MODEM_MASK, MODEM_STATE, baud,
                          command)
from uart import Uarts

BENCH = Path("/run/bench/net")
DROP_IN = Path("/run/systemd/system/ttybridge.service.d/net.conf")
NET, PLAIN, TLS = 5021, 5022, (5023, 5024)
SPEED = 57600

# Of what a client of RFC 2217 receives: data, a doubled byte, an answer, an option.
PIECE = re.compile(rb"([^\xff]+)|\xff(\xff)|\xff\xfa\x2c(.)((?:[^\xff]|\xff\xff)*)\xff\xf0|"
                   rb"\xff[\xfb-\xfe].", re.DOTALL)


class Numbered:
    """Numbered lines of one sender, with bytes that telnet doubles."""

    def __init__(self, name):
        self.name, self.sent = name, 0

    def line(self, n):
        return b"%s %d %s\n" % (self.name, n, b"." * (n * 37 % 100) + IAC * (n % 3))

    def some(self):
        self.sent += 20
        return b"".join(self.line(n) for n in range(self.sent - 19, self.sent + 1))

    def number(self, line):
        """Of a line that is whole; None for another."""
        word = line.split(b" ")[1:2]
        n = int(word[0]) if word and word[0].isdigit() else 0
        return n if line + b"\n" == self.line(n) else None


class RawClient(Client):
    kept = True
    quiet = False           # True: in the middle of a command

    def __init__(self, name, port):
        super().__init__(("127.0.0.1", port))
        self.source, self.stream = Numbered(name), self

    def coded(self, data):
        return data

    def feed(self):
        if not self.outgoing and not self.quiet:
            self.send(self.coded(self.source.some()))


class Rfc2217Client(RawClient):
    """Data is what remains when commands are taken out."""

    def __init__(self, name, port):
        super().__init__(name, port)
        self.came, self.answers, self.options = bytearray(), [], bytearray()
        self.send(AGREED)

    def coded(self, data):
        return data.replace(IAC, IAC + IAC)

    def _read(self):
        at = len(self.received)
        moved = super()._read()
        self.came += self.received[at:]
        del self.received[at:]
        self.decode()
        return moved

    def decode(self):
        at, came = 0, bytes(self.came)
        while match := PIECE.match(came, at):
            at = match.end()
            text, one, number, value = match.groups()
            if text or one:
                self.received += text or one
            elif number:
                self.answers.append((number[0] - 100, value.replace(IAC + IAC, IAC)))
            else:
                self.options += match[0]
        del self.came[:at]

    def count(self, number, value):
        return self.answers.count((number, value))

    def modem_states(self):
        return [value for number, value in self.answers if number == MODEM_STATE]


class TlsSession:
    """A client that connects again as soon as it is told that the session has ended."""

    kept = False

    def __init__(self, name, port, context):
        self.source = Numbered(name)
        self.port, self.context = port, context
        self.clean, self.times = 0, []
        self.connect()

    def connect(self):
        self.first, self.began = self.source.sent + 1, time.monotonic()
        self.stream = TlsClient(self.port, self.context)

    def feed(self):
        if not self.stream.done:
            return
        if self.began:
            self.times.append(time.monotonic() - self.began)
            self.began = None
        if not self.stream.outgoing and not self.stream.closed:
            self.stream.send(self.source.some())

    def again(self):
        """Continues with the first line that was not written."""
        self.clean += self.stream.closed and not self.stream.error
        written, n = self.stream.written, self.first
        while n <= self.source.sent and written >= len(self.source.line(n)):
            written -= len(self.source.line(n))
            n += 1
        self.source.sent = n - 1
        self.stream.close()
        self.connect()


def configure(a, uarts, fault, ca):
    certificate, key = ca.make("server")
    shutil.chown(key, "ttybridge")
    keys = dict(framing="line", stall_timeout="1m")
    CONF.write_text(
        section("daemon", "", drain_timeout="5s")
        + section("control", "local", listen=f"unix:{CONTROL}")
        + section("serial", "a", device=a.link, framing="line", baud=9600)
        + tcp_server("net", NET, protocol="rfc2217", line="a", **keys)
        + tcp_server("plain", PLAIN, **keys)
        + "".join(tcp_server(f"tls{i}", port, tls="yes", tls_cert=certificate, tls_key=key,
                             **keys) for i, port in enumerate(TLS))
        + section("route", "r", between="a plain")
        + section("route", "s", between="a net")
        + "".join(section("route", f"t{i}", between=f"a tls{i}") for i in range(len(TLS))))
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    shared = Path("/usr/share/doc/ttybridge/examples/network.conf").read_text()
    DROP_IN.write_text(shared + "\n[Service]\n" + "".join(
        f"Environment={k}={v}\n" for k, v in {
            "LD_PRELOAD": fault, "FAULT_UART": uarts.env["FAULT_UART"]}.items())
        + f"ReadWritePaths={BENCH}\n")
    systemctl("daemon-reload")
    systemctl("stop", "ttybridge.service", "ttybridge.socket")
    systemctl("start", "ttybridge.service")


class Traffic:
    """
    From the device to all clients, and from each client to the device.  got: the numbers of
    the device's lines that a client has received; at_a: the lines of each client.
    """

    def __init__(self, a, clients):
        self.a, self.clients = a, clients
        self.source = Numbered(b"a")
        self.got = {c: [] for c in clients}
        self.at_a = {}

    def streams(self):
        return [self.a] + [c.stream for c in self.clients]

    def until(self, condition, what, feed=True):
        wait_for(lambda: self.step(feed) or condition(), what=what)

    def step(self, feed=True):
        if feed:
            for c in self.clients:
                c.feed()
            if not self.a.outgoing:
                self.a.send(self.source.some())
        for _ in range(4):
            move(self.streams(), 2)
        self.take()

    def take(self):
        assert self.a.opened(), "the device was closed"
        lines = {}
        take_whole_lines(self.a, lines)
        for name, list_ in lines.items():
            self.at_a.setdefault(name, []).extend(list_)
        for c in self.clients:
            lines = {}
            take_whole_lines(c.stream, lines)
            assert set(lines) <= {b"a"}, set(lines)
            self.got[c] += [self.source.number(line) for line in lines.get(b"a", ())]
            if c.stream.eof:
                assert not c.kept, f"{c.source.name} was cut"
                c.again()

    def more(self):
        goal = [s.sent + 100 for s in self.sources()]
        self.until(lambda: all(s.sent >= g for s, g in zip(self.sources(), goal)), "traffic")

    def sources(self):
        return [self.source] + [c.source for c in self.clients]

    def end(self):
        for name in ("a/queued", *(f"{s}/queued" for s in ("net", "plain", "tls0", "tls1"))):
            self.until(lambda: not any(s.outgoing for s in self.streams())
                       and number(name) == 0, name, False)
        self.until(lambda: all(not c.kept or (self.got[c] and
                                              self.got[c][-1] == self.source.sent)
                               for c in self.clients), "the last lines", False)
        self.until(lambda: all(
            self.at_a[c.source.name][-1] + b"\n" == c.source.line(c.source.sent)
            for c in self.clients), "the last lines of clients", False)


def check_kept(traffic):
    total = 0
    for c in traffic.clients:
        if not c.kept:
            continue
        name = c.source.name
        assert traffic.got[c] == list(range(1, traffic.source.sent + 1)), name
        assert [c.source.number(x) for x in traffic.at_a[name]] == \
            list(range(1, c.source.sent + 1)), name
        total += traffic.source.sent + c.source.sent
    assert number("a/rx_frames") == traffic.source.sent
    assert number("a/dropped") == number("net/dropped") == number("plain/dropped") == 0
    return total


def check_tls(traffic, name, client):
    """What a client has missed is what the service has counted."""
    sent, got = traffic.source.sent, traffic.got[client]
    assert None not in got and got == sorted(set(got)), "a line came twice, or was torn"
    dropped = number(f"{name}/dropped")
    assert len(got) + dropped == sent, (len(got), dropped, sent)
    arrived = [client.source.number(line) for line in traffic.at_a[client.source.name]]
    assert None not in arrived and arrived == sorted(set(arrived))
    assert number(f"{name}/rx_frames") == len(arrived)
    assert len(client.times) == TIMES + 1 and client.clean == TIMES, "not closed by close_notify"
    print(f"systemd: {name}: connected again {TIMES} times, in at most "
          f"{max(client.times[1:]):.2f} s; of {sent} frames {len(got)} received and {dropped} "
          f"counted as dropped; of {client.source.sent} that it sent {len(arrived)} read, and "
          "all of these delivered", flush=True)


def restart(traffic):
    pid = show("MainPID")
    done = subprocess.Popen(["systemctl", "restart", "ttybridge"])
    traffic.until(lambda: done.poll() is not None, "the restart")
    assert done.returncode == 0 and show("MainPID") != pid


def restart_again_and_again(traffic, told, chip):
    for n in range(TIMES):
        traffic.more()
        # The restart is in the middle of a command, which is answered after it.
        question = command(BAUD, baud(0))
        told.send(question[:n % len(question)])
        told.quiet = True
        restart(traffic)
        told.send(question[n % len(question):]).quiet = False
        traffic.until(lambda: told.count(BAUD, baud(SPEED)) == n + 2, "the answer")
        assert traffic.a.speed()[1] == SPEED
        chip.modem ^= CTS
        traffic.until(lambda: len(told.modem_states()) == n + 2, "the change of CTS")


def main():
    BENCH.mkdir(parents=True)
    BENCH.chmod(0o755)
    fault = shutil.copy("/run/out/fault.so", "/usr/lib/ttybridge-fault.so")
    a = Pty(BENCH / "a")
    os.chmod(a.slave_name, 0o666)
    uarts = Uarts(BENCH / "lines")
    (BENCH / "lines").chmod(0o666)
    chip = uarts.line(a)
    etc = Path("/etc/ttybridge")
    configure(a, uarts, fault, ca := Authority(etc))
    wait_for(lambda: show("StatusText") == "5 of 5 endpoints up", what="the service")
    told, deaf = Rfc2217Client(b"told", NET), Rfc2217Client(b"deaf", NET)
    clients = [told, deaf, RawClient(b"raw1", PLAIN), RawClient(b"raw2", PLAIN)] + \
        [TlsSession(b"tls%d" % i, port, ca.client_context()) for i, port in enumerate(TLS)]
    traffic = Traffic(a, clients)
    traffic.until(lambda: number("net/peers") == 2 and all(
        c.kept or c.stream.done for c in clients), "the clients", False)
    told.send(command(BAUD, baud(SPEED)) + command(MODEM_MASK, b"\x10"))
    deaf.send(command(MODEM_MASK, b"\0") + command(LINE_MASK, b"\0"))
    traffic.until(lambda: told.count(MODEM_MASK, b"\x10") and deaf.count(LINE_MASK, b"\0"),
                  "the settings", False)
    options = [bytes(c.options) for c in (told, deaf)]
    heard = deaf.count(MODEM_STATE, b"\x10")
    restart_again_and_again(traffic, told, chip)
    traffic.end()
    total = check_kept(traffic)
    assert told.modem_states() == [(b"\0", b"\x10")[n % 2] for n in range(TIMES + 1)]
    assert deaf.count(MODEM_STATE, b"\x10") == heard
    assert [bytes(c.options) for c in (told, deaf)] == options, "options were negotiated again"
    print(f"systemd: {TIMES} restarts with clients of RFC 2217 and raw TCP: each of {total} "
          "frames once; speed, masks and half a command continue", flush=True)
    for name, c in zip(("tls0", "tls1"), clients[-2:]):
        check_tls(traffic, name, c)
    for s in traffic.streams():
        s.close()
    DROP_IN.unlink()
    systemctl("daemon-reload")
    systemctl("stop", "ttybridge.service", "ttybridge.socket")
    assert show("NFileDescriptorStore") == "0"


if __name__ == "__main__":
    sys.exit(main())
