"""
ttybridged --init: configurations made of those of other programs, and of the serial ports
that there are.
"""
import configparser
import os
import re
import resource
import signal
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


def test_ser2net_options_that_state_what_is_so_anyway(convert):
    """As labgrid gives them; the other mode of telnet is said to be lost."""
    accepter = """\
        connection: &a
          accepter: telnet(rfc2217,mode=%s),tcp,localhost,2000
          connector: serialdev(nouucplock=true),/dev/ttyS0,9600n81,local
        """
    made = convert("ser2net", accepter % "server")
    assert made["tcp-server a"]["protocol"] == "rfc2217"
    assert made.stderr == ""
    made = convert("ser2net", accepter % "client")
    made.lost(2, "mode=client")
    assert len(made.warnings) == 1


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


def test_who_may_connect_is_said_at_each_section(convert):
    made = convert("ser2net", """\
        connection: &a
          accepter: tcp,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &b
          accepter: tcp,2001
          connector: serialdev,/dev/ttyS1,9600n81,local
        connection: &c
          accepter: tcp,2002
          connector: serialdev,/dev/ttyS2,9600n81,local
          options:
            remaddr: "!192.168.1.7,3000"
        """)
    assert made.comments().count("every machine may connect") == 2
    assert made["tcp-server c"]["allow"] == "192.168.1.7"
    made = convert("kplex", """\
        [tcp]
        mode=server
        [udp]
        direction=in
        port=4000
        """)
    assert made.comments().count("every machine may connect") == 2


def test_ser2net_remote_addresses_of_udp_are_sent_to(convert):
    made = convert("ser2net", """\
        connection: &a
          accepter: udp,2000
          connector: echo
          options:
            remaddr: 192.168.1.7,3000;ipv4,10.0.0.9,3001
            remaddr: 192.168.1.8,0
        connection: &b
          accepter: tcp,2000
          connector: echo
          options:
            remaddr: 192.168.1.7,3000
        """)
    assert made["udp a"] == {
        "listen": "*:2000", "allow": "192.168.1.7 10.0.0.9 192.168.1.8",
        "send_to": "192.168.1.7:3000 10.0.0.9:3001"}
    assert made["tcp-server b"]["allow"] == "192.168.1.7"
    made.lost(11, "any port of such a machine may connect")
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
    # What is left out can be used in place of the other.
    blocks = made.text.split("\n\n")
    [fast] = [i for i, b in enumerate(blocks) if "#[tcp-server fast]" in b]
    text = "\n\n".join(b for b in blocks[:fast + 3] if not re.search(
        r"^\[(serial ttyS0|route raw|route telnet)\]", b, re.M))
    text = re.sub(r"^#(?! )", "", text, flags=re.M)
    made.file.write_text(text)
    checked = run("-c", made.file, "--check")
    assert checked.returncode == 0, checked.stderr
    assert "[serial ttyS0-2]" in text and "between = fast ttyS0-2" in text


def test_ser2net_a_default_without_an_effect_has_its_own_line(convert):
    made = convert("ser2net", """\
        default:
          name: max-connections
          value: 3
          class: ser2net
        connection: &a
          accepter: udp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        """)
    made.lost(1, "max-connections: 3")


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


def test_ser2net_a_device_stays_when_the_first_of_its_connections_is_left_out(convert):
    made = convert("ser2net", "".join(f"""\
connection: &c{n}
  accepter: {accepter},{2000 + n}
  connector: serialdev,/dev/ttyS0,9600n81,local
""" for n, accepter in enumerate([
            "ssl(key=/nonexistent.key),tcp,localhost", "ssl(key=/nonexistent.key),tcp,localhost",
            "tcp,localhost", "tcp,localhost"])))
    assert [name for name in made.sections if name.startswith(("serial", "tcp-server"))] == [
        "tcp-server c2", "serial ttyS0", "tcp-server c3"]
    for name in "c2", "c3":
        assert made[f"route {name}"] == {"between": f"{name} ttyS0"}
    assert len(made.warnings) == 2 and "#[serial ttyS0]\n" in made.text


