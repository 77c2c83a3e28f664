"""
Protocols of devices, in the lines that the manual gives for them: published messages
come through, one that is damaged does not and is counted, and between two such
endpoints all pass as they came.
"""
import random
import re

import pytest

from harness import ROOT, expect, pump, run, section, serial, wait_for

CONF5 = (ROOT / "man/ttybridge.conf.5").read_text()


def lines_of_the_manual():
    """First words of a paragraph -> the keys below it."""
    text = re.search(r"(?ms)^\.Sh PROTOCOLS\n(.*?)^\.Sh ", CONF5)[1]
    found = {}
    for words, block in re.findall(
            r"(?ms)^\.Pp\n([^\n]*).*?^\.Bd [^\n]*\n(.*?)^\.Ed$", text):
        found[re.split(r"[ ,.]", words)[0]] = dict(
            line.replace("\\e", "\\").split(" = ")
            for line in block.splitlines())
    return found


MANUAL = lines_of_the_manual()
LD06 = ("54 2c 68 08 ab 7e e0 00 e4 dc 00 e2 d9 00 e5 d5 00 e3 d3 00 e4 d0 00 "
        "e9 cd 00 e4 ca 00 e2 c7 00 e9 c5 00 e5 c2 00 e5 c0 00 e5 be 82 3a 1a "
        "50")

