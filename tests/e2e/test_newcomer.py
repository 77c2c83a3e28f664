"""
What somebody sees who has just built it: shipped configurations start as they stand, and
messages say what to do.
"""
import fcntl
import os
import pty as ptys
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from certificates import Authority
from harness import (BINARY, ROOT, SANITIZERS, run, run_apart, section, serial,
                     tcp_server, wait_for)


def shipped():
    """Name and text of each configuration that is printed or shipped to be tried."""
    readme = (ROOT / "README.md").read_text()
    text = readme[readme.index("\n## A configuration\n"):]
    lines = re.match(r"(?:(?!    ).*\n)*((?:(?:    .*)?\n)+)", text)[1]
    yield "README.md", re.sub(r"(?m)^    ", "", lines)
    for file in sorted((ROOT / "conf/examples").glob("*.conf")):
        yield file.name, file.read_text()


def own_certificates(text, directory):
    """The text with certificates of the test's own, if it names any."""
    if "/etc/ttybridge/" in text:
        Authority(directory).make("server")
        (directory / "server.key").chmod(0o644)
    return text.replace("/etc/ttybridge/", f"{directory}/")


def start_all():
    """As a user without rights, where no service has run."""
    whole = "4294967295" in Path("/proc/self/uid_map").read_text()
    user = "nobody" if os.getuid() == 0 and whole else None
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        binary = shutil.copy(BINARY, directory)
        shutil.copy(Path(BINARY).parent / "ttybridge-tls.so", directory)
        for name, text in shipped():
            conf, log = directory / name, directory / f"{name}.log"
            conf.write_text(own_certificates(text, directory))
            with open(log, "w") as out:
                process = subprocess.Popen(
                    [binary, "-c", conf], stderr=out, cwd="/", user=user,
                    extra_groups=[] if user else None,
                    env={**os.environ, **SANITIZERS})
            try:
                wait_for(lambda: process.poll() is not None or
                         "endpoints up" in log.read_text())
                process.terminate()
                assert process.wait(20) == 0, f"{name}: {log.read_text()}"
            finally:
                process.kill()
            assert "cannot start" not in log.read_text()


def test_what_is_shipped_starts_as_it_stands(directory):
    run_apart("mount -t tmpfs tmpfs /run && ip link set lo up", __file__, directory,
              "a /run")


@pytest.mark.parametrize("name, text", shipped(), ids=lambda x: x[:9])
def test_what_is_shipped_has_no_warnings(directory, name, text):
    (directory / name).write_text(own_certificates(text, directory))
    done = run("--check", "-c", directory / name)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+ endpoints, (\d+|no) routes?\n", done.stdout)


def test_a_missing_directory_is_named_with_what_to_do(directory, daemon):
    d = daemon(section("pty", "a", link=f"{directory}/none/a") +
               section("unix-server", "b", listen=f"{directory}/none/b"),
               settled=False)
    for name in "ab":
        assert f"create the directory {directory}/none first" in d.get(f"{name}/error")
    if not os.path.exists("/run/ttybridge"):
        done = run("-c", "/dev/null", "pty:/tmp/x",
                   "control:unix:/run/ttybridge/control.sock")
        assert done.returncode == 1
        assert "/run/ttybridge is created by the service" in done.stderr
        assert "cannot start" in done.stderr.splitlines()[-1]


def test_a_device_that_never_was_there_is_no_loss(directory, daemon):
    d = daemon(serial("a", directory / "tty", reopen_min="20ms") +
               section("serial", "b", usb="1234:5678"), settled=False)
    assert f"a: not there: {directory}/tty (will be retried)\n" in d.stderr()
    assert "b: not there: USB device 1234:5678 (will be retried)\n" in d.stderr()
    assert "lost" not in d.stderr()
    assert d.state("a") == "lost"
    p = ptys.openpty()
    os.symlink(os.ttyname(p[1]), directory / "tty")
    d.wait_state("a", "up")
    for fd in p:
        os.close(fd)


def test_a_busy_port_names_its_holder(directory, daemon):
    master, slave = ptys.openpty()
    fcntl.flock(slave, fcntl.LOCK_EX)
    with socket.create_server(("127.0.0.1", 0)) as tcp, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        d = daemon(serial("a", os.ttyname(slave)) +
                   tcp_server("b", tcp.getsockname()[1]) +
                   section("udp", "c",
                           listen=f"127.0.0.1:{udp.getsockname()[1]}"),
                   settled=False)
        for name in "abc":
            assert re.search(rf"held by \S+ \(pid {os.getpid()}\)",
                             d.get(f"{name}/error")), name
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_without_any_configuration_it_points_to_the_help(options):
    if os.path.exists("/etc/ttybridge/ttybridge.conf"):
        pytest.skip("this machine has a configuration")
    done = run(*options)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "ttybridged: give a configuration with -c FILE, or endpoints as arguments; "
        "see --help")


@pytest.mark.parametrize("typed, completed", [
    ("ser", "serial:"),
    ("serial:/dev/nul", "serial:/dev/null "),
    ("/dev/null,framing=li", "/dev/null,framing=line "),
    ("serial:/dev/null,baud=9600,framing=ub", "framing=ubx "),
    ("--list-p", "--list-ports "),
])
def test_bash_completes_what_is_typed(typed, completed):
    """In a real shell, which splits words at colons and equal signs."""
    pid, terminal = ptys.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"],
                   {**os.environ, "PS1": "$ ", "TERM": "dumb"})
    shown = ""

    def shows(text):
        nonlocal shown
        if select.select([terminal], [], [], 0)[0]:
            shown += os.read(terminal, 4096).decode()
        return text in shown

    try:
        os.write(terminal, f". {ROOT}/conf/ttybridged.bash-completion; "
                 "echo so''urced\n".encode())
        wait_for(lambda: shows("sourced"))
        os.write(terminal, f"{BINARY} {typed}\t".encode())
        wait_for(lambda: shows(completed))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_options_that_do_not_fit_are_refused():
    done = run("--list-framings", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--json is only possible with --check or --list-ports" in done.stderr


if __name__ == "__main__":
    start_all()
