"""
Frames that wait on the disk: through outages, overflows, restarts and kills, in order and
each once, or counted.
"""
import os
import signal
import stat
import struct
import subprocess
import zlib

import pytest

from harness import (ControlError, Daemon, move, pump, section, serial, wait_for)
from test_accounts import SINGLE, SOURCES, Place, account
from test_handover import restart
from test_kill import Manager

HEAD = 32


def conf(directory, a, b, state=None, **keys):
    keys = dict(framing="line", queue="4K", spool="1M", spool_sync="always") | keys
    return (section("daemon", "", state_dir=state or directory / "state") +
            serial("a", a, framing="line") + serial("b", b, **keys) +
            section("route", "way", from_="a", to="b"))


@pytest.fixture
def place(directory, pty):
    (directory / "state").mkdir(mode=0o700)
    return directory, pty("a"), pty("b")


def lines(first, last):
    return [b"line %d %s" % (n, b"." * 40) for n in range(first, last + 1)]


def got(stream):
    return bytes(stream.received).split(b"\n")[:-1]


def say(stream, first, last):
    stream.send(b"".join(line + b"\n" for line in lines(first, last)))


def waits(d):
    return d.number("b/queued_frames")


def stop(d, streams):
    """A stop while the streams are read: no frame is cut."""
    d.signal(signal.SIGTERM)
    pump(streams, lambda: d.process.poll() is not None, what="the daemon to end")
    assert d.exit() == 0


def wait_offered(d, n, streams):
    pump(streams, lambda: d.number("b/offered") >= n, what=f"{n} frames to be offered")


def outage(d, a, b, first, last):
    """These lines come while b is away."""
    b.unplug()
    d.wait_state("b", "lost")
    say(a, first, last)
    wait_offered(d, last, (a,))
    assert waits(d) == last


def segments(directory, name="b"):
    return sorted((directory / "state" / "spool" / name).glob("*.seg"))


def in_segment(path):
    """The bodies of the valid records, as the format is documented."""
    try:
        data, at, found = path.read_bytes(), HEAD, []
    except FileNotFoundError:
        return []
    assert data[:8] == b"TTYBSEG1"
    number, = struct.unpack_from("<Q", data, 8)
    assert path.name == f"{number:016x}.seg"
    while at + HEAD <= len(data):
        crc, length, n, _, route, flags, meta = struct.unpack_from("<IIQQBBH", data, at)
        end = at + HEAD + length
        if n != number or end > len(data) or crc != zlib.crc32(data[at + 4:end]):
            break
        body = data[at + HEAD + route + meta:end]
        if flags & 1:
            _, wire, offset = struct.unpack_from("<III", body)
            assert offset < wire
            body = body[12 + offset:]
        found.append(body[:struct.unpack_from("<I", data, at + 28)[0]])
        number, at = number + 1, end
    return found


def on_disk(directory, name="b"):
    """The frames of all segments; of those that were removed meanwhile, none."""
    return [body for path in segments(directory, name) for body in in_segment(path)]


def wait_rest(d, directory):
    wait_for(lambda: not segments(directory) and waits(d) == 0,
             what="the spool to be empty")


# --- outages ------------------------------------------------------------------

def test_an_outage(place, daemon):
    directory, a, b = place
    d = daemon(conf(directory, a, b))
    say(a, 1, 10)
    pump((a, b), lambda: len(got(b)) == 10)
    b.unplug()
    d.wait_state("b", "lost")
    say(a, 11, 3000)
    wait_offered(d, 3000, (a,))
    wait_for(lambda: len(on_disk(directory)) == 2990)
    assert on_disk(directory) == lines(11, 3000)
    assert account(d, "b")["dropped"] == 0
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 3000, what="the lines")
    assert got(b) == lines(1, 3000)
    wait_rest(d, directory)
    say(a, 3001, 3010)
    pump((a, b), lambda: len(got(b)) >= 3010)
    assert got(b) == lines(1, 3010)
    wait_rest(d, directory)
    assert account(d, "b")["tx_frames"] == 3010


@pytest.fixture
def daemon(directory):
    made = []

    def make(text, **keys):
        made.append(Daemon(directory, text, settled=False, **keys))
        return made[-1]
    make.daemons = made
    yield make
    for d in made:
        d.kill()


def test_the_queue_is_full(place, daemon):
    """b takes nothing: a is read all the same, without a pause or a loss."""
    directory, a, b = place
    d = daemon(conf(directory, a, b))
    b.reading = False
    say(a, 1, 4000)
    wait_offered(d, 4000, (a, b))
    assert d.number("a/rx_frames") == 4000
    assert segments(directory)
    b.reading = True
    pump((a, b), lambda: len(got(b)) >= 4000, what="the lines")
    assert got(b) == lines(1, 4000)
    wait_rest(d, directory)
    account(d, "b")


