"""
What is done with a daemon in which calls fail (test_faults.py).

A story plays with devices, clients, control commands, signals; it goes on whatever does
not work.  Then it judges, as a user would: it answers, its endpoints come back, frames
pass, each is accounted for, it does not spin and holds no descriptor too many.
"""
import fcntl
import itertools
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import harness
from harness import (BINARY, FAULTS, PATIENCE, Client, Daemon, Pty, Slave,
                     Stream, free_port, move, route, section, serial,
                     tcp_server)
from uart import Uarts

# How long a step of a story may take before it goes on all the same: the fault may
# have taken what it waits for.
STEP = 0.7
# What is to happen in spite of all.
SOON = max(8.0, PATIENCE / 2)
SOONER = {"reopen_min": "20ms", "reopen_max": "100ms"}


def launcher(env, sockets):
    """Words before those of a program: its variables, sockets from 3 on."""
    words = ["env", *(f"{k}={v}" for k, v in env.items())]
    if not sockets:
        return words
    pass_on = " ".join(f"{i}<&{fd} {fd}<&-" for i, fd in enumerate(sockets, 3))
    return ["bash", "-c", f'exec env LISTEN_PID=$$ "$@" {pass_on}', "bash",
            *words[1:]]


class Ended(Exception):
    """The daemon has ended."""


class Victim(Daemon):
    """A daemon in which a call fails: nothing that it is asked has to work."""

    def __init__(self, directory, conf, fault=None, argv=None, sockets=(),
                 env=()):
        self.directory = Path(directory)
        self.file = self.directory / "daemon.conf"
        self.socket = self.directory / "daemon.sock"
        self.errors = self.directory / "daemon.stderr"
        self.log = self.directory / "fault.log"
        self.control_section = section("control", "unix",
                                       listen=f"unix:{self.socket}")
        self.write(conf)
        env = {**harness.SANITIZERS, "LD_PRELOAD": str(FAULTS),
               "FAULT_LOG": str(self.log), **dict(env)}
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        if fault is not None:
            env["FAULT"] = str(fault)
        argv = [BINARY, *(argv or ["-c", str(self.file)])]
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [*launcher(env, sockets), *argv], pass_fds=sockets,
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        self.pid = self.process.pid
        self.stopped = False

    def happened(self):
        """Whether the call failed, and where it was."""
        for line in self.log.read_text().splitlines() if \
                self.log.exists() else ():
            if line.startswith("failed"):
                return line
        return None

    def signal(self, number):
        """Sends it once the daemon is ready for it."""
        deadline = time.monotonic() + SOON
        while ("endpoints up" not in self.stderr() and
               time.monotonic() < deadline):
            self.check()
            time.sleep(0.005)
        super().signal(number)

    def well_ended(self):
        """It could not run: None if it has said why, or what is wrong."""
        status, text = self.process.returncode, self.stderr()
        begins = [m.end() for m in re.finditer("again\n|next process\n", text)]
        if "endpoints up" in text[max(begins, default=0):]:
            return f"it ended at its work, with status {status}"
        if status in (1, 2) and len(text.strip()) > 10:
            return None
        return f"exit status {status}, and it said {text!r}"

    def check(self):
        if self.process.poll() is not None:
            raise Ended

    def cpu_ns(self):
        with open(f"/proc/{self.pid}/schedstat") as f:
            return int(f.read().split()[0])

    def inodes(self, fds):
        """Of open files."""
        files = self.of_descriptors("fd", os.stat)
        return {files[fd].st_ino for fd in fds if fd in files}

    def mapped(self, name):
        """The inodes of files in memory whose name has that in it."""
        with open(f"/proc/{self.pid}/maps") as f:
            return {int(line.split()[4]) for line in f if name in line}

    def attempt(self, command, timeout=STEP):
        """The reply to a command, if there is a whole one."""
        self.check()
        try:
            text = self.raw(command + "\n", timeout=timeout)
        except (OSError, harness.Timeout):
            return None
        return text.decode(errors="replace") \
            if re.search(rb"(?m)^(OK|ERR .*)\n\Z", text) else None


# --- the stories -------------------------------------------------------------

QUEUE = "memfd:ttybridge queue"


class Nobody(Stream):
    """A client that could not connect."""

    name = "nobody"

    def send(self, data):
        return self

    def fileno(self):
        return -1

    def want(self):
        return 0

    def close(self):
        pass


class Returning(Stream):
    """Opens what it talks to when it has something to send, and again after an end."""

    def __init__(self, name, open_it):
        super().__init__()
        self.name, self.open_it, self.end = name, open_it, None

    def fileno(self):
        return self.end.fileno()

    def want(self):
        return super().want() if self.end else 0

    def turn(self, events):
        moved = super().turn(events)
        if self.eof:
            self.close()
        return moved

    def send(self, data):
        try:
            self.end = self.end or self.open_it()
        except OSError:
            return self
        return super().send(data)

    def close(self):
        if self.end:
            self.end.close()
        self.end, self.eof = None, False
        self.outgoing.clear()


