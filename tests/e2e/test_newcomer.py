"""
What somebody sees who has just built it: shipped configurations start as they stand, what
README.md says can be typed works, and messages say what to do.  Its recipes are tried by
test_recipes.py.
"""
import fcntl
import itertools
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

import readme
import test_manual as manual
from certificates import Authority
from ctl import CTL, ctl
from harness import (BINARY, ROOT, SANITIZERS, expect, flush, free_port, run, run_apart,
                     section, serial, tcp_server, wait_for)


def shipped():
    """Name and text of each configuration that is printed or shipped to be tried."""
    text, = readme.blocks("ini", "A first bridge")
    yield "README.md", text
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


# --- what README says can be typed -------------------------------------------

# Where the commands for a service are carried out: in a container with systemd.
CONTAINER = ROOT / "tests/systemd/in-container.sh"
SERVICE = {
    "make install PREFIX=/usr": (ROOT / "tests/systemd/run.sh", "install .*PREFIX=/usr"),
    "$EDITOR /etc/ttybridge/ttybridge.conf": None,
    "systemd-sysusers": (CONTAINER, "^systemd-sysusers$"),
    "systemd-tmpfiles --create ttybridge.conf": (CONTAINER,
                                                 "^systemd-tmpfiles --create ttybridge.conf$"),
    "systemctl daemon-reload": (CONTAINER, "^systemctl daemon-reload$"),
    "systemctl enable --now ttybridge.socket ttybridge": (
        CONTAINER, "^systemctl enable --now ttybridge.socket ttybridge"),
    "systemctl status ttybridge": (CONTAINER, "systemctl status .*ttybridge"),
    "systemctl reload ttybridge": (CONTAINER, "systemctl reload ttybridge"),
    "systemctl restart ttybridge": (CONTAINER, "systemctl restart ttybridge"),
    "journalctl -u ttybridge ENDPOINT=ar1": (CONTAINER, "journalctl -u ttybridge .*ENDPOINT="),
    "install -D -t /etc/systemd/system/ttybridge.service.d "
    "/usr/share/doc/ttybridge/examples/network.conf": (
        CONTAINER, r"^install -D -t /etc/systemd/system/ttybridge.service.d .*network.conf"),
}


@pytest.fixture
def place(directory):
    made = readme.Place(directory)
    yield made
    made.close()


def shell(command, place, **kwargs):
    """Gives a command of README to a shell, with the programs under test in its path."""
    path = f"{Path(BINARY).parent}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-c", place.adapt(command)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd=ROOT, timeout=60, env={**os.environ, **SANITIZERS, "PATH": path},
                          **kwargs)


def test_every_section_with_commands_is_tried():
    tried = {"Two commands", "A first bridge", "Coming from another program",
             "Nothing arrives?", "As a service"}
    assert {t for t in readme.SECTIONS if readme.commands(t)} - set(readme.RECIPES) == tried


READMES = [ROOT / "README.md", ROOT / "src/README.md", ROOT / "tests/README.md"]


def targets():
    """The commands `make ...` in the files for users and developers."""
    found = set()
    for file in READMES:
        text = file.read_text()
        found |= set(re.findall("`(make(?: [^`]*)?)`", text))
        for block in re.findall(r"(?ms)^ *```sh\n(.*?)^ *```$", text):
            found |= set(re.findall(r"(?m)(?:^ *|&& )(make [^#&\n]*?)(?=$| *[#&])", block))
    # Once for each target, with its flavour.
    return sorted({re.sub(r" (?!FLAVOUR)[A-Z]+=('[^']*'|\S*)", "", command) for command in found})


