"""The processes of a fleet: a broker, and daemons with pseudo-terminals, with what is known of each."""
import asyncio
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import BROKEN, Slave, end_with_us, free_port, section     # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DAEMON = os.path.abspath(os.environ.get("TTYBRIDGED", str(ROOT / "build/plain/ttybridged")))
PATIENCE = float(os.environ.get("TTYBRIDGE_PATIENCE", "60"))
LINE = re.compile(rb"(\w+) (\w+) (\d+) x*")


class Discrepancy(Exception):
    """Something does not add up, or did not happen in time."""


async def until(condition, what, timeout=PATIENCE):
    """Polls until condition() is true."""
    end = time.monotonic() + timeout
    pause = 0.002
    while not condition():
        if time.monotonic() > end:
            raise Discrepancy(f"waited {timeout:g}s for {what}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class Broker:
    """mosquitto.  save: how often it saves, in seconds; it always does so when it is stopped."""

    def __init__(self, directory, save):
        self.port = free_port()
        self.conf = directory / "mosquitto.conf"
        self.errors = directory / "mosquitto.log"
        self.process = None
        self.conf.write_text("\n".join([
            "user root" if os.geteuid() == 0 else "", "per_listener_settings false",
            "persistence true", f"persistence_location {directory}/",
            f"autosave_interval {save}", "max_queued_messages 0", "allow_anonymous true",
            "log_type error", "log_type warning", "log_type notice",
            f"listener {self.port} 127.0.0.1", ""]))

    async def start(self):
        with open(self.errors, "ab") as log:
            self.process = subprocess.Popen(
                [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", self.conf],
                stdout=log, stderr=log, preexec_fn=end_with_us)
        await until(self.listens, "the broker to listen")

    def listens(self):
        if self.process.poll() is not None:
            raise Discrepancy(f"the broker ended with {self.process.returncode}, see {self.errors}")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    async def end(self, number):
        self.process.send_signal(number)
        await until(lambda: self.process.poll() is not None, "the end of the broker")

    def destroy(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Origins:
    """A file of sequences, see origins.c: (host, endpoint) -> the highest one."""

    def __init__(self, path):
        data = path.read_bytes() if path.exists() else b""
        self.duplicate, self.missing = struct.unpack_from("=56xQQ", data) if data else (0, 0)
        self.sequence = {}
        for host, endpoint, sequence in struct.iter_unpack("=64s32s8xQ16x", data[128:]):
            if endpoint[0] != 0:
                key = tuple(x.split(b"\0")[0].decode() for x in (host, endpoint))
                self.sequence[key] = sequence


class Tty:
    """One pseudo-terminal, to which numbered frames are written."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.link = host.directory / f"{host.name}-{name}"
        self.slave = None
        self.written = 0            # the number of the last frame
        self.lost = [(0, 0)]        # from this number on, so many never got a sequence
        self.until_close = False    # nothing is written: it is about to be closed

    def open(self):
        self.slave = Slave(self.link)

    def close(self):
        if self.slave is not None:
            self.slave.close()
        self.slave = None

    def flushed(self):
        if self.slave is not None and self.slave.outgoing:
            self.slave.send(b"")
        return self.slave is None or not self.slave.outgoing

    def write(self, length):
        """One frame more, if the last one was taken whole."""
        if self.slave is None or self.until_close or not self.flushed():
            return
        self.written += 1
        self.slave.send(b"%s %s %08d %s\n" % (
            self.host.name.encode(), self.name.encode(), self.written, b"x" * length))

    def reckon(self, sequence):
        """The daemon was killed; of what was written only so many frames have a sequence."""
        self.lost.append((self.written, self.written - sequence))

    def sequence_of(self, number):
        return number - next(n for at, n in reversed(self.lost) if number > at)


class Host:
    """A daemon that publishes what is written to its pseudo-terminals."""

    def __init__(self, directory, name, broker, ptys):
        self.directory, self.name = directory, name
        self.broker = broker
        self.ttys = [Tty(self, f"p{i}") for i in range(ptys)]
        self.state = directory / f"{name}.state"
        self.state.mkdir()
        self.file = directory / f"{name}.conf"
        self.control = directory / f"{name}.sock"
        self.errors = directory / f"{name}.log"
        self.process = None
        self.paused = True          # nothing is written
        self.busy = False           # something is done to it
        self.file.write_text(self.configuration())

    def configuration(self):
        keys = dict(broker=f"127.0.0.1:{self.broker.port}", qos=1, reopen_min="50ms",
                    reopen_max="300ms")
        return "".join([
            section("daemon", "", name_=self.name, state_dir=self.state),
            section("control", "", listen=f"unix:{self.control}"),
            *(section("pty", t.name, link=t.link, framing="line") for t in self.ttys),
            section("mqtt", "up", publish="site/%h/%e", spool="64M", **keys),
            section("route", "up", **{"from": " ".join(t.name for t in self.ttys), "to": "up"}),
            self.more(keys)])

    def more(self, _):
        return ""

    # --- the process

    async def start(self):
        with open(self.errors, "ab") as log:
            self.process = subprocess.Popen([DAEMON, "-c", self.file], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, preexec_fn=end_with_us)
        await self.answers()
        for t in self.ttys:
            t.open()
        self.paused = False

    async def answers(self):
        end = time.monotonic() + PATIENCE
        while True:
            self.check_alive()
            try:
                return await self.ask("version")
            except OSError as e:
                if time.monotonic() > end:
                    raise Discrepancy(f"{self.name}: no control port: {e}") from None
                await asyncio.sleep(0.01)

    def check_alive(self):
        if self.process.poll() is not None:
            raise Discrepancy(f"{self.name} ended with {self.process.returncode},"
                              f" see {self.errors}")

    def text(self):
        return self.errors.read_text(errors="replace")

    async def ask(self, command):
        """The lines of the reply."""
        reader, writer = await asyncio.wait_for(
            asyncio.open_unix_connection(str(self.control), limit=1 << 24), PATIENCE)
        try:
            writer.write(command.encode() + b"\n")
            lines = []
            while not lines or not (lines[-1] == "OK" or lines[-1].startswith("ERR ")):
                line = await asyncio.wait_for(reader.readline(), PATIENCE)
                if not line:
                    raise ConnectionResetError(f"no reply to '{command}'")
                lines.append(line.decode(errors="replace").rstrip("\n"))
        finally:
            writer.close()
        if lines[-1] != "OK":
            raise Discrepancy(f"{self.name}: '{command}': {lines[-1]}")
        return lines[:-1]

    async def number(self, path):
        return int((await self.ask(f"get {path}"))[0])

    def sent(self):
        """(host, endpoint) -> the highest sequence of each pseudo-terminal."""
        found = Origins(self.state / "mqtt-up").sequence
        return {(self.name, t.name): found.get(("", t.name), 0) for t in self.ttys}

    async def taken(self):
        """Nothing is written, and the daemon has accepted all that was."""
        self.paused = True
        await until(lambda: all(t.flushed() for t in self.ttys), f"{self.name} to read")

        def accepted():
            sent = self.sent()
            return all(sent[self.name, t.name] == t.written - t.lost[-1][1] for t in self.ttys)
        await until(accepted, f"{self.name} to accept what was written")

    def close_ttys(self):
        for t in self.ttys:
            t.close()

    async def stopped(self, number):
        self.process.send_signal(number)
        await until(lambda: self.process.poll() is not None, f"the end of {self.name}")
        self.close_ttys()

    # --- what is done to it

    async def stop(self):
        """Ends it with SIGTERM."""
        await self.taken()
        await self.stopped(signal.SIGTERM)
        if self.process.returncode != 0 or BROKEN.search(self.text()):
            raise Discrepancy(f"{self.name} ended with {self.process.returncode},"
                              f" see {self.errors}")

    async def kill(self):
        self.paused = True
        await self.stopped(signal.SIGKILL)
        sent = self.sent()
        for t in self.ttys:
            t.reckon(sent[self.name, t.name])

    async def replace(self):
        """The process starts again in place (SIGUSR2), under traffic."""
        ready = " endpoints up"
        before = self.text().count(ready)
        self.process.send_signal(signal.SIGUSR2)
        await until(lambda: self.text().count(ready) > before, f"{self.name} to start again")
        self.check_alive()
        await self.answers()

    async def drop(self, tty, pause):
        """The program at a pseudo-terminal closes it, at once after its last frame."""
        tty.until_close = True
        await until(tty.flushed, f"{self.name}/{tty.name} to be read")
        tty.close()
        await asyncio.sleep(pause)
        tty.open()
        tty.until_close = False

    async def reopen(self, endpoint):
        await self.ask(f"reopen {endpoint}")

    async def reopen_tty(self, tty):
        await self.taken()
        tty.close()
        await self.ask(f"reopen {tty.name}")
        tty.open()
        self.paused = False

    def destroy(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close_ttys()


class Receiver(Host):
    """A host that also subscribes to everything, and delivers it by TCP to this program."""

    def __init__(self, *args):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.connection = None
        self.reader = None
        self.last = {}          # (host, endpoint) -> the number of the last frame
        self.arrived = 0
        self.lost = 0           # accepted, and in its memory when it was killed
        self.faults = []
        super().__init__(*args)

    def more(self, keys):
        port = self.listener.getsockname()[1]
        return (section("mqtt", "all", subscribe="site/#", **keys) +
                section("tcp-client", "out", connect=f"127.0.0.1:{port}", framing="line",
                        spool="64M", reopen_min="20ms", reopen_max="200ms") +
                section("route", "in", **{"from": "all", "to": "out"}))

    async def read(self, fault):
        """For ever, one connection after the other, each to its end.  fault: what may be wrong."""
        loop = asyncio.get_running_loop()
        while True:
            self.connection, _ = await loop.sock_accept(self.listener)
            rest = b""
            while data := await loop.sock_recv(self.connection, 1 << 18):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.take(line, fault)
            self.connection.close()
            self.connection = None
            if rest:
                fault("cut", f"{self.name} has cut a frame: {rest[:60]!r}")

    def take(self, line, fault):
        m = LINE.fullmatch(line)
        if not m:
            fault("broken", f"{self.name} has delivered {line[:80]!r}")
            return
        key, number = (m[1].decode(), m[2].decode()), int(m[3])
        last = self.last.get(key, 0)
        self.arrived += 1
        if number <= last:
            fault("order", f"{self.name}: {'/'.join(key)} {number} came after {last}")
            return
        self.last[key] = number
        if number > last + 1:
            fault("gap", f"{self.name}: {'/'.join(key)} {last + 1} to {number - 1} are missing")

    def drained(self):
        """All that was sent by a process that has ended was read."""
        return self.connection is None and \
            not select.select([self.listener], [], [], 0)[0]

    def heard(self):
        return Origins(self.state / "mqtt-all")

    async def kill(self):
        await super().kill()
        await until(self.drained, f"the end of the connection of {self.name}")

    def destroy(self):
        super().destroy()
        self.listener.close()
