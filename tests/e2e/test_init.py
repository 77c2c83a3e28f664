"""
ttybridged --init: configurations made of those of other programs, and of the serial ports
that there are.
"""
import configparser
import os
import re
import subprocess
import textwrap

import pytest

from certificates import Authority
from harness import BINARY, PATIENCE, SANITIZERS, expect, free_port, run


class Result:
    """What --init has made of a file: its sections, its comments, its warnings."""

    def __init__(self, directory, program, text, name="source", check=True):
        self.file = directory / name
        if isinstance(text, bytes):
            self.file.write_bytes(text)
        else:
            self.file.write_text(textwrap.dedent(text))
        done = run("--init", program, self.file)
        self.status, self.text = done.returncode, done.stdout
        self.stderr = done.stderr.replace(str(self.file), "FILE")
        self.warnings = self.stderr.splitlines()
        if check:
            assert self.status == 0, done.stderr
            out = directory / "made.conf"
            out.write_text(self.text)
            checked = run("-c", out, "--check")
            assert (checked.returncode, checked.stderr) == (0, ""), self.text
        ini = configparser.RawConfigParser(inline_comment_prefixes=None)
        ini.read_string(self.text)
        self.sections = {name: dict(ini[name]) for name in ini.sections()}

    def __getitem__(self, section):
        return self.sections[section]

    def comments(self):
        """The comments, without the ends of their lines."""
        return " ".join(line[1:].strip() for line in self.text.splitlines()
                        if line.startswith("#"))

    def lost(self, line, what):
        """That a part is left out is said in a warning with its line, and in a comment."""
        [warning] = [w for w in self.warnings
                     if w.startswith(f"FILE:{line}: warning: ") and what in w]
        assert warning.split("warning: ")[1] in self.comments()


@pytest.fixture
def convert(directory):
    return lambda program, text, **more: Result(directory, program, text, **more)


# --- ser2net, version 4 ------------------------------------------------------

def test_ser2net_a_port(convert):
    made = convert("ser2net", """\
        %YAML 1.1
        ---
        connection: &gate
          accepter: tcp,localhost,2000
          connector: serialdev,/dev/ttyUSB3,115200e71,local,rtscts
        """)
    assert made["tcp-server gate"] == {"listen": "localhost:2000", "max_clients": "1"}
    assert made["serial ttyUSB3"] == {
        "device": "/dev/ttyUSB3", "baud": "115200", "mode": "7E1", "flow": "rtscts",
        "open": "demand"}
    assert made["route gate"] == {"between": "gate ttyUSB3"}
    assert made.stderr == ""


def test_ser2net_the_options_of_a_connection(convert):
    made = convert("ser2net", r"""
        define: &greet '\r\nport \p of \o: \d [\B]; # 2\n'
        connection: &a
          accepter: telnet(rfc2217),tcp,127.0.0.1,2000
          timeout: 90
          connector: serialdev,/dev/ttyS0,9600n82,local,xonxoff=true,rts=off,dtr=on,
                     hangup-when-done
          options:
            banner: *greet
            kickolduser: true
            max-connections: 3
            openstr: 'ATZ\r'
            closestr: "bye\\x21"
        """)
    assert made["tcp-server a"] == {
        "listen": "127.0.0.1:2000", "protocol": "rfc2217", "max_clients": "3",
        "idle_timeout": "90s", "takeover": "yes",
        "greeting": r"\r\nport telnet(rfc2217),tcp,127.0.0.1,2000 of a: "
                    r"/dev/ttyS0 [9600N82]\x3b \x23 2\n"}
    assert made["serial ttyS0"] == {
        "device": "/dev/ttyS0", "baud": "9600", "mode": "8N2", "flow": "xonxoff",
        "rts": "off", "dtr": "on", "hangup_on_close": "yes", "open": "demand",
        "on_open": r"ATZ\r", "on_close": "bye!"}
    assert made.text.index("rts = off") < made.text.index("dtr = on")
    assert made.stderr == ""


