"""
Flashing over the network: an emulated Uno with a boot loader, which listens for a moment
after DTR has reset the board.

TTYBRIDGE_FLASHES says how many times avrdude flashes it.
"""
import os
import random
import re
import subprocess

import pytest
import serial as pyserial

from boards import BOARDS
from harness import PATIENCE, free_port, pump, route, serial, tcp_server, wait_for
from uart import Uarts

ROUNDS = int(os.environ.get("TTYBRIDGE_FLASHES", "2"))
FLASH_PATIENCE = 3 * PATIENCE       # avrdude takes four seconds if nothing disturbs it
SIZE, PAGE = 16384, 128
IN_SYNC, OK, END = b"\x14", b"\x10", b" "


@pytest.fixture
def firmware(directory):
    """Makes images of 16 KB: Flood, and random bytes, which are never executed."""
    flood = directory / "flood.bin"
    subprocess.run(["avr-objcopy", "-O", "binary", BOARDS / "Flood.elf", flood],
                   check=True)
    code = flood.read_bytes()
    rng = random.Random(1)

    def make():
        return code + rng.randbytes(SIZE - len(code))
    return make


class Uno:
    """A board behind a daemon, with a server for its lines, one for avrdude, and two
    clients that listen to it from its first byte."""

    def __init__(self, directory, board, daemon, connect):
        lines, self.flash = directory / "lines", directory / "flash"
        uarts = Uarts(lines)
        # Echo says nothing by itself.
        self.board = board("Echo", reset=False, options=[
            "-B", BOARDS / "optiboot.bin", "-f", self.flash, "-u", lines,
            "-t", str(300 + FLASH_PATIENCE * ROUNDS)])
        self.ctl, self.raw, listen = free_port(), free_port(), free_port()
        self.daemon = daemon(
            serial("board", self.board, baud=115200) +
            tcp_server("ctl", self.ctl, protocol="rfc2217") +
            tcp_server("raw", self.raw) + tcp_server("listen", listen) +
            route("ctl", between="board ctl") + route("raw", between="board raw") +
            route("listen", from_="board", to="listen"), env=uarts.env)
        self.listeners = [connect(listen), connect(listen)]
        wait_for(lambda: len(self.daemon.json("peers")) == 2, what="the listeners")
        self.checked = 0

    def rfc2217(self):
        return pyserial.serial_for_url(f"rfc2217://127.0.0.1:{self.ctl}", 115200)

    def hear(self, data):
        """The listeners hear that, at some place behind what they were checked for."""
        for c in self.listeners:
            pump(self.listeners, lambda: data in c.received[self.checked:],
                 what=f"{data!r:.60} to be heard")
        self.checked = c.received.index(data, self.checked) + len(data)

    def check_runs(self, image):
        """The image was read back, is in the flash, and has been started."""
        self.hear(b"".join(
            IN_SYNC + OK + IN_SYNC + image[at:at + PAGE] + OK
            for at in range(0, SIZE, PAGE)))
        assert self.flash.read_bytes()[:SIZE] == image
        self.hear(b"flood 1\r\nflood 2\r\n")

    def check_all_was_heard(self, flashes):
        """Both listeners have all that the board said, and no other reset disturbed it."""
        d = self.daemon
        wait_for(lambda: len(d.json("peers")) == 2, what="the end of the last session")
        assert d.number("board/opens") == 1
        assert d.dropped("board") == d.dropped("listen") == 0
        counts = self.board.stop()
        assert counts["resets"] == flashes + 1      # the first when the port was opened
        assert counts["garbled"] == 0
        # What it said at last was lost with its port.
        d.wait_state("board", "lost")
        a, b = self.listeners
        size = d.number("board/rx_bytes")
        pump([a, b], lambda: len(a.received) >= size <= len(b.received))
        assert len(a.received) == size and a.received == b.received
        numbers = [int(n) for n in re.findall(rb"flood (\d+)\r\n", a.received)]
        starts = [at for at, n in enumerate(numbers) if n == 1]
        assert len(starts) == flashes
        for start, end in zip(starts, [*starts[1:], len(numbers)]):
            assert numbers[start:end] == list(range(1, end - start + 1))


@pytest.fixture
def uno(directory, board, daemon, connect):
    return Uno(directory, board, daemon, connect)


def pulse(port):
    port.dtr = False
    port.dtr = True


# --- avrdude ------------------------------------------------------------------

def avrdude(uno, file):
    done = subprocess.Popen(
        ["avrdude", "-p", "m328p", "-c", "arduino", "-P", f"net:127.0.0.1:{uno.raw}",
         "-D", "-U", f"flash:w:{file}:r"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        pump(uno.listeners, lambda: done.poll() is not None, FLASH_PATIENCE, "avrdude")
    finally:
        done.kill()
        said = done.communicate()[0]
    assert done.returncode == 0, said


def test_avrdude_flashes_after_a_pulse_of_dtr_by_pyserial(uno, firmware, directory):
    file = directory / "image.bin"
    for _ in range(ROUNDS):
        image = firmware()
        file.write_bytes(image)
        with uno.rfc2217() as port:
            pulse(port)
        avrdude(uno, file)
        uno.check_runs(image)
    uno.check_all_was_heard(ROUNDS)


# --- pyserial alone -----------------------------------------------------------

class Programmer:
    """What a boot loader understands of STK500."""

    def __init__(self, port):
        self.port = port
        port.timeout = 0.1
        wait_for(self.in_sync, what="the boot loader")
        while port.read(SIZE):
            pass
        port.timeout = PATIENCE

    def in_sync(self):
        self.port.write(b"0" + END)
        return self.port.read(SIZE).endswith(IN_SYNC + OK)

    def ask(self, command, answer=0):
        self.port.write(command + END)
        reply = self.port.read(answer + 2)
        assert reply[:1] == IN_SYNC and reply[-1:] == OK, (command, reply)
        return reply[1:-1]

    def at(self, address):
        self.ask(b"U" + (address // 2).to_bytes(2, "little"))

    def write(self, image):
        for at in range(0, SIZE, PAGE):
            self.at(at)
            self.ask(b"d\0" + bytes([PAGE]) + b"F" + image[at:at + PAGE])

    def read(self):
        def page(at):
            self.at(at)
            return self.ask(b"t\0" + bytes([PAGE]) + b"F", PAGE)
        return b"".join(page(at) for at in range(0, SIZE, PAGE))


def test_pyserial_flashes_and_reads_back_in_one_session(uno, firmware):
    image = firmware()
    with uno.rfc2217() as port:
        pulse(port)
        programmer = Programmer(port)
        programmer.write(image)
        assert programmer.read() == image
        programmer.ask(b"Q")
        uno.check_runs(image)
    uno.check_all_was_heard(1)
