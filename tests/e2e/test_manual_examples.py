"""
The examples of the manual pages are run as they are printed, with devices, ports and paths of
the test's own in place of those in them.
"""
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from certificates import Authority
from ctl import CTL, Terminal
from harness import BINARY, ROOT, SANITIZERS, expect, free_port, pump, run, wait_for
from test_manual import own_files, parts, sentence
from test_modbus import cable, server  # noqa: F401

PAGES = {path.name: path.read_text() for path in sorted((ROOT / "man").glob("*.[1-8]"))}
OTHERS = "COMING FROM OTHER PROGRAMS"


def unescaped(text):
    return text.replace("\\e", "\\").replace("\\&", "")


def displays(text):
    """The literal displays, and single lines, of a part of a page, in their order."""
    return [unescaped(block or line + "\n") for block, line in re.findall(
        r"(?ms)^\.Bd -literal[^\n]*\n(.*?)^\.Ed$|^\.Dl ([^\n]*)", text)]


def commands(display):
    """The commands after prompts; what is printed between them is left out."""
    found = []
    for line in display.splitlines():
        if line.startswith(("$ ", "# ")):
            found.append(line[2:])
        elif found and (found[-1].endswith(("\\", "|"))):
            found[-1] += "\n" + line
    return found


def examples(page, title="EXAMPLES"):
    return displays(parts(PAGES[page])[title])


def example(page, start):
    """The one display of the page's examples whose first line begins so."""
    found, = [d for d in examples(page) if d.startswith(start)]
    return found


# Not here: what it needs.  The test in a container has the command.
ELSEWHERE = {"$ journalctl -u ttybridge ENDPOINT=ar1\n": "journalctl -u ttybridge -o cat ENDPOINT="}
# The beginnings of the examples that the tests below have.
TESTED = {
    "ttybridged.8": ["$ ttybridged serial:", "$ ttybridged /dev/ttyUSB0", "$ cat gateway.conf",
                     "$ ttybridged pty:", "$ ttybridged --check"],
    "ttybridgectl.1": ["ttybridgectl ps", "if [ ", "sudo ttybridgectl doctor",
                       "ttybridgectl capture -", "ttybridgectl -H lab.example"],
    "ttybridge-control.7": ["$ printf 'get ", "$ printf 'endpoints", "$ (echo watch",
                            "$ echo set", "$ echo json", "$ echo scan"],
    "ttybridge-http.7": ["$ curl", "# (umask", "scrape_configs:"],
    "ttybridge.conf.5": ["[control local]", "[route positions]"],
}


@pytest.mark.parametrize("page", PAGES)
def test_every_example_has_a_test(page):
    for display in examples(page):
        if display in ELSEWHERE:
            assert ELSEWHERE[display] in (ROOT / "tests/systemd/in-container.sh").read_text()
        else:
            assert len([s for s in TESTED[page] if display.startswith(s)]) == 1, display
    assert len(examples(page)) == len(TESTED[page]) + any(d in ELSEWHERE for d in examples(page))


# --- how they are run --------------------------------------------------------