class Caller(Returning):
    """A client that comes again when it was turned away."""

    def __init__(self, name, address):
        super().__init__(name, lambda: Client(address))


class User(Returning):
    """Has a pty's link open, and opens it again when that hangs up."""

    def __init__(self, path):
        super().__init__(path.name, lambda: Slave(path))
        self.send(b"")

    def _failed(self, error):
        self.eof = True
        self.outgoing.clear()
        return True


class Story:
    """What is done with a daemon; goes on whatever does not work."""

    def __init__(self, directory, fault=None, most=None):
        self.directory = Path(directory)
        self.fault = fault
        self.most = most        # descriptors, when nothing fails
        self.held = 0           # descriptors, at the end
        self.allowed = (0, 1)   # exit statuses
        self.streams = []
        self.said = 0
        self.d = None

    def start(self, conf, **kwargs):
        self.d = Victim(self.directory, conf, self.fault, **kwargs)

    def play(self):
        """What is done."""

    def judge(self):
        """What is wrong with it then, sentences or None."""

    def add(self, stream):
        self.streams.append(stream)
        return stream

    def remove(self, stream):
        self.streams.remove(stream)
        stream.close()

    def pty(self, name):
        return self.add(Pty(self.directory / name))

    def until(self, condition, timeout=STEP):
        """Moves bytes until it holds; whether it does in time."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.d.check()
            if time.monotonic() > deadline:
                return False
            self.turn()
        return True

    def begun(self, *devices):
        self.until(lambda: self.d.socket.exists() and
                   "endpoints up" in self.d.stderr() and
                   all(d.opened() for d in devices))

    def turn(self):
        for s in self.streams:
            if s.outgoing and getattr(s, "master", 0) < 0:
                s.outgoing.clear()
        try:
            move(self.streams, 5)
        except OSError:
            time.sleep(0.005)

    def say(self, stream, n=1, size=20):
        """Numbered lines; what the last one is."""
        for _ in range(n):
            self.said += 1
            line = (b"%06d " % self.said).ljust(size - 1, b"x") + b"\n"
            try:
                stream.send(line)
            except OSError:
                pass
        return line

    def hear(self, stream, line, timeout=STEP):
        return self.until(lambda: line.rstrip() in stream.received, timeout)

    def client(self, address):
        try:
            return self.add(Client(address))
        except OSError:
            return self.add(Nobody())

    def close(self):
        for s in self.streams:
            s.close()
        if self.d is not None:
            self.d.kill()

    def end(self):
        """It ends when it is told to, and well."""
        self.d.check()
        self.d.signal(signal.SIGTERM)
        return self.ends()

    def ends(self, *allowed):
        try:
            status = self.d.process.wait(SOON)
        except subprocess.TimeoutExpired:
            return "it does not end"
        if status not in (allowed or self.allowed):
            return f"exit status {status} at its end"
        return None

    # the judgement, at the end

    def answers(self):
        if not self.until(lambda: self.d.attempt("version"), SOON):
            return "it does not answer on its control port"

    def up(self):
        def settled():
            reply = self.d.attempt("json endpoints")
            return reply and not re.search(
                r'"state": ?"(lost|opening|closed)"', reply)
        if not self.until(settled, SOON):
            return f"endpoints do not come back:\n" \
                f"{self.d.attempt('endpoints')}"

    def flows(self, source, to, more=""):
        def arrived():
            if isinstance(to, (Caller, User)):
                to.send(b"")        # comes again, if it has to
            return self.hear(to, self.say(source), 0.25)
        if not self.until(arrived, SOON):
            return f"nothing passes from {source.name} to {to.name}{more}\n" \
                f"{self.d.attempt('endpoints')}{self.d.attempt('ps')}"

    def still(self):
        """Does not spin: a moment in which it uses little of the processor."""
        for _ in range(10):
            start, before = time.monotonic(), self.d.cpu_ns()
            time.sleep(0.03)
            used = (self.d.cpu_ns() - before) / 1e9
            if used < 0.3 * (time.monotonic() - start):
                return None
        return f"it spins\n{self.d.attempt('ps')}"

    def tidy(self):
        """
        Has no more descriptors open than when nothing failed.  How many queues have
        needed a file depends on who was faster; such a file is also in memory, or it
        was forgotten.
        """
        def few():
            found = self.d.descriptors()
            queues = [fd for fd, target in found.items() if QUEUE in target]
            self.held = len(found) - len(queues)
            return self.d.inodes(queues) == self.d.mapped(QUEUE) and \
                (self.most is None or self.held <= self.most)
        if not self.until(few, SOON):
            return f"{self.held} descriptors, {self.most} were to be " \
                f"expected:\n{self.d.descriptors()}"

    def accounts(self, to, sources, filters=(), links=1):
        """Frames in = out + queued + dropped, of those that filters passed."""
        paths = [f"{s}/rx_frames" for s in sources] + [
            f"{to}/{what}" for what in ("tx_frames", "queued_frames",
                                        "dropped")] + [
            f"routes/{f}/rejected" for f in filters]
        for _ in range(20):     # some of it may be what fails
            reply = self.d.attempt("\n".join(f"get {p}" for p in paths), SOON)
            numbers = [int(w) for w in (reply or "").split() if w.isdigit()]
            if len(numbers) == len(paths):
                break
        else:
            return f"no numbers of {to}: {reply!r}"
        came, there = sum(numbers[:len(sources)]), sum(numbers[len(sources):])
        if came > there or there > links * came:
            return f"{to}: {came} in, but {there} out, queued or dropped: " \
                f"{dict(zip(paths, numbers))}\n" \
                f"{self.d.attempt('list ' + to)}"


class Devices(Story):
    """Two serial ports with different framings, a TCP server, a watch."""

    def text(self, queue="2K"):
        return (serial("a", self.a, framing="line", queue="2K") +
                serial("b", self.b, framing="slip", queue=queue) +
                tcp_server("lan", self.port, framing="line", **SOONER) +
                route("r", between="a b") + route("in", from_="lan", to="a b") +
                route("out", from_="a b", to="lan"))

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.start(self.text())
        self.begun(a, b)
        lan = self.client(("127.0.0.1", self.port))
        self.hear(b, self.say(a, 3))
        b.send(b"\xc0from b 1\xc0")
        self.until(lambda: b"from b 1" in a.received)
        self.hear(a, self.say(lan, 2))
        # A full queue.
        b.reading = False
        line = self.say(a, 400, 300)
        self.until(lambda: not a.outgoing, 0.05)
        b.reading = True
        self.hear(b, line)
        self.commands(lan)
        lan.reading = True
        self.remove(lan)
        # Unplugged in the middle of a frame, and back.
        b.send(b"\xc0half")
        b.unplug()
        line = self.say(a, 3)
        self.until(lambda: "lost" in (self.d.attempt("get b/state") or ""))
        b.plug()
        self.hear(b, line)
        self.d.write(self.text("3K") +
                     section("pty", "p", link=self.directory / "p", **SOONER))
        self.d.attempt("reload")
        self.hear(b, self.say(a))

    def commands(self, lan):
        watch = self.client(self.d.socket)
        watch.send(b"watch\n")
        self.d.attempt("ps\nwhere a.read\nroutes\npeers\njson endpoints\n"
                       "set b/baud 19200\nlist\nget a/nope\nhelp")
        self.hear(self.b, self.say(self.a))
        self.until(lambda: b"\n" in watch.received)
        self.d.attempt("send lan hello\npause b\nresume b\nreopen b")
        self.remove(watch)

    def judge(self):
        a, b = self.a, self.b
        yield self.answers()
        yield self.up()
        lan = self.add(Caller("lan", ("127.0.0.1", self.port)))
        yield self.flows(a, b)
        b.send(b"\xc0")
        yield self.flows(lan, a)
        yield self.flows(lan, b)
        yield self.flows(a, lan)
        yield self.still()
        yield self.tidy()
        yield self.accounts("a", ["b", "lan"])
        yield self.accounts("b", ["a", "lan"])


class Restart(Devices):
    """SIGUSR2, with half a frame here, frames that wait there and a client."""

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.start(self.text())
        self.begun(a, b)
        lan = self.client(("127.0.0.1", self.port))
        self.hear(a, self.say(lan))
        self.again()
        lan.reading = b.reading = False
        line = self.say(a, 300, 300)
        b.send(b"\xc0half a")
        self.until(lambda: not a.outgoing, 0.03)
        self.again()
        lan.reading = b.reading = True
        self.hear(b, line)
        self.hear(lan, line)
        b.send(b" frame\xc0")
        self.until(lambda: b"half a frame" in a.received)
        self.remove(lan)

    def again(self):
        """Until the new one, or the old one, is at work."""
        self.d.check()
        before = self.d.stderr().count(" endpoints up")
        self.d.signal(signal.SIGUSR2)
        self.until(lambda: self.d.stderr().count(" endpoints up") > before or
                   "goes on" in self.d.stderr())


class Network(Story):
    """A pseudo-terminal, and what comes and goes over sockets."""

    def text(self, more=""):
        return ("[daemon]\nlog_level = debug\n" +
                section("pty", "p", link=self.directory / "p", framing="line",
                        **SOONER) +
                section("tcp-client", "out", framing="cobs",
                        connect=f"localhost:{self.far.port}",
                        **SOONER) +
                section("udp", "u", listen=f"{self.air.ip}:{self.port}",
                        send_to=f"{self.air.ip}:{self.air.port}",
                        **SOONER) +
                section("unix-server", "s", listen=self.directory / "s",
                        framing="line", max_clients=1, mode="0600",
                        **SOONER) +
                section("echo", "e", **SOONER) +
                route("out", between="p out", reject="^never") +
                route("air", from_="p", to="u", match="[0-9]") +
                route("in", from_="u", to="p", rate="1000/s") +
                route("wall", between="s e") + more)

    def play(self):
        self.far, self.air = self.add(Far()), self.add(Air())
        self.port = free_port()
        self.start(self.text())
        self.until(lambda: (self.directory / "p").exists() and
                   (self.directory / "s").exists() and self.d.socket.exists())
        self.air.to = (self.air.ip, self.port)
        p = self.add(User(self.directory / "p"))
        self.until(lambda: self.far.here)
        self.hear(self.far, self.say(p, 3))
        self.far.send(b"\x09from far\0")
        self.until(lambda: b"from far" in p.received)
        self.hear(p, self.say(self.air, 2))
        s = self.client(self.directory / "s")
        self.hear(s, self.say(s, 3, 1000))
        other = self.client(self.directory / "s")      # one too many
        self.until(lambda: other.eof, 0.05)
        self.remove(other)
        # Nobody reads; everybody goes; everybody comes again.
        p.reading = self.far.reading = False
        self.say(p, 100, 1000)
        self.say(self.air, 100, 500)
        self.until(lambda: not p.outgoing, 0.05)
        p.reading = self.far.reading = True
        self.hear(self.far, self.say(p))
        self.far.drop()
        self.remove(s)
        self.remove(p)
        self.say(self.air, 2)
        self.until(lambda: self.far.here)
        self.d.attempt("json endpoints\nps\nget p/mode\npeers\n"
                       "reopen p\nsend e \\x00\nroutes")
        p = self.add(User(self.directory / "p"))
        self.hear(self.far, self.say(p))
        self.remove(p)
        self.d.write(self.text(section("udp", "v", listen="127.0.0.1:0",
                                       **SOONER)))
        self.d.attempt("reload")
        self.d.attempt("ask e hello\nask s hello 1ms")

    def judge(self):
        yield self.answers()
        yield self.up()
        p = self.add(User(self.directory / "p"))
        s = self.add(Caller("s", self.directory / "s"))
        yield self.flows(p, self.far)
        self.far.send(b"\0")
        yield self.flows(p, self.air)
        yield self.flows(self.air, p)
        yield self.flows(s, s)
        yield self.still()
        yield self.tidy()
        yield self.accounts("out", ["p"], ["out"])
        # While one link goes and another comes, both are counted.
        yield self.accounts("u", ["p"], ["air"],
                            links=1 + (self.fault.times if self.fault else 0))


class Far(Stream):
    """A TCP server of one connection at a time."""

    name = "far"

    def __init__(self):
        super().__init__()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.here = None

    def fileno(self):
        return (self.here or self.listener).fileno()

    def want(self):
        return super().want() if self.here else select.POLLIN

    def turn(self, events):
        if self.here is None:
            self.here = self.listener.accept()[0]
            self.here.setblocking(False)
            return True
        moved = super().turn(events)
        if self.eof:
            self.drop()
        return moved

    def send(self, data):
        return super().send(data) if self.here else self

    def drop(self):
        if self.here:
            self.here.close()
        self.here, self.eof = None, False
        self.outgoing.clear()

    def close(self):
        self.drop()
        self.listener.close()


class Air(Stream):
    """
    Sends and receives datagrams; the lines of a write are one each.  It has an address
    of its own: nobody else's datagrams get to a port that it has used.
    """

    name = "air"
    to = None
    numbers = itertools.count(2)

    def __init__(self):
        super().__init__()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        number = next(self.numbers)
        self.ip = f"127.{os.getpid() % 255}.{number // 254}.{number % 254 + 1}"
        self.sock.bind((self.ip, 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]

    def fileno(self):
        return self.sock.fileno()

    def send(self, data):
        try:
            self.sock.sendto(data.rstrip(), self.to)
        except OSError:     # nobody is there at the moment
            pass
        return self

    def close(self):
        self.sock.close()


class Bus(Story):
    """A Modbus bus that two masters share, one of them in ASCII."""

    def play(self):
        self.m, self.bus = self.pty("m"), self.pty("bus")
        m, bus = self.m, self.bus
        self.start(serial("m", m, framing="modbus-ascii", payload="inner") +
                   serial("bus", bus, framing="modbus-rtu", payload="inner",
                          idle="5ms") +
                   section("udp", "lost", send_to="127.0.0.1:9") +
                   route("shared", from_="m", to="bus", exchange="modbus",
                         answer_timeout="20ms") +
                   route("heard", from_="bus", to="lost",
                         latest="nmea"))
        self.begun(m, bus)
        for _ in range(3):
            self.asked()
        m.send(ASK * 3)
        self.until(lambda: bus.received.count(RTU_ASK) > 1, 0.2)
        bus.send(RTU_ANSWER)
        self.d.attempt("routes\nps\nlist routes\nwatch\nset bus/baud 1200")
        self.d.attempt("scan bus 1-2")
        bus.unplug()
        m.send(ASK)
        self.d.attempt("get bus/state")
        bus.plug()
        self.d.attempt("reload")

    def asked(self):
        """Whether a request is answered, which may have to wait for the bus."""
        m, bus = self.m, self.bus
        bus.take(), m.take()
        m.send(ASK)

        def answered():
            if RTU_ASK in bus.received:
                bus.take()
                bus.send(RTU_ANSWER)
            return ANSWER in m.received
        return self.until(answered, 0.6)

    def judge(self):
        yield self.answers()
        yield self.up()
        if not self.until(self.asked, SOON):
            yield f"no request is answered\n{self.d.attempt('ps')}" \
                f"{self.d.attempt('list routes')}"
        yield self.still()
        yield self.tidy()


ASK, ANSWER = b":010300000001FB\r\n", b":0103020007F3\r\n"
RTU_ASK = bytes.fromhex("010300000001840a")
RTU_ANSWER = bytes.fromhex("0103020007f986")


class Service(Story):
    """Under a service manager that listens for it and has a descriptor store."""

    def __init__(self, *args):
        super().__init__(*args)
        self.a, self.far = self.pty("a"), self.add(Far())

    def text(self, more=""):
        return (serial("a", self.a, framing="line") +
                section("pty", "p", link=self.directory / "p", framing="slip",
                        **SOONER) +
                tcp_server("lan", self.port, framing="line",
                           stall_timeout="1m", **SOONER) +
                section("unix-server", "s", listen=self.directory / "s",
                        framing="line", stall_timeout="1m", **SOONER) +
                section("tcp-client", "out", framing="cobs", keepalive="no",
                        connect=f"127.0.0.1:{self.far.port}", **SOONER) +
                route("r", between="a lan s") + route("far", between="a out") +
                route("p", from_="a", to="p") + more)

    def play(self):
        a, (lan, s) = self.a, self.begin()
        self.d.write(self.text(section("echo", "e")))
        self.d.signal(signal.SIGHUP)
        self.until(lambda: "reloaded" in self.d.stderr())
        self.until(lambda: "WATCHDOG=1" in self.manager.said, 0.05)
        self.d.attempt("ps")
        # What is queued goes over to the next one.
        lan.reading = s.reading = False
        line = self.say(a, 200, 300)
        a.send(b"half")
        self.until(lambda: not a.outgoing, 0.03)
        self.leave()
        lan.reading = s.reading = True
        self.run(self.text())       # the echo is wanted no more
        a.send(b" a line\n")
        self.hear(lan, line)
        self.until(lambda: b"half a line" in lan.received)
        self.remove(lan)
        self.remove(s)

    def begin(self):
        """It runs, and has two clients."""
        self.manager = self.add(Manager(self.directory))
        self.port = self.manager.listen("lan", ("127.0.0.1", 0))
        self.manager.listen("ttybridge.socket",
                            str(self.directory / "daemon.sock"))
        a = self.a
        self.run(self.text())
        self.until(lambda: a.opened() and (self.directory / "s").exists())
        lan = self.client(("127.0.0.1", self.port))
        s = self.client(self.directory / "s")
        self.hear(lan, self.say(a, 3))
        self.hear(s, self.say(lan))
        self.hear(a, self.say(s))
        return lan, s

    def run(self, text):
        self.start(text, sockets=self.manager.sockets(), env={
            "NOTIFY_SOCKET": self.manager.path, "FDSTORE": "40",
            "LISTEN_FDS": len(self.manager.sockets()),
            "LISTEN_FDNAMES": ":".join(self.manager.names()),
            "WATCHDOG_USEC": 40000})
        self.until(lambda: self.d.attempt("version", 0.1))

    def leave(self):
        self.d.check()
        self.d.signal(signal.SIGTERM)
        try:
            self.until(lambda: False, SOON)
            raise AssertionError("it does not end")
        except Ended:
            if self.d.process.returncode != 0:
                raise

    def judge(self):
        yield self.answers()
        yield self.up()
        a = self.a
        lan = self.add(Caller("lan", ("127.0.0.1", self.port)))
        a.send(b"\n")
        yield self.flows(lan, a)
        yield self.flows(a, lan)
        yield self.flows(a, self.far)
        yield self.still()
        yield self.tidy()
        yield self.accounts("out", ["a"])


class Manager(Stream):
    """
    As a service manager: sockets that it listens on, a descriptor store, and a socket
    that it is notified on, served by a thread as the daemon waits for it.
    """

    name = "manager"

    def __init__(self, directory):
        super().__init__()
        self.path = str(directory / "notify")
        self.said, self.kept, self.listeners = "", [], []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def listen(self, name, address):
        family = socket.AF_UNIX if isinstance(address, str) else \
            socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.bind(address)
        sock.listen(16)
        bound = sock.getsockname()
        self.listeners.append((name, high(sock.detach())))
        return bound[1] if family == socket.AF_INET else bound

    def all(self):
        with self.lock:
            return self.listeners + self.kept

    def sockets(self):
        return [fd for _, fd in self.all()]

    def names(self):
        return [name for name, _ in self.all()]

    def serve(self):
        while True:
            data, fds, *_ = socket.recv_fds(self.sock, 65536, 16)
            if data == b"end":
                return
            with self.lock:
                self.take(data.decode(), fds)

    def take(self, text, fds):
        self.said += text + "\n"
        words = dict(line.split("=", 1) for line in text.splitlines())
        name = words.get("FDNAME")
        if "FDSTORE" in words:
            self.kept += [(name, high(fd)) for fd in fds]
            return
        for fd in fds:          # of a barrier, who waits until it is closed
            os.close(fd)
        if "FDSTOREREMOVE" in words:
            for entry in [e for e in self.kept if e[0] == name]:
                os.close(entry[1])
                self.kept.remove(entry)

    def want(self):
        return 0

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            s.send(b"end")
        self.thread.join()
        for fd in self.sockets():
            os.close(fd)
        self.sock.close()


def high(fd):
    """The descriptor, out of the way of those that a program begins with."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 300)
    os.close(fd)
    return moved


