"""`ttybridgectl doctor`: devices, other programs, the kernel, systemd and disks."""
import grp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctl import Stub
from doctor import Report, System, doctor, program, run
from harness import (FAULTS, NOBODY, Daemon, Pty, expect, fill, free_port, route, run_apart,
                     section, serial, tcp_server, wait_for)
from test_sockets import listening, pass_sockets        # noqa: F401


@pytest.fixture
def system(directory):
    return System(directory)


@pytest.fixture
def pair(pty, daemon):
    def start(more="", **keys):
        a, b = pty("a"), pty("b")
        keys = {"framing": "line", **keys}
        d = daemon(serial("a", a, **keys) + serial("b", b, **keys) + more)
        return d, a, b
    return start


# --- who may use a device, and who does -------------------------------------------

def test_a_user_that_is_not_in_the_group_of_the_device(nobody):
    a, b = Pty(nobody / "a"), Pty(nobody / "b")
    os.chmod(a.slave_name, 0o660)
    os.chown(a.slave_name, 0, grp.getgrnam("dialout").gr_gid)
    os.chmod(b.slave_name, 0o666)
    with Daemon(nobody, serial("a", a, framing="line") + serial("b", b, framing="line"),
                user=NOBODY, settled=False) as d:
        wait_for(lambda: "permission denied" in d.get("a/error"))
        doctor(d).only("permission", "[serial a]", "the user nobody may not use",
                       "sudo usermod -aG dialout nobody")
        file = d.file
    # Without a daemon, it is who runs it.
    report = Report(run("doctor", "-j", "-c", file, user=NOBODY))
    assert [row["check"] for row in report.findings] == ["daemon", "permission"]
    assert "usermod -aG dialout nobody" in report.of("permission")[0]["remedy"]
    a.close(), b.close()


def test_what_a_user_may_not_see_is_named(nobody):
    system = System(nobody)
    a, b = Pty(nobody / "a"), Pty(nobody / "b")
    for p in (a, b):
        os.chmod(p.slave_name, 0o666)
    system.usb(a, "1-1")
    system.kernel("usb 1-1: USB disconnect, device number 5").chmod(0)
    subprocess.run(["chmod", "-R", "a+rX", nobody / "root/sys"], check=True)
    with Daemon(nobody, serial("a", a, framing="line") + serial("b", b, framing="line")) as d:
        d.socket.chmod(0o666)
        report = doctor(d, system=system, user=NOBODY)
        assert report.findings == []
        assert set(report.not_checked) == {"held-device", "usb", "version"}
        assert all(f"sudo ttybridgectl -c {d.file} doctor" in why
                   for why in report.not_checked.values())
        done = run("doctor", "-c", d.file, env=system.env, user=NOBODY)
        assert "not checked: usb: the kernel log: Permission denied" in done.stdout
    for p in (a, b):
        p.close()


@pytest.mark.parametrize("name, remedy", [
    ("ModemManager", "systemctl disable --now ModemManager.service"),
    ("brltty", "systemctl mask --now brltty.service"),
    ("agetty", "systemctl disable --now serial-getty@pts/"),
    ("minicom", "sudo kill ")])
def test_another_program_that_has_the_device_open(pair, directory, name, remedy):
    d, a, b = pair()
    doctor(d).nothing()
    with open(a.slave_name, "rb", buffering=0) as device, \
            subprocess.Popen([program(directory, name), "600"], stdin=device) as other:
        try:
            doctor(d).only("held-device", "[serial a]", f"is held by {name} (pid {other.pid})",
                           remedy)
        finally:
            other.kill()
    doctor(d).nothing()


def test_the_program_behind_a_pseudo_terminal_is_no_holder(pair):
    """It may keep the other end open, too, so as not to see a hang-up."""
    d, a, b = pair()
    with open(a.slave_name, "rb", buffering=0, opener=lambda path, flags: os.open(
            path, flags | os.O_NOCTTY)):
        doctor(d).nothing()


def test_a_program_that_the_daemon_waits_for(pty, daemon, directory):
    a, b = pty("a"), pty("b")
    lock = "import fcntl, sys, time; fcntl.flock(0, fcntl.LOCK_EX); print(flush=True); " \
        "time.sleep(600)"
    with open(a.slave_name, "rb", buffering=0) as device, \
            subprocess.Popen([sys.executable, "-c", lock], stdin=device,
                             stdout=subprocess.PIPE) as other:
        try:
            other.stdout.readline()
            d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"),
                       settled=False)
            wait_for(lambda: "held by" in d.get("a/error"))
            doctor(d).only("held-device", f"(pid {other.pid})", f"sudo kill {other.pid}")
        finally:
            other.kill()


