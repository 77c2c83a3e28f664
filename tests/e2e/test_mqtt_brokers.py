"""What brokers announce, answer, and do not answer; and several of them."""
import subprocess

import pytest

from broker import Mosquitto
from fake_broker import (MAXIMUM_PACKET_SIZE, SERVER_KEEP_ALIVE, USER_PROPERTY, FakeBroker,
                         string)
from harness import expect, flush, free_port, pump, section, serial, wait_for
from test_mqtt import site


@pytest.fixture
def fake():
    made = []

    def make(**keys):
        made.append(FakeBroker(**keys))
        return made[-1]
    yield make
    for b in made:
        b.close()


@pytest.fixture
def broker(directory):
    made = []

    def make(name="one", **keys):
        place = directory / name
        place.mkdir()
        made.append(Mosquitto(place, **keys))
        return made[-1]
    yield make
    for b in made:
        b.close()


def of(properties, kind):
    return [value for k, value in properties if k == kind]


# --- what is announced ------------------------------------------------------------


def test_a_broker_without_keepalive(pty, daemon, fake, directory):
    """0 means that there is none: no packet and no timer."""
    b = fake(properties=bytes([SERVER_KEEP_ALIVE, 0, 0]))
    gps = pty("gps")
    d = daemon(site(directory, "boat") + serial("gps", gps, framing="line") +
               section("mqtt", "m", broker=b.address, publish="x", keepalive="5s"))
    d.wait_state("m", "up")
    task = d.tasks()["m.keepalive"]
    assert task["state"] == "idle"
    assert "wants no keepalive" in task["label"]
    for n in range(20):
        gps.send(b"%d\n" % n)
        pump([gps], lambda: len(b.messages) > n)
    assert d.tasks()["m.keepalive"]["runs"] <= task["runs"] + 1
    assert b.pings == 0


def test_the_keepalive_of_the_broker(daemon, fake, directory):
    b = fake(properties=bytes([SERVER_KEEP_ALIVE, 0, 1]))
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=b.address, publish="x", keepalive="1h"))
    d.wait_state("m", "up")
    wait_for(lambda: b.pings > 0, what="a ping")
    assert d.state("m") == "up"


def test_the_maximum_packet_size_is_announced(daemon, fake, directory):
    b = fake()
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=b.address, subscribe="x"))
    d.wait_state("m", "up")
    assert of(b.connects[-1], MAXIMUM_PACKET_SIZE) == [1 << 20]


def test_the_longest_frame_in_each_encoding(pty, daemon, broker, directory):
    """As JSON it is six times as long, and still admitted."""
    b = broker().start()
    far = pty("far")
    frame = "\x01" * 60000
    d = daemon(site(directory, "shore") +
               serial("far", far, framing="line", max_frame="64K", queue="1M") +
               section("mqtt", "m", broker=b.address, subscribe="in", encoding="json",
                       max_frame="64K"))
    d.wait_state("m", "up")
    text = directory / "text"
    text.write_text('{"frame":"' + "\\u0001" * len(frame) + '"}')
    publish_file(b, "in", text)
    expect(far, frame.encode() + b"\n", [far])


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_message_that_is_too_large(pty, daemon, broker, directory, version):
    """Those that follow arrive."""
    b = broker().start()
    far = pty("far")
    d = daemon(site(directory, "shore") + serial("far", far, framing="line") +
               section("mqtt", "m", broker=b.address, subscribe="in", version=version))
    d.wait_state("m", "up")
    large, small = directory / "large", directory / "small"
    large.write_text("x" * 2_000_000)
    small.write_text("small")
    publish_file(b, "in", large)
    publish_file(b, "in", small)
    expect(far, b"small\n", [far])
    assert d.number("m/refused") == (0 if version == "5" else 1)
    assert d.state("m") == "up"


def publish_file(b, topic, path):
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(b.port), "-t", topic,
                    "-f", str(path), "-q", "1"], check=True, timeout=20)


# --- the origin ---------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw", "json", "hex", "base64"])
def test_the_origin_is_a_user_property(pty, daemon, fake, directory, encoding):
    """A message that is sent again has the same one."""
    b = fake(confirms=False)
    gps = pty("gps")
    d = daemon(site(directory, "boat") + serial("gps", gps, framing="line") +
               section("mqtt", "m", broker=b.address, publish="x", encoding=encoding,
                       reopen_max="300ms"))
    d.wait_state("m", "up")
    gps.send(b"one\ntwo\n")
    pump([gps], lambda: len(b.messages) == 2, what="the messages")
    found = [of(m.properties, USER_PROPERTY) for m in b.messages]
    names = [dict(x)["origin"] for x in found]
    assert [n.rsplit("/", 1)[1] for n in names] == ["1", "2"]
    assert all(n.startswith("boat/gps/") for n in names)
    b.drop()
    pump([gps], lambda: len(b.messages) == 4, what="the messages again")
    assert [of(m.properties, USER_PROPERTY) for m in b.messages[2:]] == found