class Changes(Story):
    """One configuration after the other, good and bad ones."""

    taken = None

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.other = free_port()
        self.start(self.texts()[0])
        self.begun(a, b)
        self.hear(b, self.say(a))
        for text in self.texts()[1:]:
            self.d.check()
            seen = self.reloads()
            self.d.write(text)
            self.d.signal(signal.SIGHUP)
            self.until(lambda: self.reloads() > seen)
            self.hear(b, self.say(a), 0.05)
        self.d.signal(signal.SIGUSR1)
        self.d.write(self.texts()[0])
        for _ in range(2):
            self.d.attempt("reload")

    def busy(self):
        """A port that somebody else listens on."""
        if not self.taken:
            self.taken = self.add(Far())
        return self.taken.port

    def reloads(self):
        return len(re.findall("reloaded:|nothing was changed",
                              self.d.stderr()))

    def texts(self):
        a = serial("a", self.a, framing="line")
        b = serial("b", self.b, framing="line")
        net = section("control", "net", listen=f"127.0.0.1:{self.other}",
                      allow="10.0.0.0/8 ::1/128")
        return [
            a + b,
            a + b + tcp_server("lan", self.port, allow="192.168.0.0/16") + net,
            "[serial\nbuad = 9600\nno sense\n[serial a]\n[nothing b]\n",
            serial("a", self.a, framing="cobs", queue="4K", label="new") +
            serial("b", self.b, framing="slip", checksum="crc32",
                   frame_timeout="50ms", overflow="drop-oldest") + net +
            "[daemon]\nlog_level = debug\ndrain_timeout = 100ms\n"
            f"name = other\nstate_dir = {self.directory}\n",
            # More devices than there are, and a socket that is in use.
            a + b + serial("c", self.directory / "nowhere") + serial(
                "d", "/dev/null") + tcp_server("taken", self.busy()),
            a + b + section("serial", "u", usb="1234:5678:serial") +
            section("unix-server", "s", listen=self.directory / "s", mode="0600",
                    group="nogroup") +
            section("pty", "p", link=self.directory / "p", mode="0600",
                    group="nogroup") +
            route("r", between="a b", match="^0", match_hex="30 30",
                  match_nmea="GP* !GPGSV", rate="10/s") +
            route("m", from_="a b", to="s p", match_mavlink="0,30-33",
                  match_unit="1-5,9", latest="mavlink"),
            b + a + route("r", between="a b"),
            b + section("echo", "e"),
        ]

    def judge(self):
        yield self.answers()
        yield self.up()
        self.d.write(self.texts()[0])
        if not self.until(lambda: "OK" in (self.d.attempt("reload") or ""),
                          SOON):
            yield f"it does not reload: {self.d.attempt('reload')}"
        yield self.up()
        yield self.flows(self.a, self.b)
        yield self.flows(self.b, self.a)
        yield self.still()
        yield self.tidy()