def test_nothing_is_written_while_all_is_well(place, daemon):
    directory, a, b = place
    d = daemon(conf(directory, a, b))
    for n in range(1, 500, 10):
        say(a, n, n + 9)
        pump((a, b), lambda: len(got(b)) == n + 9)
    assert not segments(directory)
    where = directory / "state" / "spool" / "b"
    assert (where / "ledger").stat().st_size == 0
    assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert stat.S_IMODE((where / "ledger").stat().st_mode) == 0o600
    assert stat.S_IMODE((where / "lock").stat().st_mode) == 0o600


# --- restarts -----------------------------------------------------------------

@pytest.mark.parametrize("how", ("restart", "stop", "kill"))
def test_a_restart_during_an_outage(place, daemon, how):
    directory, a, b = place
    text = conf(directory, a, b)
    d = daemon(text)
    outage(d, a, b, 1, 1000)
    if how == "kill":
        wait_for(lambda: len(on_disk(directory)) == 1000)
        d.kill()
    elif how == "stop":
        d.stop()
        assert on_disk(directory) == lines(1, 1000)
    if how == "restart":
        restart(d, (a,))
    else:
        d = daemon(text)
    wait_for(lambda: waits(d) == 1000)
    assert account(d, "b")["offered"] == 1000
    say(a, 1001, 1100)
    wait_offered(d, 1100, (a,))
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 1100, what="the lines")
    assert got(b) == lines(1, 1100)
    wait_rest(d, directory)
    assert account(d, "b")["offered"] == 1100


@pytest.mark.parametrize("how", ("restart", "stop"))
def test_restarts_while_the_spool_is_sent(place, daemon, how):
    directory, a, b = place
    text = conf(directory, a, b, baud=115200)
    d = daemon(text)
    outage(d, a, b, 1, 5000)
    b.plug()
    for n in range(1, 5):
        pump((a, b), lambda: len(got(b)) >= n * 1000, what="some lines")
        if how == "restart":
            restart(d, (a, b))
        else:
            stop(d, (a, b))
            d = daemon(text)
    pump((a, b), lambda: len(got(b)) >= 5000, what="the lines")
    wait_rest(d, directory)
    assert got(b) == lines(1, 5000)


def test_what_waits_in_memory_is_written_at_a_stop(place, daemon):
    directory, a, b = place
    text = conf(directory, a, b, queue="64K")
    d = daemon(text)
    d.control("pause a")
    b.reading = False
    d.control("resume a")
    say(a, 1, 500)
    wait_offered(d, 500, (a, b))
    d.stop()
    assert len(got(b)) < 500
    d = daemon(text)
    b.reading = True
    pump((a, b), lambda: got(b)[-1:] == lines(500, 500), what="the lines")
    wait_rest(d, directory)
    # A part of one of them was in the device when the daemon ended.
    whole = [line for line in got(b) if line in lines(1, 500)]
    assert whole == sorted(whole, key=lines(1, 500).index) and len(whole) >= 498


def test_kill_with_the_descriptor_store(place):
    """Frames that are on the disk are not restored from memory, too."""
    directory, a, b = place
    manager = Manager(directory)
    text = conf(directory, a, b, queue="8K")
    d = manager.start(directory, text)
    try:
        outage(d, a, b, 1, 1000)
        wait_for(lambda: len(on_disk(directory)) == 1000)
        d.kill()
        d = manager.start(directory, text)
        wait_for(lambda: waits(d) == 1000)
        b.plug()
        pump((a, b), lambda: len(got(b)) >= 1000)
        wait_rest(d, directory)
        assert got(b) == lines(1, 1000)
        d.kill()
    finally:
        d.kill()
        manager.socket.close()


# --- limits -------------------------------------------------------------------

def test_a_full_spool_while_down(place, daemon):
    """The oldest frames go first, a segment at a time."""
    directory, a, b = place
    d = daemon(conf(directory, a, b, spool="64K"))
    b.unplug()
    d.wait_state("b", "lost")
    for n in range(10):
        say(a, n * 500 + 1, n * 500 + 500)
        wait_offered(d, n * 500 + 500, (a,))
    wait_for(lambda: d.dropped("b", "down") > 0)
    wait_for(lambda: on_disk(directory)[-1:] == lines(5000, 5000))
    size = sum(p.stat().st_size for p in segments(directory))
    assert 32 << 10 < size <= 72 << 10
    v = account(d, "b")
    assert v["dropped"] == v["dropped_down"]
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 5000 - v["dropped"])
    assert got(b) == lines(v["dropped"] + 1, 5000)
    wait_rest(d, directory)
    account(d, "b")