def test_ser2net_a_port_for_every_machine_is_pointed_out(convert):
    made = convert("ser2net", """\
        connection: &a
          accepter: tcp,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &b
          accepter: tcp,2001
          connector: serialdev,/dev/ttyS1,9600n81,local
          options:
            remaddr: 192.168.1.7,0;10.0.0.0,0
        """)
    assert made["tcp-server a"]["listen"] == "*:2000"
    assert made["tcp-server a"]["allow"] == "0.0.0.0/0 ::/0"
    assert made["tcp-server b"]["allow"] == "192.168.1.7 10.0.0.0"
    made.lost(2, "every machine may connect")
    assert len(made.warnings) == 1


def test_ser2net_a_device_with_several_ports(convert):
    """Ports with the same settings share its section; one with others is left out."""
    made = convert("ser2net", """\
        connection: &raw
          accepter: tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &telnet
          accepter: telnet,tcp,localhost,2001
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &fast
          accepter: tcp,localhost,2002
          connector: serialdev,/dev/ttyS0,19200n81,local
        """)
    assert made["route raw"] == {"between": "raw ttyS0"}
    assert made["route telnet"] == {"between": "telnet ttyS0"}
    assert made["serial ttyS0"]["baud"] == "9600"
    assert "tcp-server fast" not in made.sections
    made.lost(7, "'fast' is left out")
    assert "#baud = 19200\n" in made.text


def test_ser2net_version_2_of_its_yaml(convert):
    made = convert("ser2net", r"""
        %YAML 1.1
        ---
        defines:
          here: serial port
        defaults:
          local:
            value: true
            class: serialdev
          speed:
            value: 57600n81
        connections:
          one:
            accepter: tcp,localhost,4001
            connector: serialdev,/dev/ttyUSB0
            options:
              banner: "=(here) =="
          two:
            accepter: udp,localhost,4002
            connector: serialdev,/dev/ttyUSB1,1200e72
            enable: off
        """)
    assert made["serial ttyUSB0"]["baud"] == "57600"
    assert made["tcp-server one"]["greeting"] == "serial port ="
    assert "udp two" not in made.sections
    assert "#[udp two]\n#listen = localhost:4002\n" in made.text
    assert made.stderr == ""


def test_ser2net_tls(convert, directory):
    cert, key = Authority(directory).make("server.example")
    made = convert("ser2net", f"""\
        connection: &secure
          accepter: telnet,ssl(key={key},cert={cert}),tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        """)
    server = made["tcp-server secure"]
    assert (server["tls"], server["tls_key"], server["tls_cert"]) == \
        ("yes", str(key), str(cert))
    assert server["protocol"] == "telnet"


def test_ser2net_what_fails_the_check_is_left_out_with_the_reason(convert):
    made = convert("ser2net", """\
        connection: &secure
          accepter: ssl(key=/nonexistent.key),tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &plain
          accepter: tcp,localhost,2001
          connector: serialdev,/dev/ttyS1,9600n81,local
        """)
    assert "tcp-server secure" not in made.sections and "serial ttyS0" not in made.sections
    assert "tcp-server plain" in made.sections
    made.lost(1, "/nonexistent.key")
    assert "#[tcp-server secure]\n" in made.text


def test_ser2net_authentication_is_never_dropped(convert):
    made = convert("ser2net", """\
        connection: &users
          accepter: telnet,certauth(),ssl,tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &file
          accepter: ssl(clientauth),tcp,localhost,2001
          connector: serialdev,/dev/ttyS1,9600n81,local
        connection: &unix
          accepter: unix(peerusers=operator),/run/x.sock
          connector: serialdev,/dev/ttyS2,9600n81,local
        connection: &plain
          accepter: tcp,localhost,2003
          connector: serialdev,/dev/ttyS3,9600n81,local
        """)
    assert [name for name in made.sections if "server" in name] == ["tcp-server plain"]
    made.lost(2, "without that anybody could connect")
    made.lost(5, "clients must present a certificate")
    made.lost(8, "not a list of users")