class Control(Story):
    """Many who ask, and who do not read what they asked for."""

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.start(serial("a", a, framing="line") +
                   serial("b", b, framing="line") +
                   tcp_server("lan", 0) +
                   section("control", "net", max_clients=2,
                           listen=f"127.0.0.1:{self.port}"))
        self.begun(a, b)
        self.d.attempt("\n".join(["help", "help where", "version", "ps",
                                  "endpoints", "routes", "peers", "list"]))
        self.d.attempt("\n".join("json " + c for c in (
            "help", "ps", "endpoints", "routes", "peers", "list a", "version",
            "where a.read", "get a/baud", "nonsense")))
        self.d.attempt("\n".join(self.sets()))
        net = [self.client(("127.0.0.1", self.port)) for _ in range(3)]
        for n in net:
            n.send(b"set a/baud 1200\nps\n")
        self.until(lambda: all(b"OK\n" in n.received or n.eof for n in net))
        # Nobody reads what was asked for.
        deaf = self.client(self.d.socket)
        deaf.reading = False
        deaf.send(b"list\nwatch\n")
        big = self.client(self.d.socket)
        big.send(b"list\n" * 20 + b"x" * 5000 + b"\nversion\n\0\n")
        self.hear(b, self.say(a, 50, 1000), 0.3)
        self.until(lambda: b"ERR" in big.received, 0.3)
        self.d.attempt("break a 1ms\ncancel a.read\nwhere\nreload now\nsend b\n"
                       "send a hello\n" +
                       "\n".join(f"cancel net.client#{n}.read"
                                 for n in range(1, 40)))
        self.hear(a, b"hello")
        for stream in (*net, deaf, big):
            self.remove(stream)

    def sets(self):
        return ["set a/queue 32K", "set a/label here", "set a/overflow "
                "drop-newest", "set a/stall_timeout 1s", "set a/baud 19200",
                "set a/dtr on", "set a/rts off", "set a/mode 7E1",
                "set a/mode 8N1", "set a/flow xonxoff", "set a/flow none",
                "set a/max_frame 100", "set a/max_frame 4096",
                "set a/overflow block", "set log_level debug",
                "set a/low_latency yes", "set a/hangup_on_close no",
                "set a/frame_timeout 1s", "set a/nope 1", "set a/baud fast",
                "pause a", "resume a", "set a/reopen_min 20ms"]

    def judge(self):
        yield self.answers()
        yield self.up()
        yield self.flows(self.a, self.b)
        yield self.flows(self.b, self.a)
        yield self.still()
        yield self.tidy()
        yield self.accounts("b", ["a"])


