"""Each recipe of README.md, as it is printed there, with real data."""
import json
import re
import select
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import serial as pyserial

from broker import Mosquitto
from ctl import CTL
from harness import PATIENCE, expect, free_port, pump, run, wait_for
from readme import RECIPES, Place, blocks, commands, words
from test_manual import mbpoll, registers, sentence
from test_modbus import cable, server                       # noqa: F401 (fixtures)

HEARTBEAT = bytes.fromhex("fd0900004e010100000000000000020351040372e4")
GGA = sentence("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,")


def named(words_):
    """The title with these words."""
    title, = [t for t in RECIPES if words_ in t]
    return title


def line_of(process):
    """The next line that a program prints."""
    assert select.select([process.stdout], [], [], PATIENCE)[0], "it prints nothing"
    return process.stdout.readline()


@pytest.fixture
def place(directory):
    made = Place(directory)
    yield made
    made.close()


@pytest.fixture
def start():
    """Starts programs, which are killed in the end."""
    made = []

    def program(*args, **kwargs):
        made.append(subprocess.Popen(*args, stdout=subprocess.PIPE, **kwargs))
        return made[-1]
    yield program
    for process in made:
        process.kill()
        process.communicate()


@pytest.fixture
def recipe(place, daemon):
    """Starts the recipe whose title has these words."""
    def start(words_, **replaced):
        title = named(words_)
        conf = blocks("ini", title)
        if conf:
            text, = conf
            for key, value in replaced.items():
                text = re.sub(rf"(?m)^{key} = \S+", f"{key} = {value}", text)
            d = daemon(place.adapt(text), settled=False)
        else:
            program, *endpoints = words(commands(title)[0])
            assert program == "ttybridged"
            d = daemon(words=[place.adapt(each) for each in endpoints], settled=False)
        for row in d.json("endpoints"):
            if row["type"] == "serial" and row["state"] != "idle":
                d.wait_state(row["name"], "up")
        d.title = title
        return d
    return start


def test_gps_to_a_plotter_and_three_programs(recipe, place, connect):
    d = recipe("A GPS receiver")
    gps, plotter = place.ttys["ttyUSB0"], place.ttys["ttyUSB1"]
    programs = [connect(place.ports[10110]) for _ in range(3)]
    wait_for(lambda: len(d.json("peers")) == 3)
    gps.send(b"$GPGGA,garbage*00\r\n" + GGA)
    for each in (plotter, *programs):
        expect(each, GGA, [gps])
    assert d.number("gps/bad_checksum") == 1
    programs[0].send(GGA)
    d.wait_number("programs/rx_frames", 1)
    assert d.number("gps/tx_frames") == d.number("plotter/tx_frames") - 1 == 0