@pytest.mark.parametrize("how", ("restart", "stop"))
def test_a_full_spool_with_copies(place, daemon, how):
    """The oldest frames, which are in the queue, too, are given up on the disk: they are
    counted when they are not sent."""
    directory, a, b = place
    text = conf(directory, a, b, spool="64K")
    d = daemon(text)
    b.reading = False
    say(a, 1, 400)
    wait_offered(d, 400, (a,))
    b.unplug()
    d.wait_state("b", "lost")
    say(a, 401, 3000)
    wait_offered(d, 3000, (a,))
    account(d, "b")
    assert d.number("b/dropped") > 0, (d.json("spool"), d.control("list b/dropped"), d.control("get b/queued_frames"))
    if how == "restart":
        restart(d, (a,))
        account(d, "b")
    else:
        d.stop()
        d = daemon(text)
    b.reading = True
    b.plug()
    pump((a, b), lambda: lines(3000, 3000)[0] in got(b), what="the last line")
    d.wait_number("b/queued_frames", 0)
    account(d, "b")
    wait_rest(d, directory)


def test_a_full_spool_while_up_pauses_the_source(place, daemon):
    directory, a, b = place
    d = daemon(conf(directory, a, b, spool="64K"))
    b.reading = False
    say(a, 1, 5000)
    pump((a, b), lambda: any("room in b's queue" in line for line in d.control("ps a.read")))
    assert 500 < waits(d) < 5000
    b.reading = True
    pump((a, b), lambda: len(got(b)) >= 5000, what="the lines")
    assert got(b) == lines(1, 5000)
    assert account(d, "b")["dropped"] == 0


def test_frame_age(place, daemon):
    directory, a, b = place
    text = conf(directory, a, b, frame_age="1s")
    d = daemon(text)
    outage(d, a, b, 1, 300)
    wait_for(lambda: len(on_disk(directory)) == 300)
    # The time in the records is what counts.
    path, = segments(directory)
    newest = path.stat().st_mtime
    wait_for(lambda: os.stat("/proc/self").st_mtime > newest + 1.1 or
             __import__("time").time() > newest + 1.1)
    say(a, 301, 310)
    wait_offered(d, 310, (a,))
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 10)
    assert got(b) == lines(301, 310)
    v = account(d, "b")
    assert v["dropped"] == v["dropped_expired"] == 300


# --- a reload -----------------------------------------------------------------

def test_a_changed_section(place, daemon):
    directory, a, b = place
    d = daemon(conf(directory, a, b))
    outage(d, a, b, 1, 1000)
    d.reload(conf(directory, a, b, baud=19200, framing="slip"))
    assert waits(d) == 1000
    d.reload(conf(directory, a, b))
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 1000)
    assert got(b) == lines(1, 1000)
    wait_rest(d, directory)
    account(d, "b")


def test_an_endpoint_that_is_removed_keeps_its_frames(place, daemon):
    directory, a, b = place
    text = conf(directory, a, b)
    d = daemon(text)
    outage(d, a, b, 1, 1000)
    d.reload(section("daemon", "", state_dir=directory / "state") +
             serial("a", a, framing="line"))
    assert on_disk(directory) == lines(1, 1000)
    assert "1000 frames stay in its spool" in d.stderr()
    b.plug()
    d.reload(text.replace("[route way]", "[route other]"))
    pump((a, b), lambda: len(got(b)) >= 1000)
    assert got(b) == lines(1, 1000)
    wait_rest(d, directory)
    account(d, "b")


# --- trouble ------------------------------------------------------------------

def test_a_second_daemon(place, daemon):
    directory, a, b = place
    d = daemon(conf(directory, a, b))
    other = daemon(conf(directory, "/dev/no-a", "/dev/no-b"), name="other")
    wait_for(lambda: "is in use by another process" in other.stderr())
    assert "is in use" not in d.stderr()
    row, = other.json("spool")
    assert (row["state"], row["frames"], row["errors"]) == ("failing", 0, 1)
    assert "is in use by another process" in other.json("spool b")["error"]
    assert any("its spool cannot be used: " in line and "is in use by another process" in line
               for line in other.control("warnings"))
    with pytest.raises(ControlError, match="is in use by another process"):
        other.control("spool export b")
    with pytest.raises(ControlError, match="is in use by another process"):
        other.control("spool drop b")
    # A reload tries again.
    d.stop()
    other.reload()
    wait_for(lambda: other.json("spool")[0]["state"] == "empty")
    assert "no-spool" not in "".join(other.control("warnings"))


def test_a_missing_state_dir(place, daemon):
    """It is created, as for [mqtt]."""
    directory, a, b = place
    state = directory / "new"
    d = daemon(conf(directory, a, b, state=state))
    assert d.json("spool")[0]["state"] == "empty"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "spool").stat().st_mode) == 0o700