class Capture(Story):
    """Frames go to a file as well."""

    def play(self):
        self.a, self.b = self.pty("a"), self.pty("b")
        a, b = self.a, self.b
        self.start(section("daemon", "", state_dir=self.directory) +
                   serial("a", a, framing="line") + serial("b", b, framing="line"))
        self.begun(a, b)
        self.d.attempt("capture status\ncapture start x.pcap a b\nps")
        self.hear(b, self.say(a, 30, 1000), 0.3)
        self.d.attempt("capture start y.pcap\ncapture status\nwhere capture.write")
        self.d.attempt("capture stop\ncapture start x.pcap")
        self.hear(b, self.say(a), 0.3)
        self.d.attempt("cancel capture.write\ncapture start x.pcap nobody")
        # A thread writes what is left of it.
        self.until(lambda: re.search("^capture: (none|ended)", self.d.attempt("capture status")
                                     or "", re.M), SOON)
        self.d.attempt("capture start x.pcap b")

    def judge(self):
        yield self.answers()
        yield self.up()
        yield self.flows(self.a, self.b)
        yield self.flows(self.b, self.a)
        (self.directory / "x.pcap").unlink(missing_ok=True)
        yield self.still()
        yield self.tidy()
        yield self.accounts("b", ["a"])


class Stop(Story):
    """It is told to end while queues are full, and again while it drains them."""

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.manager = self.add(Manager(self.directory))
        self.start(serial("a", a, framing="line", queue="8K") +
                   serial("b", b, framing="cobs", queue="8K") +
                   tcp_server("lan", self.port, framing="slip") +
                   section("unix-server", "s", listen=self.directory / "s") +
                   section("pty", "p", link=self.directory / "p") +
                   section("udp", "u", send_to=f"127.0.0.1:{free_port()}") +
                   section("daemon", "", drain_timeout="5s"),
                   env={"NOTIFY_SOCKET": self.manager.path,
                        "WATCHDOG_USEC": 40000})
        self.begun(a, b)
        lan = self.client(("127.0.0.1", self.port))
        s = self.client(self.directory / "s")
        self.hear(lan, self.say(a))
        lan.reading = s.reading = b.reading = False
        self.last = self.say(a, 400, 300)
        self.until(lambda: not a.outgoing, 0.1)
        self.watch = self.client(self.d.socket)
        self.watch.send(b"watch\n")

    def judge(self):
        yield self.answers()
        yield self.still()

    def end(self):
        self.d.check()
        self.d.signal(signal.SIGTERM)
        try:
            self.until(lambda: "stopping" in self.d.stderr())
            self.d.attempt("ps\nreload")
            self.d.signal(signal.SIGUSR2)   # too late
            self.b.reading = True
            self.until(lambda: False, 0.1)
            self.d.signal(signal.SIGINT)
        except Ended:
            pass
        left = [n for n in ("daemon.sock", "s", "p")
                if os.path.lexists(self.directory / n)]
        wrong = self.ends()
        left = [n for n in left if os.path.lexists(self.directory / n)]
        return wrong or (left and self.fault is None and
                         f"it leaves {left} behind") or None