@pytest.mark.parametrize("encoding", ["raw", "json", "hex", "base64"])
def test_the_origin_is_read(pty, daemon, fake, directory, encoding):
    """The user property alone suffices to recognise what is repeated."""
    b = fake()
    far = pty("far")
    d = daemon(site(directory, "shore") + serial("far", far, framing="line") +
               section("mqtt", "m", broker=b.address, subscribe="x", encoding=encoding))
    d.wait_state("m", "up")
    payload = {"raw": b"text", "json": b'{"frame":"text"}', "hex": b"74657874",
               "base64": b"dGV4dA=="}[encoding]
    for n in (1, 2, 2, 1, 4):
        b.publish("x", payload, bytes([USER_PROPERTY]) + string("origin") +
                  string(f"boat/gps/0123456789abcdef/{n}"))
    expect(far, b"text\n" * 3, [far])
    d.wait_number("m/duplicate", 2)
    assert d.number("m/missing") == 1


@pytest.mark.parametrize("encoding", ["raw", "json", "hex", "base64"])
def test_mosquitto_sub_shows_the_origin(pty, daemon, broker, directory, encoding):
    b = broker().start()
    gps = pty("gps")
    sub = subprocess.Popen(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(b.port), "-V", "5", "-t", "x",
         "-C", "1", "-F", "%P"], stdout=subprocess.PIPE)
    wait_for(lambda: "Sending SUBACK" in b.log(), what="the subscription")
    d = daemon(site(directory, "boat") + serial("gps", gps, framing="line") +
               section("mqtt", "m", broker=b.address, publish="x", encoding=encoding))
    d.wait_state("m", "up")
    gps.send(b"one\n")
    flush([gps])
    said = sub.communicate(timeout=20)[0].decode()
    assert said.startswith("origin:boat/gps/") and said.rstrip().endswith("/1")


@pytest.mark.parametrize("encoding", ["raw", "json", "hex", "base64"])
def test_two_daemons_and_a_stop(pty, daemon, broker, directory, encoding):
    """Each frame arrives once although the broker ends, whatever the encoding."""
    b = broker().start()
    gps, far = pty("gps"), pty("far")
    keys = dict(broker=b.address, encoding=encoding, reopen_max="300ms")
    boat = daemon(site(directory, "boat") + serial("gps", gps, framing="line") +
                  section("mqtt", "m", publish="x/%e", **keys))
    shore = daemon(site(directory, "shore") + serial("far", far, framing="line") +
                   section("mqtt", "m", subscribe="x/#", **keys))
    for d in (boat, shore):
        d.wait_state("m", "up")
    text = b"".join(b"line %d\n" % n for n in range(400))
    half = text.index(b"line 200\n")
    gps.send(text[:half])
    pump([gps, far], lambda: len(far.received) > 100)
    b.end()
    gps.send(text[half:])
    b.start()
    expect(far, text, [gps])
    assert shore.number("m/missing") == 0


# --- several brokers ------------------------------------------------------------------


def test_the_first_one_refuses(daemon, fake, directory):
    """Its reason is in the log; the second one is used."""
    first, second = fake(refusal=0x87), fake()
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=f"{first.address} {second.address}",
                       publish="x", reopen_max="300ms"), settled=False)
    d.wait_state("m", "up")
    assert d.get("m/address") == second.address
    assert "not authorized" in d.stderr()
    assert first.connects


def test_the_first_one_comes_back(pty, daemon, broker, directory):
    """Nothing is lost on the way to the second one and back."""
    first, second = broker("one"), broker("two")
    first.start()
    second.start()
    gps = pty("gps")
    d = daemon(site(directory, "boat") + serial("gps", gps, framing="line") +
               section("mqtt", "m", broker=f"{first.address} {second.address}",
                       publish="x", reopen_max="300ms"))
    d.wait_state("m", "up")
    assert d.get("m/address") == first.address
    first.end()
    gps.send(b"one\n")
    pump([gps], lambda: d.number("m/tx_frames") == 1)
    assert d.get("m/address") == second.address
    first.start()
    # It stays with the one that works, until that ends.
    gps.send(b"two\n")
    pump([gps], lambda: d.number("m/tx_frames") == 2)
    assert d.get("m/address") == second.address
    second.end()
    gps.send(b"three\n")
    pump([gps], lambda: d.number("m/tx_frames") == 3)
    assert d.get("m/address") == first.address
    assert d.number("m/dropped") == 0


def test_a_broker_that_never_answers(pty, daemon, fake, directory):
    silent, other = fake(silent=True), fake()
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", broker=f"{silent.address} {other.address}",
                       publish="x", connect_timeout="500ms", reopen_max="300ms"),
               settled=False)
    wait_for(lambda: silent.connection is not None)
    assert f"the broker {silent.address} to accept the client" in \
        d.tasks()["m.broker"]["label"]
    d.wait_state("m", "up")
    assert d.get("m/address") == other.address
    assert "no answer from the broker" in d.stderr()


def test_only_brokers_that_do_not_work(daemon, fake, directory):
    """Each is tried in turn, again and again."""
    refuses, silent = fake(refusal=0x88), fake(silent=True)
    d = daemon(site(directory, "boat") +
               section("mqtt", "m", publish="x", connect_timeout="300ms", reopen_max="300ms",
                       broker=f"{refuses.address} 127.0.0.1:{free_port()} {silent.address}"),
               settled=False)
    wait_for(lambda: len(refuses.connects) >= 2)
    said = d.stderr()
    assert "it is not available" in said
    assert "Connection refused" in said
    assert "no answer from the broker" in said