def test_ser2net_of_what_is_left_out_the_comment_has_all(convert):
    made = convert("ser2net", """\
        connection: &a
          accepter: telnet,certauth(),ssl,tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        connection: &b
          accepter: tcp,localhost,2001
          connector: serialdev,/dev/ttyS1,9600n81,local
        """)
    assert "accepter: telnet,certauth(),ssl,tcp,localhost,2000" in made.comments()
    assert "connector: serialdev,/dev/ttyS0,9600n81,local" in made.comments()


def test_ser2net_when_nothing_can_be_converted_no_other_part_is_blamed(convert):
    made = convert("ser2net", """\
        connection: &a
          accepter: certauth(),ssl,tcp,localhost,2000
          connector: serialdev,/dev/ttyS0,9600n81,local
        """, check=False)
    assert made.status != 0 and "there is no endpoint" not in made.stderr
    assert "nothing in it can be converted" in made.stderr


def test_ser2net_continued_lines_with_crlf(convert):
    made = convert("ser2net", "localhost,2000:raw:0:/dev/ttyS0:\\\r\n19200 8DATABITS NONE\r\n")
    assert made["serial ttyS0"]["baud"] == "19200"
    assert [keys["listen"] for name, keys in made.sections.items()
            if name.startswith("tcp-server")] == ["localhost:2000"]


def test_a_source_with_more_than_there_may_be(convert):
    """What is left can be started; the rest is left out, each with a warning."""
    made = convert("ser2net", "".join(
        f"localhost,{10000 + n}:raw:0:/dev/ttyS{n}:9600 8DATABITS NONE 1STOPBIT\n"
        for n in range(3000)), check=False)
    assert made.status == 0
    assert sum(name.startswith("route") for name in made.sections) > 500
    assert sum("one too many" in w for w in made.warnings) > 500


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
    ("conacc,tcp,10.0.0.1,4000", "serialdev,/dev/ttyS0,9600n81,local", "serial ttyS0",
     {"device": "/dev/ttyS0", "baud": "9600", "mode": "8N1", "open": "always"}),
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


# --- mbusd -------------------------------------------------------------------

def test_mbusd(convert):
    made = convert("mbusd", """\
        # a gateway
        device = /dev/ttyUSB0
        speed=38400
          mode = 8e1
        address = 127.0.0.1
        port = 1502
        maxconn = 8
        timeout = 0
        retries = 2
        pause = 50
        wait = 300
        """)
    assert made["tcp-server lan"] == {
        "listen": "127.0.0.1:1502", "max_clients": "8", "framing": "modbus-tcp"}
    assert made["serial bus"] == {
        "device": "/dev/ttyUSB0", "baud": "38400", "mode": "8E1", "framing": "modbus-rtu"}
    assert made["route gateway"] == {
        "from": "lan", "to": "bus", "exchange": "modbus", "answer_timeout": "300ms",
        "retries": "2", "min_gap": "50ms"}
    assert made.stderr == ""


def test_mbusd_its_defaults_and_what_is_lost(convert):
    made = convert("mbusd", """\
        loglevel = 2
        trx_control = rts_0
        retries = 15
        replyonbroadcast = yes
        colour = red
        """)
    assert made["tcp-server lan"] == {
        "listen": "0.0.0.0:502", "allow": "0.0.0.0/0 ::/0", "max_clients": "32",
        "idle_timeout": "60s", "framing": "modbus-tcp"}
    assert made["serial bus"] == {
        "device": "/dev/ttyS0", "baud": "19200", "mode": "8N1", "rs485": "yes",
        "rs485_rts_on_send": "no", "rs485_rts_after_send": "yes", "framing": "modbus-rtu"}
    assert made["route gateway"]["answer_timeout"] == "500ms"
    assert made["route gateway"]["retries"] == "10"
    for line, what in ((1, "loglevel = 2"), (2, "RTS is switched by the driver"),
                       (3, "at most 10 times"), (4, "replyonbroadcast"),
                       (5, "colour = red")):
        made.lost(line, what)
    assert "FILE: warning: every machine may connect" in made.stderr


# --- mavlink-router ----------------------------------------------------------

