"""
A device that comes back is opened because something tells of it: the back-off of
these daemons would take an hour.
"""
import errno
import grp
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness import (BINARY, FAULTS, NOBODY, Daemon, Pty, expect, fill, run_apart, serial,
                     wait_for)

NEVER = dict(reopen_min="1h", reopen_max="1h", framing="line")


# --- inotify -----------------------------------------------------------------

@pytest.fixture
def a_user():
    """Who the daemon is, and a directory for it: root may open whatever it likes."""
    if os.getuid() != 0:
        user, directory = None, Path(tempfile.mkdtemp())
    else:
        user, directory = NOBODY, Path(tempfile.mkdtemp(dir="/tmp"))
        os.chown(directory, user, user)
        if subprocess.run(["test", "-x", BINARY], user=user).returncode != 0:
            pytest.skip(f"the user {user} may not run {BINARY}")
    yield user, directory
    shutil.rmtree(directory)


def test_a_device_that_may_not_be_opened_yet_is_opened_when_it_may(a_user):
    """As with udev: a node is root's when it comes, and dialout's a moment later."""
    user, directory = a_user
    a, b = Pty(directory / "a"), Pty(directory / "b")
    os.chmod(a.slave_name, 0o666)
    b.unplug()
    with Daemon(directory, serial("a", a, framing="line") + serial("b", b, **NEVER),
                user=user, settled=False) as d:
        d.wait_state("b", "lost")
        a.send(b"for later\n")
        d.wait_number("b/queued_frames", 1)
        name, b.link = b.link, directory / "not yet"
        b.plug()
        os.chmod(b.slave_name, 0)
        b.link = b.link.rename(name)
        wait_for(lambda: "permission denied" in d.get("b/error"))
        assert d.state("b") == "lost"
        os.chmod(b.slave_name, 0o666)
        expect(b, b"for later\n")
    for p in (a, b):
        p.close()


def test_a_device_that_may_not_be_opened_says_what_helps(a_user):
    """The group that a service with users of its own sees for most is that of nobody."""
    user, directory = a_user
    if os.getuid() != 0:
        pytest.skip("only root may give devices away")
    dialout = grp.getgrnam("dialout").gr_gid
    for group, mode, said in ((dialout, 0o660, "is the user in group dialout?"),
                              (65534, 0o600, "is the user in group dialout?"),
                              (0, 0o660, "is the user in group dialout?"),
                              (dialout, 0o600, "a udev rule may set it to 0660")):
        a = Pty(directory / "a")
        os.chown(a.slave_name, 0, group)
        os.chmod(a.slave_name, mode)
        with Daemon(directory, serial("a", a), user=user, settled=False) as d:
            error = d.get("a/error")
            assert error.startswith("permission denied") and said in error
            assert "nogroup" not in error
        a.close()


def test_a_link_in_a_directory_that_comes_and_goes_is_found(pty, daemon, directory):
    """As /dev/serial/by-id, which is there while it has links in it."""
    a = pty("a")
    by_id = directory / "serial" / "by-id"
    by_id.mkdir(parents=True)
    b = pty(by_id / "usb-board")
    d = daemon(serial("a", a, framing="line") + serial("b", b, **NEVER))
    for n in range(60):
        b.unplug()
        d.wait_state("b", "lost")
        by_id.rmdir()
        by_id.parent.rmdir()
        line = b"after %d\n" % n
        a.send(line)
        d.wait_number("b/queued_frames", 1)
        by_id.mkdir(parents=True)
        b.plug()
        expect(b, line, [a])


# --- udev --------------------------------------------------------------------

def murmur2(text):
    """The hash by which listeners filter."""
    m, mask = 0x5bd1e995, 0xffffffff
    h, data = len(text), text
    while len(data) >= 4:
        k = int.from_bytes(data[:4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
        data = data[4:]
    if data:
        h = (h ^ int.from_bytes(data, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


class Udev:
    """Tells, as udev does, that it has dealt with a device."""

    HEADER = struct.Struct("=8s4sIII4s4sII")
    UEVENT = 15     # the protocol
    UDEV = 2        # the group of those who listen to udev, not to the kernel

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                                    self.UEVENT)
        self.number = 0

    def tell(self, action, node, subsystem="tty"):
        self.number += 1
        words = dict(ACTION=action, DEVPATH=f"/devices/virtual/{subsystem}/x",
                     SUBSYSTEM=subsystem, DEVNAME=node, SEQNUM=self.number,
                     MAJOR=136, MINOR=0)
        body = b"".join(b"%s=%s\0" % (k.encode(), str(v).encode())
                        for k, v in words.items())
        head = self.HEADER.pack(b"libudev\0", b"\xfe\xed\xca\xfe",
                                self.HEADER.size, self.HEADER.size, len(body),
                                murmur2(subsystem.encode()).to_bytes(4, "big"),
                                bytes(4), 0, 0)
        self.socket.sendto(head + body, (0, self.UDEV))


def hear_udev(directory):
    """
    In a network and a /run of its own, where this is udev.  There is no inotify, so
    that it is udev's word that counts.
    """
    a, b, c = (Pty(directory / name) for name in "abc")
    udev, log = Udev(), directory / "faults"
    log.touch()
    with Daemon(directory, serial("a", a, framing="line") + serial("b", b, **NEVER)
                + serial("c", c, **NEVER),
                env={"LD_PRELOAD": str(FAULTS), "FAULT_LOG": str(log),
                     "FAULT": f"inotify_init1 1 {errno.EMFILE} 99999",
                     "ASAN_OPTIONS": "verify_asan_link_order=0"}) as d:
        assert "daemon.udev" not in d.tasks()
        for n in range(3):
            b.unplug()
            c.unplug()
            d.wait_state("b", "lost")
            d.wait_state("c", "lost")
            assert d.tasks()["daemon.udev"]["state"] == "waiting"
            b.plug()
            c.plug()
            # Of these nobody can be the reason to open c.
            udev.tell("remove", c.slave_name)
            udev.tell("add", c.slave_name, "block")
            udev.tell("add", "/dev/nothing")
            udev.tell("add", b.slave_name)
            d.wait_state("b", "up")
            assert d.state("c") == "lost"
            words = d.raw("get daemon/waits\nget daemon/events\n").split()
            assert words[0] == words[2], "\n".join(d.control("ps"))
            udev.tell("change", c.slave_name)
            d.wait_state("c", "up")
            assert "daemon.udev" not in d.tasks()
            a.send(b"%d\n" % n)
            for p in (b, c):
                expect(p, b"%d\n" % n, [a])
        before = d.cpu()
        fill([a, b, c])
        assert d.cpu() - before < 0.2
    for p in (a, b, c):
        p.close()


def test_udevs_word_is_enough(directory):
    assert FAULTS.exists(), f"{FAULTS} is not there: make faults"
    run_apart("mount -t tmpfs tmpfs /run && mkdir /run/udev && "
              ": >/run/udev/control", __file__, directory, "a /run")


if __name__ == "__main__":
    hear_udev(Path(sys.argv[1]))