def test_masters_share_a_modbus_bus(recipe, place, pty, cable, server):   # noqa: F811
    # A busy machine may take long for an answer.
    d = recipe("A Modbus bus", answer_timeout="10s")
    far = pty("far")
    cable(place.ttys["ttyUSB0"], far)
    server(far, 1)
    client, = commands(d.title)
    said = subprocess.run(
        [w.replace("5020", str(place.ports[5020])) for w in words(client)] + ["-o", "5"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60).stdout
    assert registers(said) == [1000, 1001]
    assert registers(mbpoll(place.ports[5020], 1)) == list(range(1000, 1010))
    assert d.number("routes/gateway/answers") == 2


def test_stx_etx_to_udp(recipe, place):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as partner:
        partner.bind(("127.0.0.1", 0))
        partner.settimeout(20)
        place.ports[6000] = partner.getsockname()[1]
        recipe("A device with STX")
        scale = place.ttys["ttyUSB0"]
        scale.send(b"\x02W 12.5\x03" + check(b"W 12.5\x03"))
        data, address = partner.recvfrom(100)
        assert data == b"W 12.5\n"
        partner.sendto(b"TARE\n", address)
        expect(scale, b"\x02TARE\x03" + check(b"TARE\x03"))


def check(data):
    value = 0
    for byte in data:
        value ^= byte
    return bytes([value])


def test_a_console_with_tls(recipe, place, directory, start):
    d = recipe("The console of a board")
    client, = commands(d.title)
    console = start(words(place.adapt(client)), cwd=directory, stdin=subprocess.PIPE,
                    stderr=subprocess.DEVNULL)
    d.wait_state("board", "up")
    console.stdin.write(b"help\n")
    console.stdin.flush()
    board = place.ttys["ttyUSB0"]
    expect(board, b"help\n")
    board.send(b"no help\r\n")
    assert line_of(console) == b"no help\r\n"
    assert [row["certificate"] for row in d.json("peers")] == ["alice"]
    console.kill()
    d.wait_state("board", "idle")


def test_a_radio_for_home_assistant(recipe, place, connect):
    d = recipe("A Zigbee", flow="none")
    radio, old = place.ttys["ttyUSB0"], connect(place.ports[6638])
    old.send(b"\x1a\xc0\x38\xbc\x7e")
    expect(radio, b"\x1a\xc0\x38\xbc\x7e", [old])
    new = connect(place.ports[6638])
    wait_for(lambda: d.number("zigbee/peers") == 2)
    old.send(b"late")
    d.wait_number("zigbee/refused_bytes", 4)
    new.send(b"\x1a\xc0\x7e")
    expect(radio, b"\x1a\xc0\x7e", [new])
    connect(place.ports[6638])
    pump([old], lambda: old.eof)


def test_flashing_while_others_watch(recipe, place, connect):
    d = recipe("Flashing a board")
    board, watcher = place.ttys["ttyUSB0"], connect(place.ports[2218])
    wait_for(lambda: len(d.json("peers")) == 1)
    # esptool opens its port with pyserial, as is done here.
    tool = words(commands(d.title)[0])
    port, speed = (tool[tool.index(option) + 1] for option in ("--port", "--baud"))
    with pyserial.serial_for_url(place.adapt(port), baudrate=115200, timeout=20) as tool:
        tool.baudrate = int(speed)
        tool.dtr = tool.rts = False
        assert board.speed() == (460800, 460800)
        tool.write(b"\xc0image\xff\xc0")
        expect(board, b"\xc0image\xff\xc0")
        board.send(b"\xc0done\xff\xc0")
        assert tool.read(7) == b"\xc0done\xff\xc0"
        expect(watcher, b"\xc0done\xff\xc0", [board])
    wait_for(lambda: board.speed() == (115200, 115200))


def test_a_meter_to_mqtt(recipe, place, directory, start):
    broker = Mosquitto(directory).start()
    place.ports[1883] = broker.port
    try:
        d = recipe("A meter")
        d.settle()
        _, client = commands(d.title)
        place.ttys["ttyUSB0"].send(b"E=1234.5 kWh\r\n")
        # It is retained, so the subscriber may come later.
        subscriber = start([*words(client), "-p", str(broker.port)])
        topic, message = line_of(subscriber).split(b" ", 1)
        assert topic == f"meters/{socket.gethostname()}/meter".encode()
        assert json.loads(message)["frame"] == "E=1234.5 kWh"
    finally:
        broker.close()


def test_a_gps_receiver_takes_over(recipe, place, connect):
    d = recipe("Two GPS", fail_after="300ms", recover_after="1ms")
    first, second = place.ttys["ttyUSB0"], place.ttys["ttyUSB1"]
    program = connect(place.ports[10110])
    wait_for(lambda: len(d.json("peers")) == 1)

    def position(status, number):
        return sentence(f"GPRMC,{number},{status},4807.038,N,01131.000,E,0,0,230394,,")

    def until(wanted, *turns):
        def seen():
            for tty, data in turns:
                tty.send(data)
            return wanted in program.received
        pump([first, second, program], seen)
    one, two, again = (position("A", n) for n in (1, 2, 3))
    until(one, (first, one))
    assert d.get("routes/position/used") == "gps1"
    until(two, (first, position("V", 9)), (second, two))
    assert d.get("routes/position/used") == "gps2"
    until(again, (first, again))
    assert d.get("routes/position/used") == "gps1"


def test_a_flight_controller_and_ground_stations(recipe, place, connect):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as station:
        station.bind(("127.0.0.1", 0))
        station.settimeout(20)
        place.ports[14550] = station.getsockname()[1]
        d = recipe("A flight controller")
        controller, other = place.ttys["ttyACM0"], connect(place.ports[5760])
        wait_for(lambda: any(row["endpoint"] == "ep3" for row in d.json("peers")))
        controller.send(b"noise" + HEARTBEAT)
        expect(other, HEARTBEAT, [controller])
        data, address = station.recvfrom(300)
        assert data == HEARTBEAT
        station.sendto(HEARTBEAT, address)
        expect(controller, HEARTBEAT)


def test_what_passes_in_wireshark(daemon, pty, directory, start):
    """The commands as they stand, but with tshark in place of wireshark."""
    live, save, replay = commands(named("What passes"))
    port, a, b = free_port(), pty("a"), pty("b")
    d = daemon(words=[f"serial:{a.link},framing=line", f"serial:{b.link},framing=line",
                      f"control:127.0.0.1:{port},access=full,name=tcp"])

    def shell(command):
        command = command.replace("5010", str(port)).replace("ttybridgectl", CTL)
        return start(["sh", "-c", f"exec 2>&1; {command}"], cwd=directory, text=True)

    def captures():
        return [row for row in d.json("ps") if "to end its" in row["label"]]
    shown = shell(live.replace("wireshark -k -i -", f"{shutil.which('tshark')} -l -c 1 -r -"))
    saved = shell(f"exec {save}")
    wait_for(lambda: len(captures()) == 2)
    a.send(b"temp 21.5\n")
    expect(b, b"temp 21.5\n", [a])
    wait_for(lambda: (directory / "x.pcap").stat().st_size > 24)
    a.send(b"temp 21.6\n")
    expect(b, b"temp 21.6\n", [a])
    assert "line ep1 > ep2" in shown.communicate(timeout=60)[0]
    saved.terminate()
    saved.wait(20)
    again = shell(replay)
    expect(a, b"temp 21.5\n")
    again.communicate(timeout=20)


def test_every_recipe_is_tried():
    tried = re.findall(r'\b(?:recipe|named)\("(.*?)"', Path(__file__).read_text())
    assert sorted(map(named, tried)) == sorted(RECIPES)
    assert len(RECIPES) == 10


@pytest.mark.parametrize("number", range(len(blocks("ini"))))
def test_every_configuration_is_right(number, directory):
    place = Place(directory)
    file = directory / "x.conf"
    file.write_text(place.adapt(blocks("ini")[number]))
    done = run("--check", "-c", file)
    place.close()
    assert (done.returncode, done.stderr) == (0, "")

