"""
Every call to the system and for memory fails once.

tests/fault/fault.c is preloaded into the daemon.  A story (devices, clients, control
commands, an unplugged device, a reload, a stop) is played once to learn from where
which functions are called: the sites.  Then it is played again for each site, whose
first call fails.  Whatever fails, the daemon

    - ends at the start, with a sentence and exit status 1 or 2, or
    - lives: it answers, its endpoints come back, frames pass, each is accounted for,
      it does not spin, and it ends when it is told to, without a leak.

TTYBRIDGE_FAULTS=N plays N sites of each function, and a tenth of the others, of each
story (default 8); "all" plays each site with each of the errors of its function.  One
alone, as a failure names it:

    tests/e2e/test_faults.py STORY FUNCTION CALL ERROR
"""
import errno
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import harness
from harness import (BINARY, BROKEN, FAULTS, PATIENCE, Client, Daemon, Pty,
                     Slave, Stream, free_port, move, route, section, serial,
                     tcp_server)

HOW_MANY = os.environ.get("TTYBRIDGE_FAULTS", "8")
WORKERS = 4
SHORT, END = -1, -2
# How long a step of a story may take before it goes on all the same: the fault may
# have taken what it waits for.
STEP = 0.7
# What is to happen in spite of all.
SOON = max(8.0, PATIENCE / 2)

ERRORS = {
    "read": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, END),
    "readv": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, END,
              errno.ECONNRESET),
    "write": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, errno.ENOSPC),
    "writev": (errno.EIO, errno.EINTR, errno.EAGAIN, SHORT, errno.EPIPE),
    "pread": (errno.EIO, SHORT, END),
    "pwrite": (errno.ENOSPC, SHORT),
    "send": (errno.EPIPE, errno.EINTR, errno.EAGAIN, SHORT, errno.ENOBUFS),
    "sendto": (errno.ENETUNREACH, errno.EINTR, errno.EAGAIN, errno.ENOBUFS),
    "sendmsg": (errno.EPIPE, errno.EAGAIN, errno.ENOBUFS),
    "recv": (errno.ECONNRESET, errno.EINTR, errno.EAGAIN, END),
    "recvfrom": (errno.ECONNREFUSED, errno.EINTR, errno.EAGAIN),
    "recvmsg": (errno.EINTR, errno.EAGAIN, errno.EIO),
    "open": (errno.EMFILE, errno.ENOENT, errno.EACCES, errno.EINTR,
             errno.ENOMEM, errno.EBUSY),
    "openat": (errno.EMFILE, errno.ENOSPC),
    "fopen": (errno.EMFILE, errno.EACCES),
    "opendir": (errno.EMFILE, errno.ENOENT),
    "accept": (errno.EMFILE, errno.ECONNABORTED, errno.EINTR, errno.EAGAIN),
    "accept4": (errno.EMFILE, errno.ECONNABORTED, errno.EINTR, errno.EAGAIN,
                errno.ENOMEM),
    "socket": (errno.EMFILE, errno.ENOBUFS, errno.EAFNOSUPPORT),
    "bind": (errno.EADDRINUSE, errno.EACCES),
    "listen": (errno.EADDRINUSE,),
    "connect": (errno.ECONNREFUSED, errno.EINTR, errno.ENETUNREACH),
    "ioctl": (errno.EIO, errno.EINTR, errno.ENOTTY, errno.EINVAL),
    "fcntl": (errno.EINVAL, errno.EMFILE),
    "tcgetattr": (errno.EIO, errno.EINTR),
    "tcsetattr": (errno.EIO, errno.EINTR),
    "posix_openpt": (errno.ENOSPC, errno.EMFILE),
    "flock": (errno.EWOULDBLOCK, errno.EINTR, errno.ENOLCK),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "epoll_wait": (errno.EINTR,),
    "poll": (errno.EINTR, errno.ENOMEM),
    "inotify_init1": (errno.EMFILE,),
    "inotify_add_watch": (errno.ENOSPC, errno.EACCES),
    "malloc": (errno.ENOMEM,),
    "calloc": (errno.ENOMEM,),
    "realloc": (errno.ENOMEM,),
    "mmap": (errno.ENOMEM,),
    "memfd_create": (errno.EMFILE,),
}
OTHER_ERRORS = (errno.EIO, errno.ENOMEM)
# What is not ours, by a function on the way and what is said: regcomp() of glibc 2.36
# without memory frees twice, or not at all.
KNOWN = (("route_regex", "double free"), ("route_regex", "double-free"),
         ("route_regex", "LeakSanitizer"))


