"""
What the end-to-end tests stand on: pseudo-terminals that can be unplugged, sockets,
and a daemon under test.

Nothing here sleeps for a fixed time: every wait is a poll for a condition with a
deadline (wait_for, pump).  A test says what goes in (send), turns the crank until
what it wants has come (pump, expect), and compares bytes (same).

    a, b = Pty(directory / "a"), Pty(directory / "b")
    with Daemon(directory, serial("a", a, framing="line")
                      + serial("b", b, framing="cobs")) as d:
        a.send(b"hi\\n")
        expect(b, b"\\x03hi\\x00", [a])
        assert d.number("b/tx_frames") == 1
"""
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

import pytest

LIBC = ctypes.CDLL(None)
ROOT = Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("TTYBRIDGED", str(ROOT / "build/san/ttybridged")))
FAULTS = Path(os.environ.get("FAULTS", str(ROOT / "build/fault.so")))
# The user nobody.
NOBODY = 65534
PATIENCE = float(os.environ.get("TTYBRIDGE_PATIENCE", "20"))
BROKEN = re.compile(r"ERROR: (Address|Leak|Undefined)\w*Sanitizer|runtime error:"
                    r"|SUMMARY: \w+Sanitizer|Assertion .* failed")
SANITIZERS = {
    # A small quarantine, so that the resident size says something.
    "ASAN_OPTIONS": "abort_on_error=0:quarantine_size_mb=4:"
                    "thread_local_quarantine_size_kb=64:"
                    "allocator_may_return_null=1:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Timeout(AssertionError):
    """A deadline passed before the condition held."""


class ControlError(Exception):
    """The daemon answered ERR; .lines is the whole reply."""

    def __init__(self, message, lines):
        super().__init__(message)
        self.lines = lines


def wait_for(condition, timeout=None, what="the condition"):
    """Polls until condition() is true; returns what it returned."""
    deadline = time.monotonic() + (timeout or PATIENCE)
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"waited {timeout or PATIENCE:g}s for {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def same(got, want):
    """Compares bytes; says where they differ, not megabytes of both."""
    got, want = bytes(got), bytes(want)
    if got == want:
        return
    at = next((i for i, (x, y) in enumerate(zip(got, want)) if x != y),
              min(len(got), len(want)))
    around = slice(max(0, at - 40), at + 40)
    raise AssertionError(
        f"bytes differ at {at} (got {len(got)}, want {len(want)} bytes)\n"
        f"  got  {got[around]!r}\n  want {want[around]!r}")


class Stream:
    """A descriptor with what is to be written to it and what was read."""

    name = "?"
    reading = True          # False: lets what comes in lie

    def __init__(self):
        self.outgoing = bytearray()
        self.received = bytearray()
        self.written = 0
        self.eof = False

    def send(self, data):
        """Writes what can be written at once; pump() writes the rest."""
        self.outgoing += data
        while self.outgoing and self._write():
            pass
        return self

    def take(self):
        """What was received so far; forgets it."""
        data = bytes(self.received)
        self.received.clear()
        return data

    def lines(self):
        """The whole lines received so far."""
        return bytes(self.received).split(b"\n")[:-1]

    def want(self):
        events = select.POLLIN if self.reading and not self.eof else 0
        return events | (select.POLLOUT if self.outgoing else 0)

    def turn(self, events):
        """Reads and writes what is possible; whether anything moved."""
        moved = False
        if self.reading and events & (select.POLLIN | select.POLLHUP |
                                      select.POLLERR):
            moved = self._read() or moved
        if self.outgoing and events & select.POLLOUT:
            moved = self._write() or moved
        return moved

    def _read(self):
        try:
            data = os.read(self.fileno(), 65536)
        except BlockingIOError:
            return False
        except OSError as e:
            return self._failed(e)
        if not data:
            self.eof = True
        self.received += data
        return True

    def _write(self):
        try:
            n = os.write(self.fileno(), self.outgoing[:65536])
        except BlockingIOError:
            return False
        except OSError as e:
            return self._failed(e)
        del self.outgoing[:n]
        self.written += n
        return n > 0

    def _failed(self, error):
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            self.eof = True
            self.outgoing.clear()
            return True
        raise error


class Pty(Stream):
    """
    A serial device as the daemon sees it: link is a symlink to the slave; the test
    holds the master.  unplug() takes the device away, plug() brings another one.
    """

    def __init__(self, link):
        super().__init__()
        self.link = Path(link)
        self.name = self.link.name
        self.master = -1
        self.plug()

    def fileno(self):
        return self.master

    def plug(self):
        assert self.master < 0
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.slave_name = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.master, False)
        os.set_inheritable(self.master, False)
        self.outgoing.clear()
        os.symlink(self.slave_name, self.link)
        return self

    def unplug(self):
        self.link.unlink()
        self.take_away()

    def hang_up(self):
        """
        The other side is closed, the name stays for the moment.  It names no number
        any more, as that may be a stranger's next.
        """
        gone = self.link.with_name(self.link.name + ".gone")
        os.symlink("/dev/pts/no-such", gone)
        os.rename(gone, self.link)
        self.take_away()

    def take_away(self):
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def close(self):
        """The name goes first."""
        if self.link.is_symlink():
            self.link.unlink()
        self.take_away()

    def opened(self):
        """Whether somebody has the slave open."""
        poll = select.poll()
        poll.register(self.master, 0)
        return not any(ev & select.POLLHUP for _, ev in poll.poll(0))

    def termios(self):
        """The slave's settings, as the kernel tells them to the master."""
        return termios.tcgetattr(self.master)

    def speed(self):
        """The slave's input and output speed in baud, odd ones too (TCGETS2)."""
        raw = fcntl.ioctl(self.master, 0x802C542A, bytes(44))
        return struct.unpack("4IB19sII", raw)[-2:]

    def want(self):
        return super().want() if self.master >= 0 else 0

    def turn(self, events):
        return super().turn(events) if self.master >= 0 else False

    def _failed(self, error):
        if error.errno == errno.EIO:        # nobody has it open now
            return False
        return super()._failed(error)