class Ports(Story):
    """Serial ports as the hardware has them, with all that their drivers can do."""

    def text(self, more=""):
        return (serial("a", self.a, framing="line", dtr="off", rs485="yes",
                       rs485_delay_before="1ms") +
                serial("b", self.b, framing="line", low_latency="yes",
                       flow="xonxoff", hangup_on_close="yes", rts="on") + more)

    def play(self):
        uarts = Uarts(self.directory / "lines")
        self.a, self.b = self.pty("a"), self.pty("b")
        a, b = self.a, self.b
        # Only what is about the ports: the rest fails in other stories.
        self.start(self.text(), env={"FAULT_UART": uarts.env["FAULT_UART"]})
        self.begun(a, b)
        self.hear(b, self.say(a))
        self.d.attempt("break a 2ms\nset a/dtr on\nset b/rts off\n"
                       "set a/rs485_delay_after 2ms\nset b/low_latency no\n"
                       "set b/low_latency yes\nset a/mode 7E1\nset a/baud 50\n"
                       "set a/baud 19200\nlist a")
        line = uarts.line(a)
        line.unsent = 100
        self.d.attempt("reopen a\nps\ncancel a.drain\nbreak b 10s\nbreak b")
        line.unsent = 0
        self.d.attempt("reopen b")
        self.until(lambda: "up\nOK\nup\n" in (
            self.d.attempt("get a/state\nget b/state") or ""))
        self.hear(b, self.say(a))
        before = self.d.stderr().count(" endpoints up")
        self.d.check()
        self.d.signal(signal.SIGUSR2)
        self.until(lambda: self.d.stderr().count(" endpoints up") > before or
                   "goes on" in self.d.stderr())
        b.unplug()
        self.until(lambda: "lost" in (self.d.attempt("get b/state") or ""))
        b.plug()
        self.until(b.opened)

    def judge(self):
        yield self.answers()
        yield self.up()
        yield self.flows(self.a, self.b)
        yield self.flows(self.b, self.a)
        yield self.still()
        yield self.tidy()
        yield self.accounts("b", ["a"])