def test_ser2net_nothing_is_lost_silently(convert):
    made = convert("ser2net", r"""
        admin: &admin
          accepter: tcp,localhost,2222
        led: &led1
          driver: sysfs
        connection: &a
          accepter: tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,nobreak
          options:
            banner: 'at \H o''clock'
            led-rx: *led1
            trace-both: /tmp/trace
            closeon: bye
            mdns: true
            unheard-of: 5
            sendon: ""
        rotator: &rot
          accepter: tcp,2010
          connections: [ *a ]
        include: /etc/ser2net/*.yaml
        """.lstrip("\n"))
    for line, what in ((1, "admin"), (3, "led"), (7, "nobreak"), (7, "modem lines"),
                       (9, r"\H"), (10, "led-rx: led1"), (11, "trace-both: /tmp/trace"),
                       (12, "closeon: bye"), (13, "mdns"), (14, "unheard-of: 5"),
                       (16, "rotator"), (19, "include")):
        made.lost(line, what)
    assert len(made.warnings) == 12
    assert made["tcp-server a"]["greeting"] == "at  o'clock"


@pytest.mark.parametrize("accepter, connector, type, keys", [
    ("tcp,localhost,2000", "echo", "echo echo", {}),
    ("tcp,localhost,2000", "tcp,plc.example,502", "tcp-client a-remote",
     {"connect": "plc.example:502"}),
    ("tcp,localhost,2000", "telnet,tcp,10.0.0.1,23", "tcp-client a-remote",
     {"connect": "10.0.0.1:23", "protocol": "telnet"}),
    ("tcp,localhost,2000", "telnet(rfc2217),tcp,10.0.0.1,23", "serial a-remote",
     {"device": "rfc2217://10.0.0.1:23", "open": "demand"}),
    ("conacc,tcp,10.0.0.1,4000", "echo", "tcp-client a", {"connect": "10.0.0.1:4000"}),
    ("unix(perm=660),/tmp/x.sock", "echo", "unix-server a",
     {"listen": "/tmp/x.sock", "mode": "0660", "max_clients": "1"}),
    ("udp,::1,2000", "echo", "udp a", {"listen": "[::1]:2000"}),
    ("tcp,ipv4,2000", "echo", "tcp-server a",
     {"listen": "0.0.0.0:2000", "allow": "0.0.0.0/0 ::/0", "max_clients": "1"}),
    ("2000", "echo", "tcp-server a",
     {"listen": "*:2000", "allow": "0.0.0.0/0 ::/0", "max_clients": "1"}),
])
def test_ser2net_other_gensios(convert, accepter, connector, type, keys):
    made = convert("ser2net", f"""\
        connection: &a
          accepter: {accepter}
          connector: {connector}
        """)
    assert made[type] == keys


def test_ser2net_rs485(convert):
    made = convert("ser2net", """\
        connection: &a
          accepter: tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local,rs485=2:3:rts_on_send
        """)
    assert {k: v for k, v in made["serial ttyS0"].items() if "rs485" in k} == {
        "rs485": "yes", "rs485_rts_on_send": "yes", "rs485_rts_after_send": "no",
        "rs485_rx_during_tx": "no", "rs485_delay_before": "2ms",
        "rs485_delay_after": "3ms"}


def test_ser2net_what_was_converted_works(convert, pty, daemon, connect):
    device, port = pty("ttyX"), free_port()
    made = convert("ser2net", f"""\
        connection: &gate
          accepter: tcp,127.0.0.1,{port}
          connector: serialdev,{device.link},9600n81,local
          options:
            banner: 'hello\\r\\n'
        """)
    d = daemon(re.sub(r"(?s)\[control.*", "", made.text), settled=False)
    client = connect(port)
    expect(client, b"hello\r\n")
    d.wait_state("ttyX", "up")
    device.send(b"from the device")
    expect(client, b"from the device", [device])
    client.send(b"from the client")
    expect(device, b"from the client", [client])


# --- ser2net, version 3 ------------------------------------------------------