class Slave(Stream):
    """The user's end of a [pty] endpoint, or any tty opened by name."""

    def __init__(self, path):
        super().__init__()
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd, termios.TCSANOW)

    def fileno(self):
        return self.fd

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def _failed(self, error):
        if error.errno == errno.EIO:
            self.eof = True
            self.outgoing.clear()
            return True
        return super()._failed(error)


class Client(Stream):
    """A TCP ("127.0.0.1", port) or Unix (path) client."""

    def __init__(self, address, receive_buffer=None):
        super().__init__()
        family = socket.AF_INET if isinstance(address, tuple) else \
            socket.AF_UNIX
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                 receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(address if isinstance(address, tuple)
                          else str(address))
        self.sock.setblocking(False)

    def fileno(self):
        return self.sock.fileno()

    def end(self):
        """Sends no more, still reads."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Closes with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def move(streams, patience_ms=20):
    """Moves what can be moved now, or soon."""
    poll = select.poll()
    by_fd = {}
    for s in streams:
        if s.want():
            poll.register(s.fileno(), s.want())
            by_fd[s.fileno()] = s
    events = poll.poll(patience_ms)
    # A master without a slave hangs up all the time.
    if not any([by_fd[fd].turn(ev) for fd, ev in events]) and events:
        time.sleep(0.002)


def pump(streams, until, timeout=None, what=None):
    """Moves bytes on all streams until the condition holds."""
    deadline = time.monotonic() + (timeout or PATIENCE)
    while not until():
        if time.monotonic() > deadline:
            state = ", ".join(
                f"{s.name}: {len(s.received)} received, {s.written} written, "
                f"{len(s.outgoing)} to go" for s in streams)
            raise Timeout(f"waited {timeout or PATIENCE:g}s for "
                          f"{what or 'the bytes'} ({state})")
        move(streams)


def expect(stream, data, others=(), timeout=None):
    """These bytes and no others come next on the stream."""
    streams = [stream, *(s for s in others if s is not stream)]
    try:
        pump(streams, lambda: len(stream.received) >= len(data) or stream.eof,
             timeout, f"{len(data)} bytes on {stream.name}")
    except Timeout as e:
        if len(stream.received) < 4096:
            raise Timeout(f"{e}\n  got  {bytes(stream.received)!r:.400}\n"
                          f"  want {bytes(data)!r:.400}") from None
        raise
    same(stream.take(), data)


def flush(streams, timeout=None):
    """Until all that the streams were given is written."""
    pump(streams, lambda: not any(s.outgoing for s in streams), timeout,
         "everything to be written")


def fill(streams, quiet=0.3, timeout=None):
    """Moves bytes until nothing moved for a while: somebody holds them back."""
    last = [None, time.monotonic()]

    def still():
        now = [(s.written, len(s.received)) for s in streams]
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > quiet
    pump(streams, still, timeout, "the flow to stop")


def run_apart(script, file, directory, what):
    """
    Runs a test file as a program, with the directory, behind a script in network and mounts
    of its own; skips where that is not allowed.
    """
    apart = ["unshare", "--net", "--mount"] + \
        ([] if os.getuid() == 0 else ["--map-root-user"]) + \
        ["sh", "-c", script + ' && exec "$@"', "sh"]
    if subprocess.run([*apart, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip(f"may not have a network and {what} of its own")
    done = subprocess.run([*apart, sys.executable, file, str(directory)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-6000:]


# Not of those that the kernel gives to clients, who could be faster.
PORTS = range(20000, 32000)
reserved = []


def free_port():
    """A port that is free, and that tests in other processes do not take, either."""
    first = random.randrange(len(PORTS))
    for port in (*PORTS[first:], *PORTS[:first]):
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0ttybridge test port {port}")
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        reserved.append(mark)
        return port
    raise AssertionError("no port is free")


# --- configuration -----------------------------------------------------------

def section(kind, name, **keys):
    """[kind name] and its keys; a trailing underscore is dropped (from_)."""
    lines = [f"[{kind} {name}]" if name else f"[{kind}]"]
    lines += [f"{k.rstrip('_')} = {v}" for k, v in keys.items()]
    return "\n".join(lines) + "\n"


def serial(name, pty, **keys):
    """A serial section that comes back quickly, unless it says when."""
    if "reopen_min" not in keys:
        keys = dict(reopen_min="20ms", reopen_max="100ms") | keys
    return section("serial", name, device=getattr(pty, "link", pty), **keys)


def tcp_server(name, port, **keys):
    return section("tcp-server", name, listen=f"127.0.0.1:{port}", **keys)


def route(name, **keys):
    return section("route", name, **keys)


# --- the clock ---------------------------------------------------------------

class Clock:
    """
    The time since the machine was started, as a daemon sees it that is started with
    env=clock.env; the test moves it on.
    """

    def __init__(self, directory):
        self.seconds = 0
        file = directory / "uptime"
        self.fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        self.set()
        self.env = {"LD_PRELOAD": str(FAULTS), "FAULT_UPTIME": str(file),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def set(self):
        # In one write of the same length, as the daemon reads it at any time.
        os.pwrite(self.fd, b"%020d" % self.seconds, 0)

    def move(self, d, seconds):
        """Moves it on; after that, what was due by then is done."""
        # Not in the middle of a turn of the loop that reckons with the time before.
        d.control("version")
        self.seconds += seconds
        self.set()
        # Timers are looked at in each turn of the loop, and a request takes several.
        d.control("version")

    def close(self):
        os.close(self.fd)


# --- the daemon --------------------------------------------------------------

def run(*args, timeout=None, **kwargs):
    """Runs the program to its end; .returncode, .stdout, .stderr as text."""
    done = subprocess.run(
        [BINARY, *map(str, args)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", env={**os.environ, **SANITIZERS},
        timeout=timeout or PATIENCE, **kwargs)
    assert not BROKEN.search(done.stderr), done.stderr
    return done


class Session(Stream):
    """A control session that stays open."""

    def __init__(self, address):
        super().__init__()
        self.client = Client(address)

    def fileno(self):
        return self.client.fileno()

    def close(self):
        self.client.close()

    def reply(self, timeout=None):
        """The next reply, as (body lines, last line)."""
        pump([self], lambda: self.eof or self._end() is not None, timeout,
             "a reply")
        end = self._end()
        assert end is not None, \
            f"the session ended: {bytes(self.received)!r:.400}"
        lines = bytes(self.received[:end]).decode(errors="replace").split("\n")
        del self.received[:end]
        return lines[:-2], lines[-2]

    def ask(self, command, timeout=None):
        self.send(command.encode() + b"\n")
        body, last = self.reply(timeout)
        if last != "OK":
            raise ControlError(last, body + [last])
        return body

    def _end(self):
        found = re.search(rb"(?m)^(OK|ERR [^\n]*)\n", self.received)
        return found.end() if found else None


def end_with_us():
    """In a child: a daemon that outlived its test would open strangers' devices."""
    LIBC.prctl(1, signal.SIGKILL)       # PR_SET_PDEATHSIG


