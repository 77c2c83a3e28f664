"""The bridges that are measured: what each is told to join, and how."""
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build/bench"
DAEMON = os.environ.get("TTYBRIDGED", str(ROOT / "build/plain/ttybridged"))
PYTHON = "/usr/bin/python3"
GAP_US = 100            # between a frame on a fast bus and the next
LIMIT, OURS, RAW = "limit", "ttybridged", "raw port"
CERTIFICATE, KEY = BUILD / "server.crt", BUILD / "server.key"


@dataclass
class Gateway:
    """Masters of Modbus on TCP and on ptys, and the bus that they share."""
    tcp: int = 0
    rtu: int = 0
    bus: str = f"baud = 4000000\nidle = {GAP_US}us\n"
    route: str = "answer_timeout = 500ms\n"


@dataclass
class Setup:
    """What a bridge has to join: pairs of ptys, or a pty and a TCP port."""
    directory: Path
    pairs: int = 1
    mode: str = "raw"       # of the limit
    framing: tuple = ("raw", "raw")
    port: int = 0           # 0: no TCP
    protocol: str = ""      # of the TCP port: "" (raw), tls or rfc2217
    crowd: int = 0          # other endpoints, in pairs, and control ports
    gateway: "Gateway" = None

    def write(self, text, suffix="conf"):
        path = self.directory / f"bridge.{suffix}"
        path.write_text(text)
        return str(path)


def crowd(s, version):
    """Of each version ten endpoints are different."""
    def end(i):
        return (f"[pty e{i}]\nlink = {s.directory}/e{i}\nframing = line\n" +
                (f"max_frame = {1000 + version}\n" if i < 10 else ""))
    return (f"[control full]\nlisten = unix:{s.directory}/full\n"
            f"[control read]\nlisten = unix:{s.directory}/read\naccess = read\n" +
            "".join(end(i) for i in range(s.crowd)) +
            "".join(f"[route e{i}]\nbetween = e{i} e{i + 1}\n"
                    for i in range(0, s.crowd, 2)))


def gateway_conf(s):
    def line(name, port, keys):
        return (f"[serial {name}]\ndevice = {s.directory}/{port}\n"
                f"framing = modbus-rtu\n{keys}")
    g = s.gateway
    masters = ["lan"] * (g.tcp > 0) + [f"r{i}" for i in range(g.rtu)]
    return ("".join(line(f"r{i}", f"R{i}", "baud = 115200\n")
                    for i in range(g.rtu)) +
            (f"[tcp-server lan]\nlisten = 127.0.0.1:{s.port}\nmax_clients = 64\n"
             "framing = modbus-tcp\n" if g.tcp else "") +
            line("bus", "B0", g.bus) +
            f"[route shared]\nfrom = {' '.join(masters)}\nto = bus\n"
            f"exchange = modbus\n{g.route}")


PROTOCOLS = {"": "", "rfc2217": "protocol = rfc2217\nline = a0\n",
             "tls": f"tls = yes\ntls_cert = {CERTIFICATE}\ntls_key = {KEY}\n"}


def ours(s, version=0):
    if s.gateway:
        return [DAEMON, "-c", s.write(gateway_conf(s))]

    def port(side, i):
        return (f"[serial {side}{i}]\ndevice = {s.directory}/{side.upper()}{i}\n"
                f"baud = 115200\nframing = {s.framing[side == 'b']}\n")
    if s.port:
        text = port("a", 0) + (
            f"[tcp-server lan]\nlisten = 127.0.0.1:{s.port}\nmax_clients = 64\n"
            f"framing = {s.framing[1]}\n{PROTOCOLS[s.protocol]}")
    else:
        text = "".join(port("a", i) + port("b", i) +
                       f"[route r{i}]\nbetween = a{i} b{i}\n"
                       for i in range(s.pairs))
    if s.crowd:
        text += crowd(s, version)
    return [DAEMON, "-c", s.write(text)]


def limit(s):
    mode = s.protocol or "tcp" if s.port else s.mode
    return [str(BUILD / "limit"), mode, str(s.directory), str(s.port or s.pairs)]


def raw_port(s):
    """The daemon's port without a protocol, as the measure of one with it."""
    return ours(replace(s, protocol=""))


def socat(s):
    listen = (f"OPENSSL-LISTEN:{s.port},cert={CERTIFICATE},key={KEY},verify=0"
              if s.protocol == "tls" else f"TCP-LISTEN:{s.port}")
    other = (f"{listen},bind=127.0.0.1,reuseaddr,nodelay" if s.port
             else f"{s.directory}/B{{I}},raw,echo=0")
    return ["socat", f"{s.directory}/A{{I}},raw,echo=0", other]


def stunnel(s):
    """With socat at the port, which it starts for each client."""
    return ["stunnel4", s.write(
        "foreground = yes\npid =\nsyslog = no\n[port]\n"
        f"accept = 127.0.0.1:{s.port}\nsocket = l:TCP_NODELAY=1\n"
        f"socket = a:TCP_NODELAY=1\ncert = {CERTIFICATE}\nkey = {KEY}\n"
        f"exec = /usr/bin/socat\nexecArgs = socat - {s.directory}/A0,raw,echo=0\n")]


def ser2net(s, options=""):
    def device(side, i):
        return f"serialdev(nouucplock=true),{s.directory}/{side}{i},115200n81,local"
    text = ""
    for i in range(s.pairs):
        if s.port:
            over = {"": "", "rfc2217": "telnet(rfc2217),",
                    "tls": f"ssl(key={KEY},cert={CERTIFICATE}),"}[s.protocol]
            ends = f"{over}tcp,127.0.0.1,{s.port}", device("A", 0)
            options += "    max-connections: 64\n"
        else:
            ends = f"conacc,{device('A', i)}", device("B", i)
        text += (f"connection: &c{i}\n  accepter: {ends[0]}\n"
                 f"  connector: {ends[1]}\n")
        if options:
            text += f"  options:\n{options}"
    return ["ser2net", "-d", "-u", "-c", s.write(text, "yaml")]


def ser2net_tuned(s):
    return ser2net(s, "    chardelay: false\n    dev-to-net-bufsize: 65536\n"
                      "    net-to-dev-bufsize: 65536\n")


def gensiot(s):
    return ["gensiot", "-i"] + [
        f"serialdev(nouucplock=true),{s.directory}/{side}{{I}},115200n81,local"
        for side in "AB"]


def asyncio(s):
    mode = "tcp" if s.port else "line" if s.mode == "line" else "raw"
    return [PYTHON, str(HERE / "peer_asyncio.py"), mode, str(s.directory),
            str(s.port or s.pairs)]


@dataclass
class Bridge:
    words: callable
    each: bool = False          # a process for each pair
    clients: int = 64           # of TCP, at most


BRIDGES = {LIMIT: Bridge(limit), OURS: Bridge(ours), RAW: Bridge(raw_port),
           "socat": Bridge(socat, each=True, clients=1),
           "ser2net": Bridge(ser2net), "tuned": Bridge(ser2net_tuned),
           "gensiot": Bridge(gensiot, each=True, clients=0),
           "stunnel": Bridge(stunnel, clients=1),
           "asyncio": Bridge(asyncio)}


def installed():
    have = {"socat": "socat", "ser2net": "ser2net", "tuned": "ser2net",
            "gensiot": "gensiot", "stunnel": "stunnel4"}
    names = [LIMIT, OURS] + [n for n, c in have.items() if shutil.which(c)]
    if subprocess.run([PYTHON, "-c", "import serial_asyncio"],
                      capture_output=True).returncode == 0:
        names.append("asyncio")
    return names
