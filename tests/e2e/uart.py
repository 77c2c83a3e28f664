"""Pseudo-terminals as serial ports: what tests/fault/uart.c shares with a test."""
import mmap
import os
import struct

from harness import FAULTS

DTR, RTS = 0x002, 0x004
LOW_LATENCY = 1 << 13
RS485, RTS_ON_SEND, RTS_AFTER_SEND, RX_DURING_TX = 1, 2, 4, 16
NO_MODEM, NO_COUNTS, NO_RS485, NO_LATENCY = 1, 2, 4, 8
NO_RTSCTS, NO_XONXOFF, NO_SPEED, NO_DELAYS = 16, 32, 64, 128

WORDS = ("lacks", "modem", "rises", "opens", "latency", "breaks", "breaking",
         "unsent", "flushed", "exclusive", "frame", "parity", "overrun", "brk", "rs485",
         "before", "after")
PADDING = 5                         # of struct serial_rs485
CHANGES = 64
SIZE = 4 * (len(WORDS) + PADDING + 1 + CHANGES)
LINES = 4096


class Line:
    """What the driver of a device knows, as attributes."""

    def __init__(self, table, pty):
        number = int(pty.slave_name.rpartition("/")[2])
        super().__setattr__("at", number % LINES * SIZE)
        super().__setattr__("table", table)

    def __getattr__(self, name):
        return struct.unpack_from(
            "I", self.table, self.at + 4 * WORDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("I", self.table, self.at + 4 * WORDS.index(name),
                         value)

    def changes(self):
        """The levels of DTR and RTS after each call that set one, as bits."""
        n, *ring = struct.unpack_from(
            f"{1 + CHANGES}I", self.table, self.at + 4 * (len(WORDS) + PADDING))
        assert n <= CHANGES
        return [modem & (DTR | RTS) for modem in ring[:n]]

    def forget_changes(self):
        struct.pack_into("I", self.table, self.at + 4 * (len(WORDS) + PADDING), 0)

    def on(self, signal):
        return bool(self.modem & signal)


class Uarts:
    """The lines of all devices, in a file, and what a daemon's variables are to be."""

    def __init__(self, file):
        file.write_bytes(b"")
        os.truncate(file, LINES * SIZE)
        with open(file, "r+b") as f:
            self.table = mmap.mmap(f.fileno(), LINES * SIZE)
        self.env = {"LD_PRELOAD": str(FAULTS), "FAULT_UART": str(file),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def line(self, pty):
        return Line(self.table, pty)