class Words(Story):
    """Runs that end by themselves, and one without a file."""

    def play(self):
        good = self.directory / "good.conf"
        bad = self.directory / "bad.conf"
        good.write_text(section("pty", "a", framing="delimiter",
                                delimiter="\\x03") +
                        section("udp", "b", listen="*:1", allow="::/0") +
                        route("r", between="a b", match="x|y"))
        bad.write_text("[serial x]\nbuad = 1\ndevice = /dev/x\n[serial x]\n"
                       "[route r]\nfrom = q\nmatch = (\n[pty\n=\n")
        for argv, allowed in ((["--check", "-c", good], (0, 1, 2)),
                              (["--check", "-c", bad], (2, 1)),
                              (["--list-ports", "--json"], (0, 1)),
                              (["--list-framings"], (0, 1)),
                              (["serial:/dev/null,buad=1", "x"], (2, 1))):
            self.start("", argv=[str(a) for a in argv])
            wrong = self.ends(*allowed)
            text = self.d.stderr()
            if not wrong and self.d.process.returncode and \
                    len(text.strip()) < 10:
                wrong = f"status {self.d.process.returncode} without a word"
            if wrong:
                raise AssertionError(f"{argv}: {wrong}")
            self.d.errors.unlink()
        self.start("", argv=[
            f"pty:{self.directory}/x,framing=line,reopen_min=9ms,reopen_max=99ms",
            f"pty:{self.directory}/y,framing=line,reopen_min=9ms,reopen_max=99ms",
            f"control:unix:{self.directory}/daemon.sock"])
        self.until(lambda: self.d.socket.exists() and
                   os.path.lexists(self.directory / "x") and
                   os.path.lexists(self.directory / "y"))

    def judge(self):
        yield self.answers()
        yield self.up()
        x = self.add(User(self.directory / "x"))
        y = self.add(User(self.directory / "y"))
        yield self.flows(x, y)
        yield self.flows(y, x)
        yield self.still()
        yield self.tidy()


STORIES = {"devices": Devices, "restart": Restart, "network": Network,
           "bus": Bus, "service": Service, "changes": Changes,
           "control": Control, "capture": Capture, "stop": Stop, "ports": Ports,
           "words": Words}