def test_ser2net_lines(convert):
    made = convert("ser2net", r"""
        # ser2net.conf
        BANNER:greet:Port \p, \d [\s]\r\n
        OPENSTR:init:ATZ\r
        DEVICE:long:/dev/serial/by-path/pci-0000:00:1d.0-port0
        2000:raw:600:/dev/ttyS0:9600 NONE 1STOPBIT 8DATABITS LOCAL
        localhost,2001:telnet:0:/dev/ttyS1:19200 EVEN 7DATABITS -XONXOFF RTSCTS LOCAL \
          remctl kickolduser greet init max-connections=2
        DEFAULT:speed:115200
        DEFAULT:local:1
        ipv4,tcp,127.0.0.1,2002:raw:0:long:
        2003:off:0:/dev/ttyS3:
        """.lstrip("\n"), name="ser2net.conf")
    assert made["tcp-server port2000"] == {
        "listen": "*:2000", "allow": "0.0.0.0/0 ::/0", "max_clients": "1",
        "idle_timeout": "600s"}
    assert made["serial ttyS0"]["mode"] == "8N1"
    assert made["tcp-server port2001"] == {
        "listen": "localhost:2001", "protocol": "rfc2217", "max_clients": "2",
        "takeover": "yes",
        "greeting": r"Port localhost,2001, /dev/ttyS1 [19200E71]\r\n"}
    assert made["serial ttyS1"] == {
        "device": "/dev/ttyS1", "baud": "19200", "mode": "7E1", "flow": "rtscts",
        "open": "demand", "on_open": r"ATZ\r"}
    assert made["tcp-server port2002"]["listen"] == "127.0.0.1:2002"
    [long] = [s for s in made.sections.values()
              if s.get("device") == "/dev/serial/by-path/pci-0000:00:1d.0-port0"]
    assert long["baud"] == "115200"
    assert "tcp-server port2003" not in made.sections
    assert "#[tcp-server port2003]\n" in made.text
    assert len(made.warnings) == 1 and "every machine may connect" in made.stderr


def test_ser2net_lines_nothing_is_lost_silently(convert):
    made = convert("ser2net", r"""
        CONTROLPORT:localhost,2222
        TRACEFILE:file:/tmp/trace
        CLOSEON:end:bye
        LED:green:sysfs:device=led0
        2000:raw:0:/dev/ttyS0:9600 LOCAL tr=file end led-tx=green chardelay-min=5 odd-one
        2001:rawlp:0:/dev/lp0:
        udp,localhost,2002:raw:10:/dev/ttyS1:9600 LOCAL
        2003:nonsense:0:/dev/ttyS2:9600
        ROTATOR:2010:2000 2001
        """.lstrip("\n"))
    for line, what in ((1, "CONTROLPORT"), (4, "LED"), (5, "trace-read: /tmp/trace"),
                       (5, "closeon: bye"), (5, "led-tx"), (5, "chardelay-min: 5"),
                       (5, "odd-one"), (5, "every machine"), (6, "printers"),
                       (7, "timeout: 10"), (8, "state"), (9, "ROTATOR")):
        made.lost(line, what)
    assert len(made.warnings) == 12


# --- what is no configuration ------------------------------------------------

@pytest.mark.parametrize("program", ["ser2net"])
@pytest.mark.parametrize("text, message", [
    (b"", "FILE: it is empty"),
    (b"# only comments\n\n", "FILE: "),
    (b"\n\x7fELF\x02\0\0\0", "FILE:2: a NUL byte; this is not a text file"),
    (b"Once upon a time\nthere was a text.\n", "FILE:1: "),
])
def test_other_files_are_refused_with_the_place(convert, program, text, message):
    made = convert(program, text, check=False)
    assert made.status == 2
    assert made.text == ""
    [line] = made.stderr.splitlines()
    assert line.startswith(f"ttybridged: {message}")


@pytest.mark.parametrize("text, message", [
    ("connection: &a\n  accepter: [1\n", "FILE:2: a text is expected here"),
    ("connection: &a\n  accepter: '1\n", "FILE:3: "),
    ("connection: &a\n  accepter: tcp,1\n  accepter: tcp,2\n",
     "FILE:3: 'accepter' is given twice"),
    ("define: &x y\nconnections:\n  a:\n", "FILE:2: 'connections' does not belong"),
    ('define: &x y\nconnection: &a\n  accepter: "*(z)"\n', "FILE:3: 'z' is not defined"),
    ("colour: blue\n", "FILE:1: 'colour' is no key of ser2net"),
])
def test_ser2net_faults_of_yaml_have_their_line(convert, text, message):
    made = convert("ser2net", text, check=False)
    assert made.status == 2
    assert made.stderr.startswith(f"ttybridged: {message}")


def test_files_that_cannot_be_read(directory):
    for file, why in ((directory, "Is a directory"),
                      (directory / "none", "No such file or directory")):
        done = run("--init", "ser2net", file)
        assert done.returncode == 1
        assert done.stderr == f"ttybridged: {file}: cannot be read: {why}\n"