def test_a_directory_that_is_a_file(place, daemon):
    directory, a, b = place
    (directory / "state" / "spool").write_text("")
    d = daemon(conf(directory, a, b))
    assert "no spool: cannot create the directory" in d.stderr()
    b.unplug()
    d.wait_state("b", "lost")
    say(a, 1, 20)
    wait_offered(d, 20, (a,))
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 20)
    assert got(b) == lines(1, 20)


def test_garbage_in_the_directory(place, daemon):
    directory, a, b = place
    where = directory / "state" / "spool" / "b"
    where.mkdir(parents=True, mode=0o700)
    (where / "notes").write_text("x")
    (where / f"{7:016x}.seg").write_bytes(os.urandom(5000))
    with open(where / f"{9:016x}.seg", "wb") as f:
        f.truncate(10 << 30)
    (where / "ledger").write_bytes(os.urandom(600))
    d = daemon(conf(directory, a, b))
    said = d.stderr()
    assert "2 files in" in said and "are damaged, and named *.damaged now" in said
    assert "does not belong to a spool, and is left alone" in said
    outage(d, a, b, 1, 100)
    b.plug()
    pump((a, b), lambda: len(got(b)) >= 100)
    assert got(b) == lines(1, 100)
    wait_rest(d, directory)
    assert (where / "notes").read_text() == "x"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk(place, daemon):
    """The queue in memory carries on alone; with room, the disk is used again."""
    directory, a, b = place
    disk = directory / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk]).returncode:
        pytest.skip("no mounts here")
    try:
        d = daemon(conf(directory, a, b, state=disk, queue="8K"))
        (disk / "ballast").write_bytes(bytes(60 << 10))
        b.unplug()
        d.wait_state("b", "lost")
        say(a, 1, 500)
        wait_offered(d, 500, (a,))
        wait_for(lambda: "No space left on device; frames wait in memory" in d.stderr())
        sent = 500
        while d.dropped("b", "down") == 0:      # by a frame that comes later
            say(a, sent + 1, sent + 10)
            sent += 10
            wait_offered(d, sent, (a,))
        v = account(d, "b")
        assert 20 << 10 >= v["queued_bytes"] > 6 << 10
        b.plug()
        pump((a, b), lambda: len(got(b)) >= sent - v["dropped"])
        numbers = [int(line.split()[1]) for line in got(b)]
        assert numbers == sorted(set(numbers)) and numbers[-1] == sent
        assert d.stderr().count(f"its spool '{disk}") == 1
        d.kill()
    finally:
        subprocess.run(["umount", "-l", disk])


# --- accounts -----------------------------------------------------------------

class Spooled(Place):
    """The same, with small spools."""
    MOVES = Place.MOVES | {"unplug": 8, "restart": 3, "drop": 1}

    def conf(self):
        text = super().conf()
        for name in SINGLE:
            text = text.replace(f"[serial {name}]\n", f"[serial {name}]\nspool = 64K\n"
                                f"spool_sync = {self.dice.choice(('always', '20ms', 'none'))}\n")
        return section("daemon", "", state_dir=self.directory) + text

    def drop(self):
        self.d.control(f"spool drop {self.dice.choice(SINGLE)}")


def test_each_frame_is_accounted_for(pty, directory, connect):
    made = []

    def daemon(text, **keys):
        made.append(Daemon(directory, text, **keys))
        return made[-1]
    place = Spooled(pty, daemon, connect, directory)
    try:
        for n in range(400):
            place.turn()
            if n % 10 == 0:
                place.check()
        place.calm_down()
        now = place.check()
        for name, sources in SOURCES.items():
            came = sum(now[s]["rx_frames"] for s in sources) + place.sent[name]
            assert now[name]["offered"] == came, (name, came, now)
        made[0].stop()
    finally:
        for d in made:
            d.kill()
        for stream in place.clients + place.masters:
            stream.close()


# --- the command --------------------------------------------------------------

def test_the_command(place, daemon):
    directory, a, b = place
    d = daemon(conf(directory, a, b))
    row, = d.json("spool")
    assert (row["name"], row["state"], row["frames"]) == ("b", "empty", 0)
    with pytest.raises(ControlError, match="'a' has no spool; write spool = 256M"):
        d.control("spool a")
    outage(d, a, b, 1, 100)
    wait_for(lambda: len(on_disk(directory)) == 100)
    shown = d.json("spool b")
    assert (shown["frames"], shown["first"], shown["next"]) == (100, 1, 101)
    assert shown["directory"] == str(directory / "state" / "spool" / "b")
    exported = d.control("spool export b")
    assert [line.split(" ", 3)[1:] for line in exported] == \
        [["way", str(len(line)), line.decode()] for line in lines(1, 100)]
    assert d.control("spool drop b") == ["dropped: 100"]
    wait_rest(d, directory)
    assert account(d, "b")["dropped_discarded"] == 100
    assert d.control("spool export b") == []
