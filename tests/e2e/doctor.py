"""`ttybridgectl doctor`, and a system as it sees it."""
import json
import os
import shutil
import stat
import subprocess
import time

from ctl import CTL
from harness import BROKEN, FAULTS, PATIENCE, SANITIZERS

# A busy machine may hold up any process.
BUSY = "warnings"


class Report:
    """What it has found."""

    def __init__(self, done):
        assert not BROKEN.search(done.stderr), done.stderr
        self.status = done.returncode
        assert done.stdout, done.stderr
        every = json.loads(done.stdout)
        self.findings = every["findings"]
        self.hints = [h for h in every["hints"] if h["check"] != BUSY]
        self.not_checked = {row["check"]: row["why"] for row in every["not_checked"]}
        self.checks = every["checks"]
        assert self.status == (1 if self.findings else 0)
        for row in self.findings + self.hints:
            assert all(row[k] for k in ("check", "name", "what", "where", "remedy")), row

    def of(self, check):
        return [row for row in self.findings if row["check"] == check]

    def only(self, check, *parts):
        """It is the only finding, and says all of that."""
        assert [row["check"] for row in self.findings] == [check], self.findings
        row = self.findings[0]
        for part in parts:
            assert part in " ".join(row.values()), (part, row)
        return row

    def nothing(self):
        assert self.findings == [] and self.hints == [], (self.findings, self.hints)
        return self


def run(*args, env=(), user=None):
    return subprocess.run(
        [CTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=PATIENCE, user=user, group=user,
        extra_groups=None if user is None else [],
        env={**os.environ, **SANITIZERS, **dict(env)})


def doctor(d, *, system=None, env=(), user=None):
    """The report on a daemon, or on the configuration in a file."""
    file = getattr(d, "file", d)
    env = {**(system.env if system else {}), **dict(env)}
    return Report(run("doctor", "--json", "-c", file, env=env, user=user))


def synchronised(yes):
    return {"LD_PRELOAD": str(FAULTS), "FAULT_SYNC": "yes" if yes else "no",
            "ASAN_OPTIONS": "verify_asan_link_order=0"}


class System:
    """Files in place of those of the system, and a systemctl that says what it is told."""

    def __init__(self, directory):
        self.root = directory / "root"
        self.bin = directory / "bin"
        self.root.mkdir()
        self.bin.mkdir()
        self.env = {"TTYBRIDGE_DOCTOR_ROOT": str(self.root),
                    "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def tty(self, pty, path, text):
        """A file of the device in /sys."""
        name = pty.slave_name.removeprefix("/dev/")
        return self.write(f"/sys/class/tty/{name}/device/{path}", text)

    def usb(self, pty, place):
        """It belongs to that USB device."""
        name = pty.slave_name.removeprefix("/dev/")
        self.write(f"/sys/devices/usb1/{place}/idVendor", "0403\n")
        self.write(f"/sys/devices/usb1/{place}/{place}:1.0/uevent", "\n")
        link = self.root / f"sys/class/tty/{name}/device"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / f"sys/devices/usb1/{place}/{place}:1.0")

    def kernel(self, *messages, ago=0):
        """Lines of the kernel log."""
        usec = int((time.clock_gettime(time.CLOCK_MONOTONIC) - ago) * 1e6)
        file = self.write("/dev/kmsg", "".join(
            f"6,{n},{usec},-;{m}\n SUBSYSTEM=usb\n" for n, m in enumerate(messages)))
        return file

    def service(self, d, unit="ttybridge.service", sockets=(), **properties):
        """The daemon is this service, which inherits these sockets."""
        self.write("/run/systemd/system/.there", "")
        self.write(f"/proc/{d.pid}/cgroup", f"0::/system.slice/{unit}\n")
        self.systemctl(unit, MainPID=d.pid, LoadState="loaded",
                       TriggeredBy="ttybridge.socket", **properties)
        self.systemctl("ttybridge.socket",
                       Listen="\n".join(f"{s} (Stream)" for s in sockets))

    def systemctl(self, unit, **properties):
        lines = "".join(f"{k}={line}\n" for k, v in properties.items()
                        for line in str(v).split("\n"))
        (self.bin / unit).write_text(lines)
        script = self.bin / "systemctl"
        script.write_text('#!/bin/sh\ncat "$(dirname "$0")/$4"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)


def program(directory, name):
    """A program of that name that does nothing but hold what it is given."""
    path = directory / name
    shutil.copy(shutil.which("sleep"), path)
    return path
