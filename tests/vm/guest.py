"""
What the tests inside the virtual machine stand on, beside tests/e2e/harness.py: QEMU's
monitor, USB adapters that are pulled and plugged, and traffic of numbered messages
that goes on whatever else happens.

A message is an NMEA sentence, which carries a checksum: what is left of one that was
cut by an unplug is noise to everybody, never a wrong message.
"""
import array
import fcntl
import json
import math
import os
import re
import subprocess
import termios
import time
from pathlib import Path

from harness import Slave, Stream, Timeout, move, wait_for

TIOCM_LOOP = 0x8000
TIOCGICOUNT = 0x545D
PORTS = Path("/dev/virtio-ports")


def passed(text):
    print(f"vm: {text}", flush=True)


def percentile(values, percent):
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


class Port(Stream):
    """One of the machine's streams to a character device of QEMU."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.fd = os.open(PORTS / name, os.O_RDWR | os.O_NONBLOCK)

    def fileno(self):
        return self.fd


class Monitor(Port):
    """QEMU's monitor: one command at a time."""

    def __init__(self):
        super().__init__("qmp")
        self.last = 0
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.last += 1
        self.send(json.dumps({"execute": command, "id": self.last,
                              "arguments": arguments}).encode() + b"\n")
        reply = wait_for(self._reply, what=f"QEMU's answer to {command}")
        assert "return" in reply, f"{command}: {reply}"
        return reply["return"]

    def _reply(self):
        move([self])
        while b"\n" in self.received:
            line, _, rest = bytes(self.received).partition(b"\n")
            self.received[:] = rest
            reply = json.loads(line)
            if reply.get("id") == self.last:
                return reply
        return None


class Adapter(Port):
    """
    An FTDI adapter, and as a stream what is wired to its serial side.  With udevd it
    has a name that stays.
    """

    def __init__(self, monitor, number):
        super().__init__(f"far{number}")
        self.monitor = monitor
        self.id = f"usb{number}"
        self.serial = f"VM{number}"
        self.link = Path("/dev/serial/by-id",
                         f"usb-QEMU_QEMU_USB_SERIAL_{self.serial}-if00-port0")

    def plug(self):
        """When the machine has dealt with a pull."""
        def plugged():
            try:
                self.monitor.execute(
                    "device_add", driver="usb-serial", id=self.id, bus="xhci.0",
                    chardev=self.id, serial=self.serial,
                    **{"always-plugged": True})
            except AssertionError as e:
                if "is in use" not in str(e):
                    raise
                return False
            return True
        wait_for(plugged, what="the adapter to be unplugged")

    def pull(self):
        self.monitor.execute("device_del", id=self.id)

    def node(self):
        """/dev/ttyUSB0, or None while there is none."""
        for found in Path("/sys/bus/usb/devices").glob("*/serial"):
            try:
                if found.read_text().strip() != self.serial:
                    continue
            except OSError:
                continue
            for tty in found.parent.glob("*/ttyUSB*"):
                if (node := Path("/dev", tty.name)).exists():
                    return node
        return None


def born(node):
    """When a node of /dev was made, and when it was last changed (its mode, say)."""
    made = subprocess.run(["stat", "-c", "%.9W", str(node)], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return float(made), os.stat(node).st_ctime


class Uart(Slave):
    """A 16550, opened beside whoever else has it open."""

    def settings(self):
        return termios.tcgetattr(self.fd)

    def unsent(self):
        count = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.TIOCOUTQ, count)
        return count[0]

    def lines(self):
        state = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.TIOCMGET, state)
        return state[0]

    def set_lines(self, on=0, off=0):
        fcntl.ioctl(self.fd, termios.TIOCMBIS, array.array("i", [on]))
        fcntl.ioctl(self.fd, termios.TIOCMBIC, array.array("i", [off]))

    def notice(self):
        """The driver looks at CTS when the settings change."""
        old = self.settings()
        new = list(old)
        new[2] ^= termios.CSTOPB
        termios.tcsetattr(self.fd, termios.TCSANOW, new)
        termios.tcsetattr(self.fd, termios.TCSANOW, old)

    def counts(self):
        """What the driver counted."""
        words = array.array("i", [0] * 20)
        fcntl.ioctl(self.fd, TIOCGICOUNT, words)
        names = ("cts", "dsr", "rng", "dcd", "rx", "tx", "frame", "overrun",
                 "parity", "brk", "buf_overrun")
        return dict(zip(names, words))


# --- traffic -----------------------------------------------------------------

SENTENCE = re.compile(rb"\$T([A-Z]),(\d{6}),([^*$\r\n]*)\*([0-9A-F]{2})\r\n")


def sentence(letter, number):
    body = f"T{letter},{number:06},the quick brown fox".encode()
    check = 0
    for byte in body:
        check ^= byte
    return b"$%s*%02X\r\n" % (body, check)


class Talker:
    """Sends numbered messages on a stream, every few milliseconds, while it is on."""

    def __init__(self, stream, letter, every=0.02):
        self.stream = stream
        self.letter = letter
        self.every = every
        self.on = True
        self.sent = 0
        self.first = 0          # where a test begins to count
        self.next = 0.0

    def turn(self):
        now = time.monotonic()
        if not self.on or now < self.next or self.stream.outgoing:
            return
        self.stream.send(sentence(self.letter, self.sent))
        self.sent += 1
        self.next = now + self.every


class Listener:
    """Takes what comes in on a stream, and keeps the numbers of each talker."""

    def __init__(self, stream):
        self.stream = stream
        self.heard = {}         # letter -> numbers, as they came
        self.noise = bytearray()

    def turn(self):
        data = self.stream.received
        end = 0
        for found in SENTENCE.finditer(data):
            self.noise += data[end:found.start()]
            end = found.end()
            letter, number = found[1].decode(), int(found[2])
            assert found[0] == sentence(letter, number), bytes(found[0])
            numbers = self.heard.setdefault(letter, [])
            assert not numbers or number > numbers[-1], \
                f"{self.stream.name}: message {number} of {letter} came " \
                f"after {numbers[-1]}"
            numbers.append(number)
        del data[:end]

    def last(self, letter):
        return self.heard.get(letter, [-1])[-1]

    def missing(self, letter, first, count):
        """Of the messages from the first to one before count."""
        return sorted(set(range(first, count)) - set(self.heard.get(letter, [])))


class Traffic:
    """Talkers and listeners that are given turns while something is waited for."""

    def __init__(self, *parts):
        self.parts = parts
        self.streams = list({id(p.stream): p.stream for p in parts}.values())

    def until(self, condition, what, timeout=60.0, every=0.02):
        """The time that it took."""
        start = time.monotonic()
        look = 0.0
        while True:
            now = time.monotonic()
            if now >= look:
                if condition():
                    return now - start
                look = now + every
            if now - start > timeout:
                raise Timeout(f"waited {timeout:g}s for {what}")
            for part in self.parts:
                part.turn()
            move(self.streams, 5)

    def last(self, seconds):
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, "the time to pass")