def test_mavlink_router(convert):
    made = convert("mavlink-router", """\
        [General]
        TcpServerPort=0
        debugloglevel = trace
        DeDuplicationPeriod = 500
        [UartEndpoint fc]
        Device = /dev/ttyACM0
        Baud = 921600
        FlowControl = true
        [UdpEndpoint gcs]
        Mode = Normal
        Address = 192.168.1.20
        [UdpEndpoint other]
        Mode = Normal
        Address = 192.168.1.20
        [UdpEndpoint server]
        Mode = Server
        Address = 127.0.0.1
        Port = 14551
        [TcpEndpoint remote]
        Address = [::1]
        Port = 5761
        RetryTimeout = 3
        """)
    assert made["daemon"] == {"log_level": "debug"}
    assert made["serial fc"] == {"framing": "mavlink", "device": "/dev/ttyACM0",
                                 "baud": "921600", "flow": "rtscts"}
    assert made["udp gcs"]["send_to"] == "192.168.1.20:14550"
    assert made["udp other"]["send_to"] == "192.168.1.20:14551"
    assert made["udp server"]["listen"] == "127.0.0.1:14551"
    assert made["tcp-client remote"] == {"framing": "mavlink", "connect": "[::1]:5761",
                                         "reopen_min": "3s", "reopen_max": "3s"}
    everyone = "fc gcs other server remote"
    assert made["route mavlink"] == {"from": everyone, "to": everyone,
                                     "duplicates": "500ms", "routing": "target"}
    assert "tcp-server tcp" not in made.sections
    assert made.stderr == ""


def test_mavlink_router_the_server_that_is_always_there(convert):
    made = convert("mavlink-router", """\
        [UartEndpoint fc]
        Device = /dev/ttyACM0
        """)
    assert made["tcp-server tcp"]["listen"] == "*:5760"
    assert made["serial fc"]["baud"] == "115200"
    assert "every machine may connect" in made.stderr


def test_mavlink_router_filters_become_routes(convert):
    made = convert("mavlink-router", """\
        [General]
        TcpServerPort = 0
        [UartEndpoint a]
        Device = /dev/ttyACM0
        AllowMsgIdOut = 0,33,30,31,32,33
        [UartEndpoint b]
        Device = /dev/ttyACM1
        BlockMsgIdIn = 2,32
        [UartEndpoint c]
        Device = /dev/ttyACM2
        """)
    routes = {(r["from"], r["to"], r.get("match_mavlink"))
              for name, r in made.sections.items() if name.startswith("route")}
    assert routes == {
        ("a c", "b c", None), ("a c", "a", "0,30-33"), ("b", "a", "0,30-31,33"),
        ("b", "b c", "0-1,3-31,33-16777215")}


def test_mavlink_router_nothing_is_lost_silently(convert):
    made = convert("mavlink-router", """\
        [General]
        TcpServerPort = 0
        ReportStats = true
        Log = /var/log/flights
        [UartEndpoint a]
        Device = /dev/ttyACM0
        Baud = 57600,115200
        BlockSrcSysOut = 7
        [TcpEndpoint b]
        Address = 127.0.0.1
        Port = 5761
        RetryTimeout = 0
        Colour = red
        [Log]
        Log = /var/log/flights
        """)
    for line, what in ((3, "ReportStats"), (4, "Log = /var/log/flights"),
                       (5, "57600,115200"), (8, "BlockSrcSysOut = 7"), (9, "RetryTimeout"),
                       (13, "Colour = red"), (14, "'Log'")):
        made.lost(line, what)
    assert len(made.warnings) == 7


def test_mavlink_router_what_is_left_out_takes_no_restriction_with_it(convert):
    made = convert("mavlink-router", """\
        [UartEndpoint a]
        Device = /dev/ttyACM0
        AllowMsgIdOut = 0,30
        [UdpEndpoint gcs]
        Mode = Normal
        Address = gcs.local
        BlockMsgIdOut = 30
        """)
    assert "udp gcs" not in made.sections
    made.lost(4, "gcs.local:14550")
    routes = {(r["from"], r["to"], r.get("match_mavlink"), r["routing"])
              for name, r in made.sections.items() if name.startswith("route")}
    assert routes == {("tcp a", "tcp", None, "target"), ("tcp a", "a", "0,30", "target")}