class Daemon:
    """
    A ttybridged under test, with a control port on a Unix socket (full access) and, if
    asked for, one on TCP (read only).  As a context it is stopped at the end, and has
    to end well.
    """

    def __init__(self, directory, conf="", tcp=False, words=(), settled=True,
                 name="daemon", control=True, options=(), stderr=None,
                 env=(), user=None, wrapper=(), preexec=None):
        self.directory = Path(directory)
        self.file = self.directory / f"{name}.conf"
        self.socket = self.directory / f"{name}.sock"
        self.errors = self.directory / f"{name}.stderr"
        self.port = free_port() if tcp else None
        self.control_section = ""
        if control:
            self.control_section += section(
                "control", "unix", listen=f"unix:{self.socket}")
        if tcp:
            self.control_section += section(
                "control", "net", listen=f"127.0.0.1:{self.port}")
        self.write(conf)
        argv = [BINARY, "-c", str(self.file)]
        if words:
            argv = [BINARY, *map(str, words), f"control:unix:{self.socket}"]
        assert os.access(BINARY, os.X_OK), \
            f"{BINARY} is not there: make FLAVOUR=san, or set TTYBRIDGED"
        with open(self.errors, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, *argv, *map(str, options)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=stderr or log, user=user, group=user,
                close_fds=preexec is None,
                preexec_fn=lambda: (end_with_us(), preexec and preexec()),
                extra_groups=None if user is None else [],
                env={**os.environ, **SANITIZERS, **dict(env)})
        self.pid = self.process.pid
        self.stopped = False
        try:
            if control:
                wait_for(self.answers, what="the control port")
            if control and settled:
                self.settle()
        except Exception as e:
            self.kill()
            raise AssertionError(f"{e}\n{self.stderr()[-4000:]}") from e

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    # configuration

    def write(self, conf):
        """The configuration, put in place whole."""
        new = self.file.with_suffix(".new")
        new.write_text(self.control_section + conf)
        new.rename(self.file)

    def reload(self, conf=None):
        if conf is not None:
            self.write(conf)
        return self.control("reload")

    # the process

    def signal(self, number):
        self.process.send_signal(number)

    def stderr(self):
        return self.errors.read_text(errors="replace")

    def exit(self, timeout=None):
        """Waits for it to end; its exit status."""
        self.stopped = True
        try:
            status = self.process.wait(timeout or PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Timeout("the daemon did not end") from None
        assert not BROKEN.search(self.stderr()), self.stderr()[-6000:]
        return status

    def stop(self, timeout=None):
        """SIGTERM, a clean exit, nothing for the sanitizers to say."""
        if self.stopped:
            return
        self.signal(signal.SIGTERM)
        status = self.exit(timeout)
        assert status == 0, f"exit status {status}\n{self.stderr()[-4000:]}"

    def kill(self):
        self.stopped = True
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * resource.getpagesize()

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        """Number -> what it is, of every open descriptor."""
        return self.of_descriptors("fd", os.readlink)

    def of_descriptors(self, directory, look):
        """
        Number -> what look says of its file in that directory of /proc/PID.  One that is
        closed meanwhile is left out.
        """
        found = {}
        directory = f"/proc/{self.pid}/{directory}"
        for fd in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[int(fd)] = look(f"{directory}/{fd}")
        return found

    # the control port

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode} at "
                                 f"start:\n{self.stderr()[-4000:]}")
        try:
            return self.control("version")
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def raw(self, text, address=None, timeout=None):
        """As netcat does: sends all, ends, reads to the end."""
        client = Client(address or self.socket)
        try:
            client.send(text if isinstance(text, bytes) else text.encode())
            flush([client])
            if not client.eof:
                client.end()
            pump([client], lambda: client.eof, timeout, f"a reply to {text!r}")
            return client.take()
        finally:
            client.close()

    def control(self, command, address=None, timeout=None):
        """The lines of the reply's body; ControlError on ERR."""
        text = self.raw(command + "\n", address, timeout).decode(
            errors="replace")
        lines = text.split("\n")
        assert lines[-1] == "" and len(lines) > 1, \
            f"no whole reply to {command!r}: {text!r:.400}"
        body, last = lines[:-2], lines[-2]
        if last != "OK":
            assert last.startswith("ERR "), f"{command!r}: {text!r:.400}"
            raise ControlError(last, body + [last])
        return body

    def json(self, command):
        lines = self.control(f"json {command}")
        assert len(lines) == 1, lines
        return json.loads(lines[0])

    def session(self, tcp=False):
        return Session(("127.0.0.1", self.port) if tcp else self.socket)

    def get(self, path):
        lines = self.control(f"get {path}")
        assert len(lines) == 1, lines
        return lines[0]

    def number(self, path):
        return int(self.get(path))

    def state(self, name):
        return self.get(f"{name}/state")

    def endpoints(self):
        """Name -> row of the endpoints' table."""
        return {row["name"]: row for row in self.json("endpoints")}

    def tasks(self):
        return {row["task"]: row for row in self.json("ps")}

    def routes(self):
        return {row["name"]: row for row in self.json("routes")}

    def settle(self, timeout=None):
        """Until every endpoint is up, or waits for somebody to open it."""
        wait_for(lambda: all(row["state"] in ("up", "waiting")
                             for row in self.json("endpoints")),
                 timeout, "the endpoints to be up")

    def wait_state(self, name, state, timeout=None):
        wait_for(lambda: self.state(name) == state, timeout,
                 f"{name} to be {state}")

    def wait_number(self, path, number, timeout=None):
        try:
            wait_for(lambda: self.number(path) == number, timeout)
        except Timeout:
            raise Timeout(f"{path} is {self.get(path)}, not {number}") \
                from None

    # what was counted

    def opens(self, *names):
        return {n: self.number(f"{n}/opens") for n in names}

    def dropped(self, name, reason=None):
        """Frames that were for this endpoint and did not go out."""
        return self.number(f"{name}/dropped" +
                           (f"_{reason}" if reason else ""))

    def bad(self, name, reason):
        """Times that this endpoint's input broke its framing."""
        return self.number(f"{name}/bad_{reason}")

    def queued(self, name):
        """Frames."""
        return self.number(f"{name}/queued_frames")

    def bytes_in(self, name):
        """What became of the bytes that came in: by attribute, the sum is right."""
        values = dict(re.match(rf"{name}/(\S+)\s*=\s*(.*)", line).groups()
                      for line in self.control(f"list {name}/"))
        terms = {k: int(v) for k, v in values.items() if k in (
            "rx_payload", "rx_overhead", "rx_held", "refused_bytes") or
            re.fullmatch("bad_.*_bytes", k)}
        assert len(terms) == 8 + ("refused_bytes" in terms)
        assert sum(terms.values()) == int(values["rx_bytes"]), (name, values)
        return terms

    def balance(self, source, to):
        """Every frame that came in went out, waits, or was dropped."""
        def counts():
            paths = (f"{source}/rx_frames", f"{to}/tx_frames",
                     f"{to}/queued_frames", f"{to}/dropped")
            with_lines = "".join(f"get {p}\n" for p in paths)
            words = self.raw(with_lines).split()
            return [int(w) for w in words if w != b"OK"]
        came, went, queued, dropped = counts()
        assert came == went + queued + dropped, \
            f"{came} in, {went} out, {queued} queued, {dropped} dropped"