# --- USB ------------------------------------------------------------------------------

def test_the_latency_timer_of_an_adapter(pair, system):
    d, a, b = pair()
    system.tty(a, "latency_timer", "16\n")
    system.tty(b, "latency_timer", "1\n")
    report = doctor(d, system=system)
    assert report.findings == [] and report.status == 0
    assert [(h["check"], h["name"]) for h in report.hints] == [("latency", "a")]
    assert "up to 16 ms" in report.hints[0]["what"]


def test_the_latency_timer_where_silences_count(pair, system):
    d, a, b = pair(framing="modbus-rtu")
    system.tty(a, "latency_timer", "16\n")
    doctor(d, system=system).only("latency", "for 16 ms", "set a/low_latency yes")
    # Without a daemon, too.
    d.stop()
    assert [row["name"] for row in doctor(d.file, system=system).of("latency")] == ["a"]


@pytest.mark.parametrize("messages, found", [
    (["usb 1-1.2: reset full-speed USB device number 5 using xhci_hcd"], "1 resets"),
    (["usb 1-1.2: USB disconnect, device number 5",
      "usb 1-1.2: new full-speed USB device number 6 using xhci_hcd",
      "usb 1-1.2: USB disconnect, device number 6"], "2 disconnections"),
    (["usb 1-1.2: device descriptor read/64, error -71"], "1 errors"),
    # It was plugged in again, once; another device.
    (["usb 1-1.2: USB disconnect, device number 5",
      "usb 1-1.2: new full-speed USB device number 6 using xhci_hcd",
      "usb 1-1.20: reset full-speed USB device number 5 using xhci_hcd",
      "usb 1-1: reset full-speed USB device number 5 using xhci_hcd"], None)])
def test_what_the_kernel_says_about_a_device(pair, system, messages, found):
    d, a, b = pair()
    system.usb(a, "1-1.2")
    system.kernel(*messages)
    report = doctor(d, system=system)
    if found is None:
        report.nothing()
    else:
        report.only("usb", "[serial a]", found, "1-1.2", "dmesg")


def test_what_the_kernel_has_said_long_ago(pair, system):
    d, a, b = pair()
    system.usb(a, "1-1.2")
    system.kernel("usb 1-1.2: reset full-speed USB device number 5", ago=-1)
    assert doctor(d, system=system).of("usb")
    system.write("/dev/kmsg", "6,1,5,-;usb 1-1.2: reset full-speed USB device number 5\n")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    if uptime > 25 * 3600:
        doctor(d, system=system).nothing()


def test_a_device_that_is_missing(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="line") + serial("b", b, framing="line"))
    a.unplug()
    d.wait_state("a", "lost")
    doctor(d).only("endpoints", "a is not up", "--list-ports")
    a.plug()


# --- the service --------------------------------------------------------------------------

CLIENTS = section("tcp-client", "far", connect="127.0.0.1:9", framing="line")


@pytest.mark.parametrize("properties", [
    dict(PrivateNetwork="yes", RestrictAddressFamilies="AF_UNIX"),
    dict(PrivateNetwork="no", RestrictAddressFamilies="AF_UNIX AF_NETLINK")])
def test_a_service_without_a_network(daemon, pty, system, properties):
    port, other = free_port(), free_port()
    d = daemon(serial("a", pty("a"), framing="line") + CLIENTS +
               tcp_server("lan", port, framing="line") +
               tcp_server("out", other, framing="line"), settled=False)
    system.service(d, sockets=[f"127.0.0.1:{port}", str(d.socket)], **properties)
    found = {row["name"]: row for row in doctor(d, system=system).of("network")}
    assert set(found) == {"far", "out"}
    assert "network.conf" in found["far"]["remedy"]
    assert "systemctl restart ttybridge.service" in found["far"]["remedy"]
    assert f"ListenStream=127.0.0.1:{other}" in found["out"]["remedy"]


def test_an_inherited_socket_that_does_not_serve_the_section(daemon, system):
    port = free_port()
    d = daemon(section("tcp-server", "lan", listen=f"*:{port}", framing="line", allow="127.0.0.1") +
               section("echo", "back"), settled=False)
    system.service(d, sockets=[f"127.0.0.1:{port}", str(d.socket)], PrivateNetwork="yes")
    report = doctor(d, system=system)
    [row] = report.of("network")
    assert row["name"] == "lan"
    assert f"the inherited socket 127.0.0.1:{port} does not serve it" in " ".join(row.values())
    assert f"ListenStream={port};" in row["remedy"]
    assert not report.of("sockets")
    system.service(d, sockets=[str(port), str(d.socket)], PrivateNetwork="yes")
    assert not doctor(d, system=system).of("network")