def test_without_a_route_that_is_left_nothing_is_written(convert):
    made = convert("mavlink-router", """\
        [General]
        TcpServerPort = 0
        [UartEndpoint a]
        Device = /dev/ttyACM0
        AllowMsgIdIn = 5
        BlockMsgIdIn = 5
        [UartEndpoint b]
        Device = /dev/ttyACM1
        AllowMsgIdIn = 3
        BlockMsgIdIn = 3
        [UdpEndpoint gcs]
        Mode = Normal
        Address = gcs.local
        """, check=False)
    assert (made.status, made.text) == (2, "")
    assert "nothing is written, because none of its routes is left" in made.stderr


# --- kplex -------------------------------------------------------------------

def test_kplex(convert):
    made = convert("kplex", """\
        # comment
        [global]
        checksum=yes
        [serial]
        name=gps          # not "serial"
        filename='/dev/ttyUSB0'
        direction=in
        ifilter=-GPGSV:-**GLL
        [serial]
        name=pilot
        filename=/dev/ttyUSB1
        direction=out
        baud=38400
        checksum=no
        ofilter=+GPRMC:+**RMB:-all
        [tcp]
        mode=server
        address=127.0.0.1
        [tcp]
        name=other
        mode=client
        address=boat.example
        port=2000
        persist=yes
        retry=20
        [multicast]
        group=239.2.1.1
        port=6000
        direction=out
        device=eth0
        [pty]
        mode=master
        filename=/run/kplex/pty
        perm=660
        """)
    assert made["serial gps"] == {"framing": "nmea", "device": "/dev/ttyUSB0",
                                  "baud": "4800"}
    assert made["serial pilot"] == {
        "framing": "nmea", "nmea_checksum": "keep", "device": "/dev/ttyUSB1",
        "baud": "38400"}
    assert made["tcp-server tcp"] == {"framing": "nmea", "listen": "127.0.0.1:10110"}
    assert made["tcp-client other"] == {
        "framing": "nmea", "connect": "boat.example:2000", "reopen_max": "20s"}
    assert made["udp multicast"] == {
        "framing": "nmea", "send_to": "239.2.1.1:6000", "interface": "eth0"}
    assert made["pty pty"] == {"framing": "nmea", "link": "/run/kplex/pty", "mode": "0660"}
    routes = {(r["from"], r["to"], r.get("match_nmea"))
              for name, r in made.sections.items() if name.startswith("route")}
    others, receivers = "tcp other pty", "tcp other multicast pty"
    assert routes == {
        (others, receivers, None), (others, "pilot", "GPRMC ??RMB"),
        ("gps", receivers, "!GPGSV !??GLL"),
        ("gps", "pilot", "GPRMC ??RMB !GPGSV !??GLL")}
    assert made.stderr == ""


def test_kplex_nothing_is_lost_silently(convert):
    made = convert("kplex", """\
        [global]
        mode=background
        [file]
        filename=/tmp/log
        direction=out
        [serial]
        filename=/dev/ttyS0
        qsize=99
        ofilter=~GPGGA/5
        strict=no
        [seatalk]
        [udp]
        port=10110
        direction=in
        srctag=yes
        """)
    for line, what in ((2, "mode=background"), (3, "'file'"), (8, "qsize=99"),
                       (9, "~GPGGA/5"), (10, "strict=no"), (11, "'seatalk'"),
                       (12, "every machine"), (15, "srctag=yes")):
        made.lost(line, what)
    assert len(made.warnings) == 8


@pytest.mark.parametrize("rules, match", [
    ("+GPRMC:-all", "GPRMC"), ("-GPRMC", "!GPRMC"), ("+GP:-all", "GP*"),
    ("-**GSV:-GP*LL", "!??GSV !GP?LL"), ("+GPRMC", None), ("+GPRMC:+all", None),
    ("-GPRMC:+all", "!GPRMC"), ("+GPRMC:-GPGGA", "!GPGGA"),
    ("-GPRMC:+GP:-all", "!GPRMC GP*"),
])
def test_kplex_filters(convert, rules, match):
    made = convert("kplex", f"""\
        [serial]
        filename=/dev/ttyS0
        direction=in
        [serial]
        name=out
        filename=/dev/ttyS1
        direction=out
        ofilter={rules}
        """)
    assert made["route sentences"].get("match_nmea") == match
    assert made.stderr == ""