@pytest.mark.parametrize("words, message", [
    (["--init", "ser2nt", "x"], "did you mean 'ser2net'?"),
    (["--init", "ser2net"], "--init ser2net FILE"),
    (["--init", "ser2net", "a", "b"], "--init ser2net FILE"),
    (["--yes"], "--yes is only possible with --init"),
])
def test_wrong_arguments(words, message):
    done = run(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_file_is_written_and_never_overwritten(directory):
    source, out = directory / "x.yaml", directory / "out.conf"
    source.write_text("connection: &a\n  accepter: tcp,localhost,2000\n"
                      "  connector: serialdev,/dev/ttyS0,local\n")
    done = run("-c", out, "--init", "ser2net", source)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = out.read_text()
    assert "[serial ttyS0]\n" in written
    done = run("-c", out, "--init", "ser2net", source)
    assert done.returncode == 1
    assert f"{out} exists, and is not overwritten" in done.stderr
    assert out.read_text() == written


# --- the ports of this machine -----------------------------------------------

UNO = "usb-Arduino_Uno_85735-if00"
FTDI = "usb-FTDI_USB_Serial_A50285-if00-port0"


class Machine:
    """Runs the program where the serial ports are others: with a /dev and /sys of its own."""

    def __init__(self, directory):
        if os.getuid() != 0 or subprocess.run(
                ["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("may not have mounts of its own")
        self.directory = directory / "machine"
        self.commands = [
            "mount -t tmpfs none /sys/class/tty", "mount -t tmpfs none /dev",
            "mknod -m 666 /dev/null c 1 3", "mkdir -p /dev/serial/by-id"]

    def port(self, name, by_id="", product="", usb=""):
        place = self.directory / name
        (place / "interface").mkdir(parents=True)
        (place / "device").symlink_to(place / "interface")
        if usb:
            for file, text in zip(("idVendor", "idProduct", "product", "busnum", "devnum"),
                                  (*usb.split(":"), product, "1", "2")):
                (place / file).write_text(text + "\n")
        self.commands += [f"ln -s {place} /sys/class/tty/{name}",
                          f"mknod /dev/{name} c 188 0"]
        if by_id:
            self.commands.append(f"ln -s ../../{name} /dev/serial/by-id/{by_id}")
        return self

    def run(self, *args, stdin=subprocess.DEVNULL):
        script = " && ".join([*self.commands, 'exec "$@"'])
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", BINARY, *map(str, args)],
            stdin=stdin, capture_output=True, text=True, timeout=PATIENCE,
            env={**os.environ, **SANITIZERS})

    def answer(self, text, *args):
        """The same at a terminal at which that is typed; ^D ends the input."""
        master, slave = os.openpty()
        try:
            os.write(master, text.encode())
            return self.run("--init", *args, stdin=slave)
        finally:
            os.close(master)
            os.close(slave)


@pytest.fixture
def machine(directory):
    return Machine(directory)


def sections_of(done, directory):
    """The sections that were written, which pass --check."""
    assert done.returncode == 0, done.stderr
    out = directory / "made.conf"
    out.write_text(done.stdout)
    checked = run("-c", out, "--check")
    assert (checked.returncode, checked.stderr) == (0, ""), done.stdout
    ini = configparser.RawConfigParser()
    ini.read_string(done.stdout)
    return {name: dict(ini[name]) for name in ini.sections()}


def two(machine):
    return machine.port("ttyACM0", UNO, "Uno", "2341:0043") \
        .port("ttyUSB0", FTDI, "USB Serial", "0403:6001").port("ttyS7")


def test_with_yes_the_ports_of_usb_are_joined(machine, directory):
    made = sections_of(two(machine).run("--init", "--yes"), directory)
    assert made["serial ttyACM0"] == {"device": f"/dev/serial/by-id/{UNO}", "baud": "9600",
                                      "mode": "8N1", "framing": "raw"}
    assert made["serial ttyUSB0"]["device"] == f"/dev/serial/by-id/{FTDI}"
    assert made["route ports"] == {"between": "ttyACM0 ttyUSB0"}
    assert made["tcp-server lan"] == {"listen": "127.0.0.1:5011", "framing": "raw",
                                      "role": "read"}
    assert made["route listen"] == {"from": "ttyACM0 ttyUSB0", "to": "lan"}
    assert made["control local"] == {"listen": "127.0.0.1:5010"}
    assert "serial ttyS7" not in made


def test_answers_decide(machine, directory):
    done = two(machine).answer("1 ttyS7\nline 115200, cobs 7E1 300\n192.168.1.0/24\n")
    made = sections_of(done, directory)
    assert done.stderr.count("?") == 4        # the second one is explained
    assert "  1  /dev/ttyACM0" in done.stderr and UNO in done.stderr
    assert made["serial ttyACM0"]["framing"] == "line"
    assert made["serial ttyACM0"]["baud"] == "115200"
    assert made["serial ttyS7"] == {"device": "/dev/ttyS7", "baud": "300", "mode": "7E1",
                                    "framing": "cobs"}
    assert made["tcp-server lan"] == {
        "listen": "*:5011", "allow": "192.168.1.0/24", "framing": "line", "role": "read"}
    assert "serial ttyUSB0" not in made


def test_an_answer_that_is_not_valid_is_asked_for_again(machine, directory):
    done = two(machine).answer("9\nall\nlien\nline fast\nline, raw\nline\nanywhere\nno\n")
    made = sections_of(done, directory)
    for message in ("'9' is not possible: the ports have the numbers 1 to 3.",
                    "did you mean 'line'?", "'fast' is neither a speed nor one of raw",
                    "these are 2 answers, and there are 3 ports",
                    "for every network write 0.0.0.0/0 ::/0, or local or no."):
        assert message in done.stderr
    assert made["route ports"] == {"between": "ttyACM0 ttyS7 ttyUSB0"}
    assert not [name for name in made if name.startswith("tcp-server")]


def test_the_end_of_input_means_the_defaults(machine, directory):
    done = two(machine).answer("\x04")
    assert done.stdout == two(machine.__class__(directory / "again")).run(
        "--init", "--yes").stdout
    sections_of(done, directory)


def test_one_port_gets_a_server(machine, directory):
    done = machine.port("ttyACM0", UNO, "Uno", "2341:0043").answer("\nno\nlocal\n")
    made = sections_of(done, directory)
    assert "Which ports" not in done.stderr
    assert "would then not be connected to anything" in done.stderr
    assert made["tcp-server lan"] == {"listen": "127.0.0.1:5011", "framing": "raw"}
    assert made["route ttyACM0"] == {"between": "ttyACM0 lan"}


def test_one_port_of_modbus_gets_a_gateway(machine, directory):
    done = machine.port("ttyUSB0", FTDI, "USB Serial", "0403:6001").answer("modbus 8E1\n\n")
    made = sections_of(done, directory)
    assert made["serial ttyUSB0"]["framing"] == "modbus-rtu"
    assert made["serial ttyUSB0"]["mode"] == "8E1"
    assert made["tcp-server lan"]["framing"] == "modbus-tcp"
    assert made["route ttyUSB0"] == {"from": "lan", "to": "ttyUSB0", "exchange": "modbus"}


def test_without_ports_there_is_an_example(machine, directory):
    done = machine.run("--init", "--yes")
    made = sections_of(done, directory)
    assert "no serial ports were found" in done.stderr
    assert made["serial ttyUSB0"]["device"] == "/dev/ttyUSB0"
    assert "tcp-server lan" in made


def test_without_a_terminal_nothing_is_asked(directory):
    out = directory / "out.conf"
    done = run("--init", "-c", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert "standard input is not a terminal: with --yes it asks nothing" in done.stderr
    assert not out.exists()


def test_in_the_directory_of_the_service_the_control_port_is_its_socket(machine):
    machine.commands += ["mkdir -p /etc/ttybridge", "mount -t tmpfs none /etc/ttybridge"]
    script = machine.port("ttyS7").commands
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", " && ".join(
            [*script, '"$@" --init --yes -c /etc/ttybridge/new.conf',
             "cat /etc/ttybridge/new.conf"]), "sh", BINARY],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "listen = unix:/run/ttybridge/control.sock\nmode = 0660\n" in done.stdout