def test_a_systemctl_that_does_not_end(pair, system):
    d, a, b = pair()
    system.service(d)
    (system.bin / "systemctl").write_text("#!/bin/sh\ntrap '' TERM\nexec sleep 600\n")
    assert Report(run("doctor", "--json", "-c", d.file, env=system.env)).findings == []


def test_an_inherited_socket_that_a_reload_has_given_up(daemon, system):
    port, other = free_port(), free_port()
    d = daemon(tcp_server("lan", port, framing="line") + section("echo", "back"))
    system.service(d, sockets=[f"127.0.0.1:{port}", f"127.0.0.1:{other}", str(d.socket)],
                   PrivateNetwork="yes")
    doctor(d, system=system).only(
        "sockets", f"the inherited socket 127.0.0.1:{other}", "ttybridge.socket")


def test_a_service_with_a_network(pair, system):
    port = free_port()
    d, a, b = pair(more=tcp_server("lan", port, framing="line"))
    system.service(d, PrivateNetwork="no",
                   RestrictAddressFamilies="AF_UNIX AF_INET AF_INET6")
    doctor(d, system=system).nothing()
    system.service(d, PrivateNetwork="no", RestrictAddressFamilies="~")
    doctor(d, system=system).nothing()


def test_systemd_that_does_not_answer(pair, system):
    d, *_ = pair()
    system.service(d, PrivateNetwork="yes")
    (system.bin / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    report = doctor(d, system=system)
    assert report.findings == [] and "network" in report.not_checked


def test_an_inherited_socket_that_no_section_claims(pass_sockets):      # noqa: F811
    spare, port = listening("127.0.0.1")
    used, other = listening("127.0.0.1")
    d = pass_sockets(section("tcp-server", "lan", listen=f"127.0.0.1:{other}", framing="line") +
                     section("echo", "back"), spare=spare, used=used)
    doctor(d).only("sockets", f"spare (127.0.0.1:{port})", "ttybridge.socket")


# --- disks -----------------------------------------------------------------------------------

def full_disk(directory):
    """In mounts of its own: a file system that is full of something else."""
    disk = directory / "disk"
    a, b = Pty(directory / "a"), Pty(directory / "b")
    conf = section("daemon", "", state_dir=disk) + \
        serial("a", a, framing="line") + serial("b", b, framing="line", spool="1M")
    sync = {"LD_PRELOAD": str(FAULTS), "FAULT_SYNC": "yes",
            "ASAN_OPTIONS": "verify_asan_link_order=0"}
    with Daemon(directory, conf) as d:
        doctor(d, env=sync).nothing()
        with open(disk / "something", "wb") as f:
            try:
                while True:
                    f.write(bytes(65536))
                    f.flush()
            except OSError:
                pass
        found = doctor(d, env=sync).findings
        assert {row["check"] for row in found} <= {"disk", "warnings"}
        row = [row for row in found if row["check"] == "disk"][0]
        assert "[serial b]" in row["where"] and f"du -xh {disk}" in row["remedy"]
        (disk / "something").unlink()
        # A log is what it is about, too.
        d.reload(serial("a", a, framing="line", log=disk / "a.log") +
                 serial("b", b, framing="line"))
        doctor(d, env=sync).nothing()
        (disk / "something").write_bytes(bytes(3 << 19))
        doctor(d, env=sync).only("disk", "[serial a]", "has its log")
    a.close(), b.close()


def test_a_disk_that_is_full(directory):
    (directory / "disk").mkdir()
    run_apart(f"mount -t tmpfs -o size=2M tmpfs {directory}/disk", __file__, directory, "mounts")


# --- other daemons -----------------------------------------------------------------------------

def test_a_daemon_of_another_version(directory):
    """On another machine, as far as that can be seen."""
    stub = Stub(directory / "stub.sock", {
        "json list": ['{"daemon/version":"0.0.9","daemon/pid":1}', "OK"],
        **{f"json {c}": ["[]", "OK"] for c in ("endpoints", "routes", "peers", "ps", "warnings")}})
    report = Report(run("-s", directory / "stub.sock", "doctor", "--json"))
    stub.close()
    report.only("version", "0.0.9", "process 1")
    assert "another machine" in report.not_checked["permission"]


if __name__ == "__main__":
    full_disk(Path(sys.argv[1]))