@pytest.mark.parametrize("rules, match, message", [
    ("~GPRMC/2:-**GSA", "!??GSA", "'~GPRMC/2' is left out: such sentences pass without"),
    ("~GPRMC/2:-all", "GPRMC", "'~GPRMC/2' is left out: such sentences pass without"),
    ("+GPRMC%gps:+GPGGA:-all", "GPGGA", "'+GPRMC%gps' in '+GPRMC%gps:+GPGGA:-all' cannot"),
    ("-GPRMC%gps", None, "'-GPRMC%gps' is left out: such sentences pass"),
    ("+GPRMC:-GP", "!GP*", "'-GP' in '+GPRMC:-GP' cannot be expressed"),
])
def test_kplex_of_a_filter_what_can_be_expressed_stays(convert, rules, match, message):
    made = convert("kplex", f"""\
        [serial]
        filename=/dev/ttyS0
        direction=in
        [serial]
        name=out
        filename=/dev/ttyS1
        direction=out
        ofilter="{rules}"
        """)
    assert made["route sentences"].get("match_nmea") == match
    made.lost(8, message)
    assert len(made.warnings) == 1


@pytest.mark.parametrize("rules", ["-all", "GPRMC", "+TOOLONG:-all", "+GP RM:-all"])
def test_kplex_what_lets_nothing_pass_or_is_no_filter(convert, rules):
    made = convert("kplex", f"""\
        [serial]
        filename=/dev/ttyS0
        [serial]
        name=out
        filename=/dev/ttyS1
        ofilter="{rules}"
        """)
    made.lost(6, rules)
    assert [(r["from"], r["to"]) for name, r in made.sections.items()
            if name.startswith("route")] == [("serial out", "serial")]


def test_kplex_ports_may_be_names(convert):
    made = convert("kplex", "[tcp]\nmode=server\naddress=127.0.0.1\nport=nmea-0183\n")
    assert made["tcp-server tcp"]["listen"] == "127.0.0.1:10110"


def test_many_endpoints_fit_into_the_lines_of_routes(convert):
    made = convert("kplex", "".join(
        f"[serial]\nname=receiver-number-{n}\nfilename=/dev/ttyS{n}\n" for n in range(40)))
    pairs = set()
    for name, r in made.sections.items():
        if name.startswith("route"):
            pairs |= {(a, b) for a in r["from"].split() for b in r["to"].split()}
    assert len(pairs) == 40 * 40


@pytest.mark.parametrize("program, text, left_out, route", [
    ("mavlink-router", """\
        [General]
        TcpServerPort = 0
        [UartEndpoint one]
        Device = /dev/ttyS0
        [UdpEndpoint bad]
        Mode = Normal
        Address = no-address.example
        Port = 14550
        [UartEndpoint two]
        Device = /dev/ttyS1
        """, 5, {"from": "one two", "to": "one two", "routing": "target"}),
    ("kplex", """\
        [serial]
        name=one
        filename=/dev/ttyS0
        [serial]
        name=bad
        filename=/dev/ttyS2
        baud=fast
        ifilter=-GPGSV
        [serial]
        name=two
        filename=/dev/ttyS1
        """, 4, {"from": "one two", "to": "one two"}),
])
def test_the_others_are_joined_when_an_endpoint_is_left_out(
        convert, program, text, left_out, route):
    made = convert(program, text)
    made.lost(left_out, "left out: ")
    assert len(made.warnings) == 1
    assert [r for name, r in made.sections.items() if name.startswith("route")] == [route]


