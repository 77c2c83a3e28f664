"""
The power fails at each operation on the files of a spool in turn: the daemon ends there, what was
not synced is lost or torn, and the next one has to go on without help.

TTYBRIDGE_POWER=all: at each operation, and not only at some.
"""
import os
import struct
import zlib

import pytest

from harness import Daemon, Pty, move, pump, wait_for
from test_spool import HEAD, conf, got, in_segment, lines, say, segments

POWER = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../build/power.so"))
LINES = 300


def number_of(line):
    return int(line.split()[1])


def ledger(directory):
    """The number of the oldest frame that is not delivered, by the ledger."""
    path = directory / "state" / "spool" / "b" / "ledger"
    best = (0, 0)
    data = path.read_bytes() if path.exists() else b""
    for at in (0, 512):
        slot = data[at:at + 32]
        if len(slot) == 32 and slot[:8] == b"TTYBLED1" and \
                struct.unpack_from("<I", slot, 28)[0] == zlib.crc32(slot[:28]):
            best = max(best, struct.unpack_from("<QQ", slot, 8))
    return max(best[1], 1)


def synced(directory, log):
    """The frames that had been synced and are not given up: their numbers."""
    found = set()
    for line in log.read_text().splitlines():
        if not line.startswith("synced ") or ".seg" not in line:
            continue
        _, name, size = line.split()
        path = directory / "state" / "spool" / "b" / name
        data = path.read_bytes()
        assert len(data) >= int(size), (name, size)
        at, number = HEAD, int(name[:16], 16)
        while at < int(size):
            crc, length, n = struct.unpack_from("<IIQ", data, at)
            assert n == number
            assert crc == zlib.crc32(data[at + 4:at + HEAD + length]), (name, n)
            found.add(n)
            number, at = number + 1, at + HEAD + length
    return found


class Run:
    def __init__(self, directory, at, seed, sync):
        self.directory, self.at = directory, at
        (directory / "state").mkdir(parents=True, mode=0o700)
        self.a, self.b = Pty(directory / "a"), Pty(directory / "b")
        self.text = conf(directory, self.a, self.b, spool="64K", queue="2K",
                         spool_sync=sync)
        self.log = directory / "power.log"
        self.env = {"LD_PRELOAD": POWER, "POWER_AT": str(at), "POWER_SEED": str(seed),
                    "POWER_DIRECTORY": str(directory / "state/spool/b"),
                    "POWER_LOG": str(self.log),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def close(self):
        self.a.close()
        self.b.close()

    @staticmethod
    def offered(d):
        try:
            return d.number("b/offered")
        except (AssertionError, OSError):
            return None

    def first(self):
        """An outage, and its end, until the power fails; whether it did."""
        try:
            d = Daemon(self.directory, self.text, settled=False, env=self.env)
        except (AssertionError, OSError):
            # It failed while the spool was opened.
            assert self.at < 5
            return True
        ended = d.process.poll
        try:
            self.b.unplug()
            wait_for(lambda: "b: up -> lost" in d.stderr() or ended() is not None)
            for n in range(1, LINES, 30):
                say(self.a, n, n + 29)
                pump((self.a,), lambda: not self.a.outgoing or ended() is not None)
            pump((self.a,), lambda: ended() is not None or self.offered(d) == LINES)
            self.b.plug()
            pump((self.a, self.b), lambda: ended() is not None or
                 (got(self.b)[-1:] == lines(LINES, LINES) and not segments(self.directory)))
            if ended() is None:
                return False
            assert ended() == 99
            return True
        finally:
            d.kill()

    def second(self):
        """The next daemon sends what is left."""
        size = -1
        while self.b.master >= 0 and size < len(self.b.received):
            size = len(self.b.received)
            move((self.b,), 50)
        before = got(self.b)
        self.a.unplug()
        self.a.plug()
        del self.b.received[:]
        if self.b.master < 0:
            self.b.plug()
        first, sure = ledger(self.directory), synced(self.directory, self.log)
        left = [body for path in segments(self.directory) for body in in_segment(path)]
        with Daemon(self.directory, self.text, settled=False) as d:
            pump((self.a, self.b), lambda: not segments(self.directory) and
                 d.number("b/queued_frames") == 0)
            move((self.a, self.b))
            pump((self.b,), lambda: not left or number_of(left[-1]) < first or
                 got(self.b)[-1:] == left[-1:])
            after = got(self.b)
            assert not list((self.directory / "state/spool/b").glob("*.damaged"))
            assert d.dropped("b") == d.dropped("b", "damaged"), d.stderr()
            assert d.dropped("b") == 0 or "always" not in self.text
        self.compare(before, after, first, sure, left)

    def compare(self, before, after, first, sure, left):
        numbers = [number_of(line) for line in after]
        known = [number_of(line) for line in left]
        assert after == [lines(n, n)[0] for n in numbers]
        # In order, without gaps, from where the ledger was.
        if "always" in self.text and numbers:
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers == sorted(set(numbers))
        assert numbers == [n for n in known if n >= first]
        # Nothing that was synced is lost.
        done = set(numbers) | {number_of(line) for line in before}
        assert {n for n in sure if n >= first} <= set(numbers)
        assert sure <= done | set(range(1, first))
        assert set(range(1, first)) <= done


def sample():
    if os.environ.get("TTYBRIDGE_POWER") == "all":
        return range(1, 1000)
    return [*range(1, 12), *range(12, 200, 17)]


@pytest.mark.parametrize("sync", ("always", "50ms"))
def test_power_fails(directory, sync):
    fails = 0
    for at in sample():
        run = Run(directory / f"{at}", at, at * 7 + len(sync), sync)
        try:
            if not run.first():
                break
            fails += 1
            run.second()
        except BaseException:
            print(f"at operation {at}, {run.log.read_text()[-2000:]}")
            raise
        finally:
            run.close()
    assert fails > 10