@pytest.mark.parametrize("command", targets())
def test_a_target_of_make_exists(command):
    """`make demo` is run by test_boards.py, `make install` and `make deb` by
    test_install.py, `make picture` is what test_pictures.py is about."""
    # These would look for packages, and only then say what they would do.
    leave = [word for name in ("deps", "deps-build", "deps-demo", "deps-vm") for word in ("-o", name)]
    done = subprocess.run([*readme.words(command), "-n", *leave], cwd=ROOT, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_the_examples_for_developers_use_what_there_is():
    text = (ROOT / "src/README.md").read_text()
    code = "\n".join(re.findall(r"(?ms)^ *```c\n(.*?)^ *```$", text))
    made = re.compile("netstring|chardev|is_digit|open_device")
    used = set(re.findall(r"\b([a-z_]{4,})\(", code)) | set(re.findall(r"\.([a-z_]+) = ", code)) | \
        set(re.findall(r"`(\w+)\(\)`", text))
    for word in used - {"sizeof", "while", "snprintf"}:
        assert made.search(word) or re.search(rf"\b{word}\b", manual.ALL), word
    for file in re.findall(r"`((?:tests/)?\w+/[\w/]+\.\w+)`", text):
        assert made.search(file) or (ROOT / "src" / file).exists() or (ROOT / file).exists(), file


def test_the_suites_of_the_benchmark_exist():
    named = {suite for words in re.findall(r"SUITES=([\w,]+)", readme.TEXT)
             for suite in words.split(",")}
    text = (ROOT / "tests/bench/suites.py").read_text()
    assert named and all(f"\ndef {suite}():" in text for suite in named)


def test_a_first_bridge(place, daemon, terminal):
    path, ports, start, top, attach, ask, tasks, watch = readme.commands("A first bridge")
    assert path == 'export PATH="$PWD/build/plain:$PATH"'
    done = shell(ports, place)
    assert done.returncode == 0, done.stdout
    d = daemon(words=[place.adapt(word) for word in readme.words(start)[1:]])
    left, right = place.ttys["ttyACM0"], place.ttys["ttyACM1"]
    left.send(b"temp?\r\n")
    expect(right, b"temp?\r\n", [left])
    for command, text in ((top, "ep2"), (attach, "attached")):
        words = readme.words(place.adapt(command))
        assert words[0] == "ttybridgectl"
        terminal(*words[1:]).shows(text)
    asking = subprocess.Popen([CTL, *readme.words(place.adapt(ask))[1:]],
                              stdout=subprocess.PIPE, text=True)
    expect(left, b"temp?\n")
    left.send(b"21.5\r\n")
    assert asking.communicate(timeout=20)[0] == "21.5\n"
    expect(right, b"21.5\r\n", [left])
    done = shell(tasks, place)
    assert "a line from ep1" in done.stdout and done.stdout.endswith("\nOK\n")
    watching = subprocess.Popen(["sh", "-c", place.adapt(watch)], stdout=subprocess.PIPE,
                                text=True)
    sent = itertools.count()

    def ended():
        left.send(b"temp %d\n" % next(sent))
        flush([left])
        return watching.poll() is not None
    wait_for(ended)
    *shown, last = watching.stdout.read().splitlines()
    numbers = [int(re.search(r" temp (\d+)  \[sent to ep2\]$", line)[1]) for line in shown]
    assert numbers == list(range(numbers[0], numbers[0] + 10)) and last == "OK"


def test_virtual_ports_and_the_page(directory, daemon, open_tty):
    pair, = re.findall("`ttybridged (pty:/tmp/left pty:/tmp/right)` is a pair", readme.TEXT)
    web = free_port()
    assert "`http:127.0.0.1:9110`" in readme.TEXT
    daemon(words=[*pair.replace("/tmp/", f"{directory}/").split(), f"http:127.0.0.1:{web}"],
           settled=False)
    left, right = open_tty(directory / "left"), open_tty(directory / "right")
    left.send(b"hello")
    expect(right, b"hello", [left])
    with socket.create_connection(("127.0.0.1", web)) as browser:
        browser.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert browser.recv(100).startswith(b"HTTP/1.1 200 ")


def test_nothing_arrives(directory, daemon, place, terminal):
    d = daemon(section("pty", "a") + section("pty", "b"))
    known = ctl("--list-commands").stdout + ctl("-s", d.socket, "help").stdout
    for command in readme.commands("Nothing arrives?"):
        program, name = readme.words(command)
        assert program == "ttybridgectl"
        if name == "watch":
            watching = terminal("-s", d.socket, name)
            wait_for(lambda: any("watch" in row["label"] for row in d.json("ps")))
            d.control("send a hello")
            watching.shows("hello")
        elif re.search(rf"(?m)^{name}\b", known):
            done = ctl("-s", d.socket, name)
            assert done.returncode == 0, done.stdout + done.stderr


# The least that each of them accepts.
OTHERS = {
    "ser2net": "connection: &con0\n  accepter: tcp,2000\n"
               "  connector: serialdev,/dev/ttyS0,9600n81,local\n",
    "mavlink-router": "[General]\nTcpServerPort = 5760\n[UartEndpoint fc]\n"
                      "Device = /dev/ttyS0\nBaud = 57600\n",
    "mbusd": "device = /dev/ttyS0\nspeed = 9600\nmode = 8n1\nport = 502\n",
    "kplex": "[serial]\nfilename=/dev/ttyS0\nbaud=4800\ndirection=in\n"
             "[tcp]\nmode=server\nport=10110\n",
}


@pytest.mark.parametrize("command", readme.commands("Coming from another program"))
def test_configurations_of_other_programs(directory, command):
    if "--init" not in run("--help").stdout:
        pytest.skip("this version has no --init")
    program, option, name, _ = readme.words(command)
    (directory / "old").write_text(OTHERS[name])
    done = run(option, name, directory / "old")
    if "is no program whose configuration can be converted" in done.stderr:
        pytest.skip(f"this version has no --init {name}")
    assert done.returncode == 0, done.stderr
    (directory / "new").write_text(done.stdout)
    assert run("--check", "-c", directory / "new").returncode == 0
    assert run(option, name, directory / "old", "-c", directory / "x").returncode == 0
    assert (directory / "x").read_text() == done.stdout


def test_a_first_configuration(directory):
    if "--init" not in run("--help").stdout:
        pytest.skip("this version has no --init")
    assert "`ttybridged --init -c FILE`" in readme.TEXT
    # Somebody who answers each question with Enter.
    user, terminal = ptys.openpty()
    os.write(user, b"\n" * 50)
    done = subprocess.run([BINARY, "--init", "-c", directory / "new"], stdin=terminal,
                          stderr=subprocess.PIPE, timeout=60, env={**os.environ, **SANITIZERS})
    os.close(user)
    os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert run("--check", "-c", directory / "new").returncode == 0


def test_the_commands_for_a_service_are_tried():
    found = [command.strip() for line in readme.commands("As a service")
             for command in line.split(";")]
    assert set(found) == set(SERVICE)
    for command, where in SERVICE.items():
        if where:
            file, pattern = where
            assert re.search(pattern, file.read_text(), re.M), command


def test_the_links_of_readme_lead_somewhere():
    for file in READMES:
        for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
            assert "://" in link or (file.parent / link).exists(), f"{file}: {link}"


def words_of(text):
    return re.findall(r"`(\w[\w-]*)(?: = [^`]*)?`", text)


def test_the_tables_of_readme_name_what_there_is():
    rows = re.findall(r"(?m)^\| [^|]* \| (.*\[.*) \| (.*) ?\|$", readme.SECTIONS["Endpoints"])
    kinds = [re.findall(r"\[([\w-]+) NAME\]", head) for head, _ in rows]
    assert {kind for each in kinds for kind in each} == set(manual.TYPES)
    for each, (_, keys) in zip(kinds, rows):
        known = {key for kind in each for key in manual.keys_of(manual.TYPES[kind])}
        assert set(words_of(keys)) - {"rfc2217"} <= known
    rows = re.findall(r"(?m)^\| [^|]* \| (.*`.*) \|$", readme.SECTIONS["Framings"])
    named = {word for row in rows for word in words_of(row)}
    assert set(manual.framings()) <= named
    keys = {key for table in manual.FRAMING_TABLES.values() for key in manual.keys_of(table)}
    assert named - set(manual.framings()) <= keys


def test_keys_for_users_of_other_programs_exist():
    """Those that are given with a value."""
    keys = {key for table in manual.TABLES.values() for key in table}
    text = readme.SECTIONS["Coming from another program"]
    found = {key for key in re.findall(r"`([a-z_0-9]+) = ", text)}
    assert len(found) >= 10 and found <= keys


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