class Fault:
    """A call that is to fail."""

    def __init__(self, function, call, error, times=1):
        self.function, self.call = function, call
        self.error, self.times = int(error), int(times)

    def __str__(self):
        return f"{self.function} {self.call} {self.error} {self.times}"

    def named(self):
        name = {SHORT: "short", END: "end of input"}.get(self.error) or \
            errno.errorcode[self.error]
        return f"{self} ({name})"


class Ended(Exception):
    """The daemon is gone."""


class Victim(Daemon):
    """A daemon in which a call fails: nothing that it is asked has to work."""

    def __init__(self, folder, conf, fault=None):
        self.folder = Path(folder)
        self.file = self.folder / "daemon.conf"
        self.socket = self.folder / "daemon.sock"
        self.errors = self.folder / "daemon.stderr"
        self.log = self.folder / "fault.log"
        self.control_section = section("control", "unix",
                                       listen=f"unix:{self.socket}")
        self.write(conf)
        env = {**os.environ, **harness.SANITIZERS, "LD_PRELOAD": str(FAULTS),
               "FAULT_LOG": str(self.log)}
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        if fault is not None:
            env["FAULT"] = str(fault)
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [BINARY, "-c", str(self.file)], stdin=subprocess.DEVNULL,
                stdout=errors, stderr=errors, env=env)
        self.pid = self.process.pid
        self.stopped = False

    def happened(self):
        """Whether the call failed, and where it was."""
        for line in self.log.read_text().splitlines() if \
                self.log.exists() else ():
            if line.startswith("failed"):
                return line
        return None

    def check(self):
        if self.process.poll() is not None:
            raise Ended

    def cpu_ns(self):
        with open(f"/proc/{self.pid}/schedstat") as f:
            return int(f.read().split()[0])

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


class Caller(Stream):
    """A client that comes again when it was turned away."""

    def __init__(self, name, address):
        super().__init__()
        self.name, self.address, self.client = name, address, None

    def fileno(self):
        return self.client.fileno()

    def want(self):
        return super().want() if self.client else 0

    def turn(self, events):
        moved = super().turn(events)
        if self.eof:
            self.close()
        return moved

    def send(self, data):
        try:
            self.client = self.client or Client(self.address)
        except OSError:
            return self
        return super().send(data)

    def close(self):
        if self.client:
            self.client.close()
        self.client, self.eof = None, False
        self.outgoing.clear()