class Shell:
    """Runs commands in a directory, with what is in them replaced; ends the daemons."""

    def __init__(self, directory, replaced):
        self.directory, self.replaced, self.started = directory, replaced, []
        self.env = {**os.environ, **SANITIZERS, "HOME": str(directory),
                    "PATH": f"{Path(BINARY).parent}:{os.environ['PATH']}"}

    def text(self, command):
        for old, new in self.replaced.items():
            command = command.replace(old, str(new))
        return command

    def start(self, command, **kwargs):
        self.started.append(subprocess.Popen(
            ["bash", "-c", "exec " + self.text(command)], cwd=self.directory, env=self.env,
            text=True, **kwargs))
        return self.started[-1]

    def run(self, command, status=0):
        done = subprocess.run(
            ["bash", "-c", self.text(command)], cwd=self.directory, env=self.env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == status, (command, done.stdout, done.stderr)
        return done.stdout

    def end(self):
        for process in self.started:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


@pytest.fixture
def shell(directory):
    made = []

    def make(replaced):
        made.append(Shell(directory, replaced))
        return made[-1]
    yield make
    for each in made:
        each.end()


def replies(port):
    done = subprocess.run(["nc", "-N", "127.0.0.1", str(port)], input="version\n", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    return done.stdout.endswith("OK\n")


def listening(port, connect):
    """A client of the port, once it listens."""
    made = []

    def try_it():
        try:
            made.append(connect(port))
        except OSError:
            return False
        return True
    wait_for(try_it, what=f"port {port}")
    return made[-1]


# --- ttybridged(8) -----------------------------------------------------------

def test_two_arduinos_are_joined(shell, pty):
    one, two, port = pty("one"), pty("two"), free_port()
    join, ask = commands(example("ttybridged.8", "$ ttybridged serial:"))
    sh = shell({"/dev/ttyACM0": one.link, "/dev/ttyACM1": two.link, "5010": port})
    sh.start(join.removesuffix(" &"))
    wait_for(lambda: replies(port), what="the control port")
    printed = sh.run(ask)
    assert re.search(r"(?m)^ep1\.read +waiting .* a line from ep1 ", printed)
    assert printed.endswith("OK\n")
    one.send(b"hello\n")
    expect(two, b"hello\n", [one])


def puts_a_port_on_the_network(shell, pty, connect, command):
    device, port = pty("device"), free_port()
    shell({"/dev/ttyUSB0": device.link, "5011": port}).start(command)
    client = listening(port, connect)
    client.send(b"to the device")
    expect(device, b"to the device", [client])
    device.send(b"from the device")
    expect(client, b"from the device", [device])


def test_a_serial_port_is_put_on_the_network(shell, pty, connect):
    command, = commands(example("ttybridged.8", "$ ttybridged /dev/ttyUSB0"))
    puts_a_port_on_the_network(shell, pty, connect, command)


def is_a_gateway(start, port, device, pty, cable, server):
    far = pty("far")
    cable(device, far)
    server(far, 1)
    start()
    read = [shutil.which("mbpoll"), "-q", "-1", "-m", "tcp", "-p", str(port), "-a", "1",
            "-r", "1", "-o", "5", "127.0.0.1"]

    def answered():
        done = subprocess.run(read, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        return re.search(r"\[1\]:\s+1000\b", done.stdout)
    wait_for(answered, what="an answer")


def test_a_gateway_has_its_endpoints_on_the_command_line(shell, pty, cable, server):
    display = example("ttybridged.8", "$ cat gateway.conf")
    show, start = commands(display)
    printed = display.partition("\n")[2].partition("$ ")[0]
    device, port = pty("device"), free_port()
    sh = shell({"/dev/ttyUSB0": device.link, "5020": port})
    (sh.directory / "gateway.conf").write_text(printed)
    assert sh.run(show) == printed
    is_a_gateway(lambda: sh.start(start), port, device, pty, cable, server)


def is_a_pair(shell, directory, open_tty, command):
    sh = shell({"/tmp/": f"{directory}/"})
    sh.start(command)
    wait_for(lambda: (directory / "left").exists() and (directory / "right").exists())
    left, right = open_tty(directory / "left"), open_tty(directory / "right")
    left.send(b"hello")
    expect(right, b"hello", [left])


def test_a_pair_of_virtual_ports(shell, directory, open_tty):
    command, = commands(example("ttybridged.8", "$ ttybridged pty:"))
    is_a_pair(shell, directory, open_tty, command)


def test_a_new_configuration_is_checked(shell, directory):
    display = example("ttybridged.8", "$ ttybridged --check")
    command, = commands(display)
    (directory / "new.conf").write_text("[serial ar1]\ndevice = /dev/ttyACM0\nbuad = 9600\n"
                                        "[echo back]\n")
    assert shell({}).run(command + " 2>&1", status=2) == display.partition("\n")[2]


# --- ttybridgectl(1) ---------------------------------------------------------

@pytest.fixture
def arduinos(daemon, directory, pty):
    """The first example of ttybridge.conf(5), with more than it; daemon, ar1, ar2, Shell."""
    made = {name: pty(name) for name in ("ar1", "ar2")}
    port, web = free_port(), free_port()
    text = example("ttybridge.conf.5", "[control local]")
    text = re.sub(r"\[control local\][^[]*", "", text)
    for old, new in (("/dev/ttyACM0", made["ar1"].link), ("/dev/ttyACM1", made["ar2"].link),
                     ("127.0.0.1:5011", f"127.0.0.1:{free_port()}")):
        assert old in text
        text = text.replace(old, str(new))
    (directory / "token").write_text("0123456789abcdef\n")
    text += f"[control tcp]\nlisten = 127.0.0.1:{port}\n" \
        f"[http]\nlisten = 127.0.0.1:{web}\naccess = full\ntoken_file = {directory}/token\n"
    d = daemon(text, settled=False)
    d.wait_state("ar1", "up")
    d.wait_state("ar2", "up")
    sh = Shell(directory, {"5010": port, "9110": web, "/run/ttybridge/control.sock": d.socket})
    sh.env["TTYBRIDGE_SOCKET"] = str(d.socket)
    return d, made["ar1"], made["ar2"], sh


def test_two_arduinos_of_different_protocols(arduinos, connect):
    d, ar1, ar2, _ = arduinos
    listener = connect(int(d.get("lan/address").rpartition(":")[2]))
    wait_for(lambda: len(d.json("peers")) == 1)
    ar1.send(b"hello\n")
    expect(ar2, b"\x06hello\0", [ar1])
    expect(listener, b"hello\n")
    listener.send(b"nobody hears this\n")
    ar2.send(b"\x03ho\0")
    expect(ar1, b"ho\n", [ar2, listener])


def test_only_positions_pass(daemon, pty):
    gps, chart = pty("gps"), pty("chart")
    daemon("".join(f"[serial {p.name}]\ndevice = {p.link}\nframing = line\n"
                   for p in (gps, chart)) + example("ttybridge.conf.5", "[route positions]"))
    gps.send(b"$GPGSV,1\n$GPGGA,2\n$GPGLL,3\n$GPRMC,4\n")
    expect(chart, b"$GPGGA,2\n$GPRMC,4\n", [gps])


def test_what_each_task_waits_for(arduinos):
    printed = arduinos[3].run(example("ttybridgectl.1", "ttybridgectl ps"))
    assert re.search(r"(?m)^ar1\.read +waiting ", printed)


def test_a_script_opens_an_endpoint_again(arduinos):
    d, ar1, _, sh = arduinos
    script = example("ttybridgectl.1", "if [ ")
    assert sh.run(script) == ""
    ar1.unplug()
    d.wait_state("ar1", "lost")
    sh.run(script)
    ar1.plug()
    d.wait_state("ar1", "up")


def test_the_doctor_finds_a_device_that_is_unplugged(arduinos):
    d, ar1, _, sh = arduinos
    ar1.unplug()
    d.wait_state("ar1", "lost")
    sh.replaced["sudo ttybridgectl"] = f"ttybridgectl -c {d.file}"
    printed = sh.run(example("ttybridgectl.1", "sudo ttybridgectl doctor"), status=1)
    assert re.search(r"(?m)^wrong: .*\bar1\b", printed)


def is_watching(d):
    return any("to end its watch" in task["label"] for task in d.json("ps"))


def test_frames_go_to_a_pipe(arduinos):
    d, ar1, ar2, sh = arduinos
    command = example("ttybridgectl.1", "ttybridgectl capture -")
    assert "wireshark -k -i -" in command
    sh.replaced["wireshark -k -i -"] = "tshark -q -l -c 1 -r - -T fields -e data"
    reader = sh.start("bash -c '" + command.strip() + "' 2>/dev/null", stdout=subprocess.PIPE)
    wait_for(lambda: is_watching(d), what="a watch")
    ar1.send(b"hello\n")
    expect(ar2, b"\x06hello\0", [ar1])
    assert b"hello".hex() in reader.communicate(timeout=60)[0]


def test_a_console_at_another_machine(daemon, directory, pty):
    words = example("ttybridgectl.1", "ttybridgectl -H lab.example").replace("\\\n", " ").split()
    ca = Authority(directory)
    cert, key = ca.make("server", dns=["localhost"])
    ca.make("alice")
    board, port = pty("board3"), free_port()
    d = daemon(f"[serial board3]\ndevice = {board.link}\n[pty other]\nlink = {directory}/other\n"
               f"[control tls]\nlisten = 127.0.0.1:{port}\ntls = yes\ntls_cert = {cert}\n"
               f"tls_key = {key}\ntls_ca = {directory}/ca.crt\nfull = alice\n")
    d.wait_state("board3", "up")
    here = {"lab.example:5010": f"localhost:{port}", "ca.crt": f"{directory}/ca.crt",
            "alice.crt": f"{directory}/alice.crt", "alice.key": f"{directory}/alice.key"}
    console = Terminal(*(here.get(w, w) for w in words[1:]))
    try:
        pump([console, board], lambda: is_watching(d))
        board.send(b"login: ")
        console.shows("login: ", [board])
        console.send(b"root")
        expect(board, b"root", [console])
        console.send(b"\r~.")
        assert console.exit([board]) == 0
    finally:
        console.close()


# --- ttybridge-control(7) ----------------------------------------------------

def command_of(start):
    command, = commands(example("ttybridge-control.7", start))
    return command


def test_a_number_for_a_script(arduinos):
    d, ar1, ar2, sh = arduinos
    ar1.send(b"one\ntwo\n")
    expect(ar2, b"\x04one\0\x04two\0", [ar1])
    assert sh.run(command_of("$ printf 'get ")) == "2\nOK\n"


def test_several_commands_at_once(arduinos):
    printed = arduinos[3].run(command_of("$ printf 'endpoints"))
    assert re.search(r"(?s)^NAME +TYPE .*\nOK\nNAME +FROM .*\nOK\n$", printed)


def test_a_watch_until_enter_is_pressed(arduinos):
    d, ar1, ar2, sh = arduinos
    display = example("ttybridge-control.7", "$ (echo watch")
    watch = sh.start("bash -c '" + commands(display)[0] + "'", stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE)
    wait_for(lambda: is_watching(d), what="a watch")
    ar1.send(b"ping 170 got 169\n")
    expect(ar2, b"\x11ping 170 got 169\0", [ar1])
    printed = watch.communicate("\n", timeout=60)[0]
    first = display.splitlines()[1]
    assert re.match(r"[\d:.]+ ar1 +\S+ +16 ping 170 got 169", first)
    assert re.search(r"(?m)^[\d:.]+ ar1 +ar2\S* +16 ping 170 got 169\b", printed)
    assert printed.endswith("OK\n")


def test_the_speed_is_changed(arduinos):
    d, ar1, _, sh = arduinos
    assert sh.run(command_of("$ echo set")) == "OK\n"
    wait_for(lambda: ar1.speed() == (57600, 57600), what="the speed")


@pytest.mark.skipif(not shutil.which("jq"), reason="there is no jq here")
def test_the_dropped_frames_of_each_endpoint(arduinos):
    assert arduinos[3].run(command_of("$ echo json")) == "ar1 0\nar2 0\nlan 0\n"


def test_which_units_are_on_a_bus(daemon, directory, pty, cable, server):
    bus, far = pty("bus"), pty("far")
    cable(bus, far)
    d = daemon(f"[serial bus]\ndevice = {bus.link}\nbaud = 115200\nframing = modbus-rtu\n"
               "[tcp-server masters]\nlisten = 127.0.0.1:0\nframing = modbus-tcp\n"
               "[route gateway]\nfrom = masters\nto = bus\nexchange = modbus\n"
               "answer_timeout = 1s\n".replace("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    server(far, 2)
    printed = Shell(directory, {"/run/ttybridge/control.sock": d.socket}).run(
        command_of("$ echo scan"))
    assert re.match(r"unit 1: no answer\nunit 2: answered in [\d.]+[mu]?s\nunit 3: no", printed)
    assert re.search(r"(?m)^2 answered \(1 of 5 units\), ", printed)


# --- ttybridge-http(7) -------------------------------------------------------

def test_values_are_read_and_changed_by_curl(arduinos):
    d, ar1, ar2, sh = arduinos
    get, send = commands(example("ttybridge-http.7", "$ curl"))
    assert "$(cat token)" in send
    ar2.send(b"\x03ho\0")
    expect(ar1, b"ho\n", [ar2])
    assert sh.run(get.replace("curl", "curl -H 'Authorization: Bearer 0123456789abcdef'")
                  ).strip() == "0"
    assert sh.run(send).strip() == "null"
    expect(ar1, b"led on\n")


def test_a_token_is_made(directory, daemon, shell):
    sh = shell({"/etc/ttybridge/": f"{directory}/", "chown ttybridge:": f"chown {pwd.getpwuid(os.getuid()).pw_name}:"})
    for command in commands(example("ttybridge-http.7", "# (umask")):
        sh.run(command)
    assert (directory / "token").stat().st_mode & 0o777 == 0o600
    daemon(f"[http]\nlisten = 127.0.0.1:{free_port()}\ntoken_file = {directory}/token\n"
           "[echo a]\n[echo b]\n")


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no Prometheus here")
def test_prometheus_takes_its_configuration(directory):
    (directory / "prometheus.yml").write_text(example("ttybridge-http.7", "scrape_configs:"))
    done = subprocess.run(["promtool", "check", "config", directory / "prometheus.yml"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, text=True)
    assert done.returncode == 0, done.stdout


# --- coming from other programs ----------------------------------------------

MIGRANTS = parts(PAGES["ttybridge.conf.5"].partition(f".Sh {OTHERS}")[2], "Ss")


def new_configuration(program):
    """What replaces the file of the program, with networks and ports of the test's own."""
    return displays(MIGRANTS[program].partition("\n.Sh ")[0])[-1]


@pytest.fixture
def migrated(daemon, pty):
    """Starts the configuration that replaces a program's; daemon, device, port."""
    def start(program):
        text, device, port = new_configuration(program), pty("device"), free_port()
        text = re.sub(r"/dev/tty\w+", str(device.link), text)
        text = re.sub(r"(?m)^(listen = \*|send_to = 127.0.0.1):\d+$", rf"\1:{port}", text)
        return daemon(text, settled=False), device, port
    return start


def test_the_other_programs():
    assert list(MIGRANTS) == ["ser2net", "socat", "mavlink-router", "mbusd", "kplex"]


@pytest.mark.parametrize("program", ["ser2net", "mavlink-router", "mbusd", "kplex"])
def test_what_replaces_them_has_no_fault(program, directory):
    file = directory / "new.conf"
    file.write_text(own_files(new_configuration(program), directory))
    done = run("-c", file, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_port_of_ser2net(migrated, connect):
    d, device, port = migrated("ser2net")
    assert not device.opened()
    client = listening(port, connect)
    d.wait_state("usb0", "up")
    device.send(b"hello")
    # After what telnet negotiates.
    pump([client, device], lambda: client.received.endswith(b"hello"))


def test_both_commands_of_socat(shell, directory, open_tty, pty, connect):
    pair, port = commands(new_configuration("socat"))
    is_a_pair(shell, directory, open_tty, pair)
    puts_a_port_on_the_network(shell, pty, connect, port)


def test_a_gateway_of_mbusd(migrated, pty, cable, server):
    d, device, port = migrated("mbusd")
    is_a_gateway(lambda: d.wait_state("bus", "up"), port, device, pty, cable, server)


def test_sentences_of_kplex(migrated, connect):
    d, device, port = migrated("kplex")
    d.wait_state("gps", "up")
    client = listening(port, connect)
    wait_for(lambda: len(d.json("peers")) == 1)
    client.send(sentence("ECAPB,A"))
    device.send(sentence("HEHDT,90.0,T"))
    expect(client, sentence("HEHDT,90.0,T"), [device])
    assert d.number("gps/tx_frames") == 0