# The messages, and what is around the payload of each.
PUBLISHED = {
    "VE": (b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nChecksum\t\xd5".hex(), 0, 1),
    "Tuya": ("55 aa 03 07 00 05 12 01 00 01 01 23", None, 1),
    "XBee": ("7e 00 0a 01 01 50 01 00 48 65 6c 6c 6f b8", 3, 1),
    "RTCM": ("d3 00 13 3e d7 d3 02 02 98 0e de ef 34 b4 bd 62 ac 09 41 98 6f "
             "33 36 0b 98", 3, 3),
    "SBP": ("55 0e 02 d3 88 16 28 f4 7a 13 03 00 00 00 fc ff ff ff f3 ff ff "
            "ff 00 00 00 00 0e 00 56 d1", None, 2),
    "PMS5003": ("42 4d 00 1c 00 03 00 04 00 07 00 03 00 04 00 07 02 d0 00 b8 "
                "00 19 00 08 00 04 00 02 97 00 03 0f", 4, 2),
    "CRSF": ("c8 0c 14 46 50 64 08 00 02 03 3c 63 fb cd", 2, 1),
    "LD06": (LD06, 0, 1),
    "The": (LD06, 2, 1),
    "Dynamixel": ("ff ff fd 00 01 07 00 55 00 06 04 26 65 5d", None, 2),
    "TFmini": ("59 59 50 00 69 09 02 00 76", 0, 1),
    "MH-Z19": ("ff 86 02 60 47 00 00 00 d1", 0, 1),
}


def payload_of(name):
    """What another framing carries of the message."""
    message, head, tail = PUBLISHED[name]
    message = bytes.fromhex(message)
    if head is not None:
        return message[head:-tail]
    keys = MANUAL[name]
    sync = keys["sync"].count("\\x")
    offset = sync + int(keys["length_offset"])
    size = int(keys.get("length_size", 2))
    return message[sync:offset] + message[offset + size:-tail]


def test_the_manual_has_lines_for_each():
    assert set(MANUAL) == set(PUBLISHED) | {"A"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_messages_pass_and_damaged_ones_do_not(name, pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    d = daemon(serial("a", a, **MANUAL[name]) + serial("b", b, **MANUAL[name]) +
               serial("c", c, framing="slip"))
    good = bytes.fromhex(PUBLISHED[name][0])
    slip = payload_of(name).replace(b"\xdb", b"\xdb\xdd") \
        .replace(b"\xc0", b"\xdb\xdc")
    a.send(good)
    expect(b, good, [a, c])
    expect(c, b"\xc0" + slip + b"\xc0", [a, b])
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 4
    a.send(bytes(bad))
    # What begins a message inside of the damaged one may wait for some of them.
    a.send(good * 50)
    expect(b, good * 50, [a, c])
    expect(c, (b"\xc0" + slip + b"\xc0") * 50, [a, b])
    assert d.bad("a", "checksum") >= 1
    assert d.number("a/rx_frames") == 51
    # And back, from the payload alone.
    c.send(b"\xc0" + slip + b"\xc0")
    if name == "The":
        wait_for(lambda: d.number("a/tx_frames") == 1)
    else:
        expect(a, good, [b, c])


def test_a_prompt_comes_without_a_line_end(pty, daemon):
    a, b, c = pty("a"), pty("b"), pty("c")
    daemon(serial("a", a, framing="line", flush="150ms") +
           serial("b", b, framing="raw") + serial("c", c, framing="line"))
    a.send(b"AT+CMGS=26\r\r\n> ")
    expect(b, b"AT+CMGS=26\r> ", [a, c])
    # To lines it goes as one of them.
    pump([a, b, c], lambda: c.received.endswith(b"> \n"))


def test_records_of_one_size_are_found_from_the_middle(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **MANUAL["TFmini"]) +
               serial("b", b, framing="fixed", frame_size=8))
    records = []
    for n in range(50):
        record = b"\x59\x59" + bytes([80 + n, 1, 89, 89, 2, 0])
        records.append(record + bytes([sum(record) & 255]))
    a.send(records[0][4:] + b"".join(records[1:]))
    expect(b, b"".join(record[:8] for record in records[1:]), [a])
    assert d.number("a/rx_frames") == 49


# --- a receiver of satellite navigation --------------------------------------

def crc24q(data):
    crc = 0
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc.to_bytes(3, "big")


def rtcm(payload):
    message = b"\xd3" + len(payload).to_bytes(2, "big") + payload
    return message + crc24q(message)


def ubx(payload):
    body = b"\1\7" + len(payload).to_bytes(2, "little") + payload
    one = two = 0
    for byte in body:
        one = (one + byte) & 255
        two = (two + one) & 255
    return b"\xb5\x62" + body + bytes([one, two])


def nmea(text):
    total = 0
    for byte in text:
        total ^= byte
    return b"$%s*%02X\r\n" % (text, total)


def mixture(dice, count):
    """Messages of three kinds, full of what begins others."""
    starts = [b"\xd3\3", b"\xd3\0\x10", b"\xb5\x62", b"$", b"!"]
    made = []
    for n in range(count):
        data = b"".join(dice.randbytes(dice.randrange(12)) + dice.choice(starts)
                        for _ in range(dice.randrange(1, 12)))
        made.append([rtcm, ubx][n % 2](data))
        if n % 3 == 0:
            made.append(nmea(b"GPTXT,%d" % n))
    return made


@pytest.mark.parametrize("framing, mine", [
    ("gnss", lambda m: True),
    ("rtcm3", lambda m: m[0] == 0xD3),
    ("ubx", lambda m: m[0] == 0xB5),
    ("nmea", lambda m: m[:1] == b"$"),
])
def test_rtcm_ubx_and_nmea_on_one_port(framing, mine, pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, framing="gnss", baud=115200) +
               serial("b", b, framing=framing))
    sent = mixture(random.Random(framing), 300)
    a.send(sent[0][3:] + b"".join(sent[1:]) + nmea(b"GPTXT,end") + rtcm(b"")
           + ubx(b""))
    want = [m for m in sent[1:] + [nmea(b"GPTXT,end"), rtcm(b""), ubx(b"")]
            if mine(m)]
    expect(b, b"".join(want), [a])
    assert d.number("a/rx_frames") == len(sent) + 2


def test_rtcm_alone_is_taken_from_what_is_around_it(pty, daemon):
    a, b = pty("a"), pty("b")
    d = daemon(serial("a", a, **MANUAL["RTCM"]) +
               serial("b", b, **MANUAL["RTCM"]))
    sent = mixture(random.Random(3), 300)
    a.send(b"".join(sent) + rtcm(b"") * 300)
    want = [m for m in sent if m[0] == 0xD3] + [rtcm(b"")] * 300
    expect(b, b"".join(want), [a])
    assert d.number("a/rx_frames") == len(want)


# --- what is wrong -----------------------------------------------------------

@pytest.mark.parametrize("keys, says", [
    (dict(framing="line", checksum="crc16", checksum_poly="8005"),
     "'8005' is not a hexadecimal number; checksum_poly is hexadecimal digits after 0x, such as 0x1021"),
    (dict(framing="line", checksum="crc32", checksum_poly="0x8005"),
     "'checksum_poly' is for checksum = crc8 or crc16 only"),
    (dict(framing="length", checksum_from="sync"),
     "'checksum_from' needs 'checksum'"),
    (dict(framing="line", checksum="sum8", checksum_from="sync"),
     "checksum_from"),
    (dict(framing="length", length_size="1", length_mask="0x7ff"),
     "'length_mask' has more bits than a length field of 1 byte"),
    (dict(framing="gnss", checksum="crc32"),
     "framing 'gnss' has a checksum of its own"),
    (dict(framing="line", trailer="2"), "trailer"),
])
def test_keys_that_do_not_fit_are_told(keys, says, directory):
    file = directory / "wrong.conf"
    file.write_text(section("serial", "a", device="/dev/ttyX", **keys))
    done = run("-c", file, "--check")
    assert done.returncode == 2
    assert says in done.stderr
