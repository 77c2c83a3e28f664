#!/usr/bin/python3
"""
A spool beside a plain loop in C that appends, records how far it is, and syncs in the same way, in
turn: lines of 64 bytes from a Unix socket to the disk, and from there to a Unix socket.

    spool.py [--rounds N] [--lines N] [--directory DIR]

Fails if a line is lost, or if the daemon is slower than MINIMUM of the loop.
"""
import argparse
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bridges import DAEMON

LOOP = Path(__file__).resolve().parents[2] / "build/bench/spool_loop"
MINIMUM = 0.7
LINE = b"%010d " + b"x" * 53 + b"\n"
BLOCK = 1000


def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen()
    return s


def connect(path):
    for _ in range(1000):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(str(path))
            return s
        except OSError:
            time.sleep(0.01)
    sys.exit(f"{path}: nothing listens there")


def blocks(n):
    return [b"".join(LINE % i for i in range(at, at + BLOCK)) for at in range(0, n, BLOCK)]


def receive(s, data):
    """Until all was received, which is compared; the seconds from the first byte on."""
    want = b"".join(data)
    got, begun = bytearray(), None
    while len(got) < len(want):
        piece = s.recv(1 << 20)
        if not piece:
            sys.exit("the other side has closed the connection")
        begun = begun or time.monotonic()
        got += piece
    took = time.monotonic() - begun
    if got != want:
        sys.exit("other lines came out than went in")
    return took


def loop(directory, data, n):
    path, file = directory / "loop.sock", directory / "loop.data"
    s = listen(path)
    p = subprocess.Popen([LOOP, "in", path, file, str(n)])
    c, _ = s.accept()
    begun = time.monotonic()
    for block in data:
        c.sendall(block)
    if p.wait():
        sys.exit("the loop failed")
    into = time.monotonic() - begun
    p = subprocess.Popen([LOOP, "out", path, file, str(n)])
    c, _ = s.accept()
    out = receive(c, data)
    p.wait()
    s.close()
    path.unlink()
    for each in directory.glob("loop.data*"):
        each.unlink()
    return into, out


CONF = """[daemon]
state_dir = {0}/state
[control c]
listen = unix:{0}/control
[unix-server a]
listen = {0}/a
framing = line
[unix-client b]
connect = {0}/b
framing = line
reopen_min = 5ms
reopen_max = 5ms
spool = 4G
spool_sync = 1s
[route r]
from = a
to = b
"""


class Bridge:
    def __init__(self, directory):
        self.directory = directory
        (directory / "state").mkdir()
        file = directory / "bridge.conf"
        file.write_text(CONF.format(directory))
        self.process = subprocess.Popen([DAEMON, "-c", file], stderr=subprocess.DEVNULL)
        self.control = connect(directory / "control").makefile("rw")

    def number(self, path):
        self.control.write(f"get {path}\n")
        self.control.flush()
        value = self.control.readline()
        self.control.readline()
        return int(value)

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory / "state")
        for path in self.directory.iterdir():
            path.unlink()


def bridge(directory, data, n):
    b = Bridge(directory)
    try:
        c = connect(directory / "a")
        begun = time.monotonic()
        for block in data:
            c.sendall(block)
        size = sum(map(len, data)) - n + 33 * n
        while b.number("b/offered") < n or b.number("b/spool_disk") < size:
            time.sleep(0.005)
        into = time.monotonic() - begun
        s = listen(directory / "b")
        r, _ = s.accept()
        out = receive(r, data)
        s.close()
        if b.number("b/dropped"):
            sys.exit("the bridge dropped frames")
        return into, out
    finally:
        b.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=1000000)
    parser.add_argument("--directory")
    args = parser.parse_args()
    data, best = blocks(args.lines), {}
    with tempfile.TemporaryDirectory(prefix="ttyspool", dir=args.directory) as directory:
        for _ in range(args.rounds):
            for name, run in (("loop", loop), ("bridge", bridge)):
                got = run(Path(directory), data, args.lines)
                best[name] = tuple(map(min, zip(got, best.get(name, got))))
    slow = False
    for i, way in enumerate(("to the disk", "from the disk")):
        ratio = best["loop"][i] / best["bridge"][i]
        slow |= ratio < MINIMUM
        rates = [args.lines / best[name][i] / 1e6 for name in ("loop", "bridge")]
        print(f"{way}: {rates[1]:.2f} million lines a second, the loop {rates[0]:.2f}:"
              f" {ratio:.2f} (at least {MINIMUM})")
    sys.exit(slow)


main()