@pytest.mark.parametrize("program, before", [
    ("mbusd", ""), ("kplex", "[serial]\nfilename=/dev/ttyS9\n[serial]\n"),
    ("mavlink-router", "[UartEndpoint a]\n"),
])
def test_a_key_that_is_repeated(convert, program, before):
    key = "filename" if program == "kplex" else "device"
    made = convert(program, f"{before}{key} = /dev/ttyS0\n{key} = /dev/ttyS1\n")
    made.lost(before.count("\n") + 1, f"'{key} = /dev/ttyS0' is left out: line")
    assert "/dev/ttyS1" in [s.get("device") for s in made.sections.values()]


@pytest.mark.parametrize("program, before, line", [
    ("mavlink-router", "[UartEndpoint a]\nDevice = /dev/ttyS0", "FlowControl = garbage"),
    ("mbusd", "device = /dev/ttyS0", "replyonbroadcast = garbage"),
    ("mbusd", "device = /dev/ttyS0", "enable_rs485 = garbage"),
    ("mbusd", "device = /dev/ttyS0", "trx_control = rtsgarbage"),
    ("kplex", "[serial]\nfilename=/dev/ttyS0", "eol=garbage"),
    ("kplex", "[serial]\nfilename=/dev/ttyS0", "checksum=garbage"),
    ("kplex", "[serial]\nfilename=/dev/ttyS0", "garbage=no"),
    ("kplex", "[serial]\nfilename=/dev/ttyS0\n[global]", "checksum=garbage"),
    ("kplex", "[tcp]\naddress=127.0.0.1\npersist=yes", "mode=garbage"),
    ("kplex", "[tcp]\naddress=127.0.0.1\npersist=yes", "keepalive=garbage"),
    ("kplex", "[tcp]\naddress=127.0.0.1", "persist=garbage"),
    ("kplex", "[pty]\nfilename=/dev/ttyS0", "mode=garbage"),
    ("kplex", "[udp]\naddress=127.0.0.1", "type=garbage")])
def test_a_value_that_the_program_does_not_know(convert, program, before, line):
    """It is said, and the result is as without the line."""
    after = "[serial]\nfilename=/dev/ttyS9\n" if program == "kplex" else ""
    made = convert(program, f"{before}\n{line}\n{after}")
    made.lost(before.count("\n") + 2, "garbage")
    assert made.sections == convert(program, f"{before}\n{after}").sections


@pytest.mark.parametrize("program, text", [
    ("mavlink-router", "[UartEndpoint a]\nDevice = /dev/ttyS0\n"
     "[UdpEndpoint b]\nMode = Server\nAddress = HOST\nPort = PORT\n"),
    ("mavlink-router", "[General]\nTcpServerPort = PORT\n[UartEndpoint a]\nDevice = /dev/ttyS0\n"
     "[UartEndpoint b]\nDevice = /dev/ttyS1\n"),
    ("mavlink-router", "[UartEndpoint a]\nDevice = /dev/ttyS0\n"
     "[UdpEndpoint b]\nMode = Normal\nAddress = HOST\n"),
    ("kplex", "[serial]\nfilename=/dev/ttyS0\n[serial]\nfilename=/dev/ttyS1\n"
     "[tcp]\nmode=server\naddress=HOST\nport=PORT\n")])
def test_no_address_is_cut(convert, program, text):
    for host, port in ("127.0.0.1", "1" * 5 + "0" * 30), ("1" * 300, "2000"):
        whole = text.replace("HOST", host).replace("PORT", port)
        made = convert(program, whole)
        if "1111" in whole:
            assert "left out: " in made.stderr
        assert not any("1111" in value for keys in made.sections.values()
                       for value in keys.values())


def test_several_that_want_the_same_name(convert):
    names = ["a", "a", "a-2", "a", "a-3", "A", "a", "a-2"]
    made = convert("kplex", "".join(
        f"[serial]\nname={name}\nfilename=/dev/ttyS{n}\n" for n, name in enumerate(names)))
    assert [made[s]["device"] for s in made.sections if s.startswith("serial")] == [
        f"/dev/ttyS{n}" for n in range(len(names))]


# --- what is no configuration ------------------------------------------------