class Story:
    """What is done with a daemon; goes on whatever does not work."""

    def __init__(self, folder, fault=None):
        self.folder = Path(folder)
        self.fault = fault
        self.streams = []
        self.said = 0
        self.d = None

    def start(self, conf):
        self.conf = conf
        self.d = Victim(self.folder, conf, self.fault)

    def add(self, stream):
        self.streams.append(stream)
        return stream

    def remove(self, stream):
        self.streams.remove(stream)
        stream.close()

    def pty(self, name):
        return self.add(Pty(self.folder / name))

    def until(self, condition, timeout=STEP):
        """Moves bytes until it holds; whether it does in time."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.d.check()
            if time.monotonic() > deadline:
                return False
            self.turn()
        return True

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

    def accounts(self, to, sources, filters=(), links=1):
        """Frames in = out + queued + dropped, of those that filters passed."""
        paths = [f"{s}/rx_frames" for s in sources] + [
            f"{to}/{what}" for what in ("tx_frames", "queued_frames",
                                        "dropped")] + [
            f"routes/{f}/rejected" for f in filters]
        for _ in range(2):      # once it may be what fails
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
                tcp_server("lan", self.port, framing="line", reopen_min="20ms",
                           reopen_max="100ms") +
                route("r", between="a b") + route("in", from_="lan", to="a b") +
                route("out", from_="a b", to="lan"))

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.start(self.text())
        self.until(lambda: self.d.socket.exists() and a.opened() and
                   b.opened())
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
                     section("pty", "p", link=self.folder / "p"))
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
        yield self.accounts("a", ["b", "lan"])
        yield self.accounts("b", ["a", "lan"])


class Restart(Devices):
    """SIGUSR2, with half a frame here, frames that wait there and a client."""

    def play(self):
        self.a, self.b, self.port = self.pty("a"), self.pty("b"), free_port()
        a, b = self.a, self.b
        self.start(self.text())
        self.until(lambda: self.d.socket.exists() and a.opened() and
                   b.opened())
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
                section("pty", "p", link=self.folder / "p", framing="line",
                        reopen_min="20ms", reopen_max="100ms") +
                section("tcp-client", "out", framing="cobs",
                        connect=f"localhost:{self.far.port}",
                        reopen_min="20ms", reopen_max="100ms") +
                section("udp", "u", listen=f"127.0.0.1:{self.port}",
                        send_to=f"127.0.0.1:{self.air.port}",
                        reopen_min="20ms", reopen_max="100ms") +
                section("unix-server", "s", listen=self.folder / "s",
                        framing="line", max_clients=1, mode="0600",
                        reopen_min="20ms", reopen_max="100ms") +
                section("echo", "e", reopen_min="20ms", reopen_max="100ms") +
                route("out", between="p out", reject="^never") +
                route("air", from_="p", to="u", match="[0-9]") +
                route("in", from_="u", to="p", rate="1000/s") +
                route("wall", between="s e") + more)

    def play(self):
        self.far, self.air = self.add(Far()), self.add(Air())
        self.port = free_port()
        self.start(self.text())
        self.until(lambda: (self.folder / "p").exists() and
                   (self.folder / "s").exists() and self.d.socket.exists())
        self.air.to = ("127.0.0.1", self.port)
        p = self.user()
        self.until(lambda: self.far.here)
        self.hear(self.far, self.say(p, 3))
        self.far.send(b"\x09from far\0")
        self.until(lambda: b"from far" in p.received)
        self.hear(p, self.say(self.air, 2))
        s = self.client(self.folder / "s")
        self.hear(s, self.say(s, 3, 1000))
        other = self.client(self.folder / "s")      # one too many
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
        p = self.user()
        self.hear(self.far, self.say(p))
        self.remove(p)
        self.d.write(self.text(section("udp", "v", listen="127.0.0.1:0")))
        self.d.attempt("reload")
        self.d.attempt("ask e hello\nask out hello 1ms")

    def user(self):
        try:
            return self.add(Slave(self.folder / "p"))
        except OSError:
            return self.add(Nobody())

    def judge(self):
        yield self.answers()
        yield self.up()
        p, s = self.user(), self.add(Caller("s", self.folder / "s"))
        yield self.flows(p, self.far)
        self.far.send(b"\0")
        yield self.flows(p, self.air)
        yield self.flows(self.air, p)
        yield self.flows(s, s)
        yield self.still()
        yield self.accounts("out", ["p"], ["out"])
        # While one link goes and another comes, both are counted.
        yield self.accounts("u", ["p"], ["air"], links=2)


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
    """Sends and receives datagrams; the lines of a write are one each."""

    name = "air"
    to = None

    def __init__(self):
        super().__init__()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
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
        self.until(lambda: self.d.socket.exists() and m.opened() and
                   bus.opened())
        for _ in range(3):
            self.asked()
        m.send(ASK * 3)
        self.until(lambda: bus.received.count(RTU_ASK) > 1, 0.2)
        bus.send(RTU_ANSWER)
        self.d.attempt("routes\nps\nlist routes\nwatch\nset bus/baud 1200")
        bus.unplug()
        m.send(ASK)
        self.d.attempt("get bus/state")
        bus.plug()
        self.d.attempt("reload")

    def asked(self):
        """Whether a request is answered."""
        m, bus = self.m, self.bus
        bus.take(), m.take()
        m.send(ASK)
        self.until(lambda: RTU_ASK in bus.received, 0.3)
        if RTU_ASK in bus.received:
            bus.send(RTU_ANSWER)
        return self.until(lambda: ANSWER in m.received, 0.3)

    def judge(self):
        yield self.answers()
        yield self.up()
        if not self.until(self.asked, SOON):
            yield f"no request is answered\n{self.d.attempt('ps')}" \
                f"{self.d.attempt('list routes')}"
        yield self.still()


ASK, ANSWER = b":010300000001FB\r\n", b":0103020007F3\r\n"
RTU_ASK = bytes.fromhex("010300000001840a")
RTU_ANSWER = bytes.fromhex("0103020007f986")

STORIES = {"devices": Devices, "restart": Restart, "network": Network,
           "bus": Bus}


# --- playing them ------------------------------------------------------------

def end(story):
    """It ends when it is told to, and well."""
    d = story.d
    d.check()
    d.signal(signal.SIGTERM)
    try:
        status = d.process.wait(SOON)
    except subprocess.TimeoutExpired:
        return "it does not end"
    if status not in (0, 1):
        return f"exit status {status} at its end"
    return None


def ended(d):
    """It could not run: it must have said why."""
    status, text = d.process.returncode, d.stderr()
    if status in (1, 2) and len(text.strip()) > 10:
        return None
    return f"exit status {status}, and it said {text!r}"


def play(kind, fault=None):
    """Whether the call failed, and what is wrong with the daemon, or None."""
    with tempfile.TemporaryDirectory(prefix="ttyfault") as folder:
        story = STORIES[kind](folder, fault)
        wrong = None
        try:
            story.play()
            wrong = next(filter(None, story.judge()), None) or end(story)
        except Ended:
            wrong = ended(story.d)
        except Exception as e:      # the others are to be tried all the same
            wrong = f"the story broke off: {e!r}"
        finally:
            story.close()
        d = story.d
        if BROKEN.search(d.stderr()):
            wrong = "the sanitizer has found something"
        happened = d.happened()
        if wrong is not None and happened and any(
                function in readable(happened) and text in d.stderr()
                for function, text in KNOWN):
            wrong = None
        if fault is None:
            happened = d.log.read_text()
        if wrong is not None:
            wrong += f"\n--- standard error\n{d.stderr()[-6000:]}"
    return happened, wrong


def readable(stack):
    """The frames of a logged stack, with lines where they are the daemon's."""
    frames = stack.split()[4:]
    own = [f.split("+")[1] for f in frames if f.startswith("ttybridged+")]
    try:
        # A return address: the call is before it.
        done = subprocess.run(
            ["addr2line", "-sfpe", BINARY,
             *(hex(int(a, 16) - 1) for a in own)],
            stdout=subprocess.PIPE, text=True, check=True)
        names = iter(done.stdout.splitlines())
    except (OSError, subprocess.CalledProcessError):
        names = iter(own)
    return "\n".join("    " + (next(names, f) if f.startswith("ttybridged+")
                               else f) for f in frames)


def sites(log):
    """Function -> the sites that are in a log, each with its line."""
    found = {}
    for line in log.splitlines():
        what, function, *rest = line.split()
        if what == "site":
            found.setdefault(function, {})[rest[1]] = line
    return found


def plan(log):
    """The faults to be tried."""
    for function, lines in sorted(sites(log).items()):
        places = list(lines)
        errors = ERRORS.get(function, OTHER_ERRORS)
        if HOW_MANY == "all":
            yield from (Fault(function, f"@{site}", e)
                        for site in places for e in errors)
            continue
        n = min(int(HOW_MANY) + len(places) // 10, len(places))
        for i in range(n):
            site = places[i * len(places) // n]
            yield Fault(function, f"@{site}", errors[i % len(errors)])


def try_fault(kind, fault):
    happened, wrong = play(kind, fault)
    if wrong is None:
        return happened, None
    where = readable(happened) if happened else "    it did not happen"
    return happened, f"{kind} {fault.named()}\n{where}\n  {wrong}"


def check_library():
    assert FAULTS.exists(), f"{FAULTS} is not there: make faults"


@pytest.mark.parametrize("kind", STORIES)
def test_whatever_fails_once_the_daemon_survives_or_says_why(kind):
    check_library()
    log, wrong = play(kind)
    assert wrong is None, wrong
    faults = list(plan(log))
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(lambda f: try_fault(kind, f), faults))
    bad = [wrong for _, wrong in results if wrong is not None]
    happened = sum(1 for h, _ in results if h)
    print(f"{kind}: {len(faults)} faults, {happened} happened, "
          f"{len(bad)} found the daemon wanting")
    assert not bad, "\n\n".join(bad)
    assert happened > 0.8 * len(faults)


def main(kind, *words):
    check_library()
    fault = Fault(*words) if words else None
    start = time.monotonic()
    happened, wrong = play(kind, fault)
    print(readable(happened) if fault and happened else happened)
    print(wrong or "well", f"in {time.monotonic() - start:.2f}s")
    return wrong is not None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