@pytest.mark.parametrize("program, text", [
    ("ser2net", "localhost,2000:raw:0:/dev/ttyS0:9600 LOCAL\n"),
    ("ser2net", "connection: &a\n  accepter: tcp,localhost,2000\n"
                "  connector: serialdev,/dev/ttyS0,local\n"),
    ("mavlink-router", "[UartEndpoint a]\nDevice = /dev/ttyS0\n"),
    ("mbusd", "device = /dev/ttyS0\n"),
    ("kplex", "[serial]\nfilename=/dev/ttyS0\n[tcp]\nmode=server\n"),
])
def test_a_byte_order_mark_is_no_part_of_the_text(convert, program, text):
    made, plain = (convert(program, mark + text.encode()) for mark in (b"\xef\xbb\xbf", b""))
    assert (made.text, made.warnings) == (plain.text, plain.warnings)


@pytest.mark.parametrize("program, text", [
    ("mbusd", "\x1b[31m=1\n"),
    ("kplex", "[\x1b[31m]\n"),
    ("mavlink-router", "[UdpEndpoint \x1b[31m]\nAddress=127.0.0.1\n"),
])
def test_what_controls_a_terminal_is_not_printed(convert, program, text):
    made = convert(program, text, check=False)
    assert made.status == 2
    assert "\\x1b[31m" in made.stderr and "\x1b" not in made.stderr


def test_yaml_that_is_nested_too_deeply(convert):
    made = convert("ser2net", "leds:\n  a: " + "[" * 400000, check=False)
    assert made.status == 2
    assert made.stderr == "ttybridged: FILE:2: nested too deeply\n"


def test_a_part_of_the_result_does_not_stay(directory):
    source, out = directory / "source", directory / "made.conf"
    source.write_text("device = /dev/ttyS0\n")
    done = run("--init", "mbusd", source, "-c", out,
               preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                   resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))))
    assert done.returncode == 1
    assert f"{out} cannot be written: File too large" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("program", ["ser2net", "mavlink-router", "mbusd", "kplex"])
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


@pytest.mark.parametrize("program, text, message", [
    ("mbusd", "colour = red\nshape = x\n", "FILE:1: 'colour' is no key of mbusd"),
    ("mbusd", "[serial]\n", "FILE:1: '[serial]': this file has no sections"),
    ("mavlink-router", "Device = x\n", "FILE:1: 'Device = x': it stands before"),
    ("mavlink-router", "[Colour]\n", "FILE:1: [Colour] is no section of mavlink-router"),
    ("mavlink-router", "[UartEndpoint a]\n", "FILE:1: [UartEndpoint a] has no Device"),
    ("mavlink-router", "[UdpEndpoint a]\nAddress=::1\nMode=both\n",
     "FILE:1: the mode is normal or server"),
    ("kplex", "[serial]\nbaud=4800\n", "FILE:1: the interface has no filename"),
    ("kplex", "[serial\n", "FILE:1: '[serial': there is no ']'"),
    ("kplex", "[serial]\nfilename='x\n", "FILE:2: ''x': the quote is not closed"),
    ("kplex", "[serial]\nfilename=x\ndirection=up\n", "FILE:3: the direction is in, out"),
])
def test_faults_have_their_line(convert, program, text, message):
    made = convert(program, text, check=False)
    assert made.status == 2
    assert made.text == ""
    assert made.stderr.startswith(f"ttybridged: {message}"), made.stderr


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
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{out} is written; start it with: ttybridged -c {out}\n"
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


def test_a_port_that_is_not_there_yet(machine, directory):
    later = f"/dev/serial/by-id/{'x' * 70}"
    done = two(machine).answer(f"1 {later}x 77\n1 /dev/ttyACM9 {later}\nline\nno\n")
    made = sections_of(done, directory)
    assert "the path of a port that is not there yet; Ctrl-C ends" in done.stderr
    devices = [keys["device"] for name, keys in made.items() if name.startswith("serial ")]
    assert devices == [f"/dev/serial/by-id/{UNO}", "/dev/ttyACM9", later]


def test_what_is_written_can_be_started(machine, directory):
    file = directory / "made"
    done = two(machine).run("--init", "--yes", "-c", file)
    assert f"{file} is written; start it with: ttybridged -c {file}\n" in done.stderr


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
