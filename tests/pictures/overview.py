#!/usr/bin/python3
"""
Makes a picture of a configuration: overview.py FILE.conf >FILE.svg

Endpoints with their framing and the bytes of a message on their line, the routes between
them, and some rows of the task table.  overview.conf says what is read besides sections.
"""
import configparser
import re
import sys

from drawing import MONO, SANS, document, text

WIDTH, BOX, LEFT, RIGHT = 900, 248, 20, 632
MIDDLE, ROUTE = 351, 198
COLOURS = "abc"
STYLE = f"""text{{font:13px {SANS};fill:var(--text)}}
.n{{font-weight:600;font-size:15px}}.d{{fill:var(--dim);font-size:12px}}
.m{{font:12px {MONO}}}.f{{font:12px {MONO};fill:var(--a)}}.h{{font:600 12px {MONO}}}
.m,.h{{white-space:pre}}.end{{text-anchor:end}}.mid{{text-anchor:middle}}
.box{{fill:var(--box);stroke:var(--edge)}}.chip{{fill:var(--chip)}}
path{{fill:none;stroke-width:2}}
""" + "".join(f".{c}{{stroke:var(--{c})}}.t{c}{{fill:var(--{c})}}" for c in COLOURS)


def read(file):
    """The sections, and the comments: (wire by endpoint, rows of tasks)."""
    content = open(file).read()
    sections = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    sections.read_string(content)
    wires = {}
    for name, body in re.findall(r"(?ms)^\[\S+ (\S+)\]\n(.*?)(?=^\[|\Z)", content):
        wire = re.search(r"(?m)^# wire: (.*)$", body)
        wires[name] = wire and wire[1]
    return sections, wires, re.findall(r"(?m)^# task: (.*)$", content)


def address(kind, keys):
    if kind in ("serial", "pty"):
        where = keys.get("device") or keys.get("usb") or keys.get("link")
        return f"{where} {keys.get('baud', '9600')} {keys.get('mode', '8N1')}"
    return keys.get("listen") or keys.get("connect") or keys.get("send_to") or \
        f"{keys['broker']} {keys['publish']}"


def box(x, y, name, kind, keys, wire):
    framing = keys.get("framing", "raw")
    if "checksum" in keys:
        framing += f" + {keys['checksum']}"
    wide = 14 + 7.25 * len(framing)
    return [f'<rect class="box" x="{x}" y="{y}" width="{BOX}" height="94" rx="8"/>',
            text(x + 12, y + 22, name, "n"), text(x + BOX - 12, y + 22, kind, "d end"),
            text(x + 12, y + 42, address(kind, keys), "d"),
            f'<rect class="chip" x="{x + 11}" y="{y + 50}" width="{wide:g}" height="17" rx="8"/>',
            text(x + 18, y + 63, framing, "f"), text(x + 12, y + 84, wire, "m")]


def curve(x1, y1, x2, y2, colour, arrows):
    bend = (x2 - x1) / 2
    marks = "".join(f' marker-{end}="url(#{colour})"' for end in arrows)
    return (f'<path class="{colour}" d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} '
            f'{y2:g} {x2:g} {y2:g}"{marks}/>')


def words(keys):
    """What a route does besides forwarding."""
    return " ".join(f"{key} = {keys[key]}" for key in ("match", "rate", "exchange", "prefer")
                    if key in keys)


def column(x, names, height):
    """Where the endpoints of a column are: name -> left edge, top."""
    return {name: (x, round(20 + (n + 0.5) * (height - 20) / len(names) - 47))
            for n, name in enumerate(names)}


def lines_of(keys, y, colour, places, used):
    """The lines between a route, which is at y, and its endpoints."""
    both, sources = keys.get("between", "").split(), keys.get("from", "").split()
    for name in both or sources + keys["to"].split():
        x, top = places[name]
        used[name] = used.get(name, -1) + 1
        at = top + 29 + 18 * used[name]
        if x == LEFT and name in sources:
            yield curve(x + BOX, at, MIDDLE - 9, y, colour, ["end"])
        elif x == LEFT:
            yield curve(MIDDLE - 9 * bool(both), y, x + BOX + 9, at, colour,
                        ["start", "end"] if both else ["end"])
        else:
            yield curve(MIDDLE + ROUTE, y, x - 9, at, colour, ["end"])


def route_box(y, name, keys, colour):
    centre = MIDDLE + ROUTE / 2
    return [f'<rect class="box {colour}" x="{MIDDLE}" y="{y - 24}" width="{ROUTE}" height="48" '
            'rx="24"/>', text(centre, y - 3, f"route {name}", f"mid t{colour}"),
            text(centre, y + 14, words(keys) or "every message", "mid d")]


def table(top, tasks):
    head = "TASK             STATE    LABEL: what it waits for"
    return [f'<rect class="box" x="{LEFT}" y="{top}" width="{WIDTH - 2 * LEFT}" '
            f'height="{len(tasks) * 20 + 38}" rx="8"/>', text(LEFT + 12, top + 22, head, "h"),
            *(text(LEFT + 12, top + 44 + 20 * n, row, "m") for n, row in enumerate(tasks))]


def arrowheads():
    heads = (f'<marker id="{c}" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="4.5" '
             f'markerHeight="4.5" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" '
             f'style="fill:var(--{c});stroke-width:0"/></marker>' for c in COLOURS)
    return f"<defs>{''.join(heads)}</defs>"


def draw(file):
    sections, wires, tasks = read(file)
    kinds = dict(reversed(head.split()) for head in sections.sections())
    keys = {name: sections[f"{kind} {name}"] for name, kind in kinds.items()}
    routes = [n for n in kinds if kinds[n] == "route"]
    left = [n for n in kinds if kinds[n] in ("serial", "pty")]
    right = [n for n in kinds if n not in left + routes]
    height = max(len(left), len(right), len(routes)) * 110 + 30
    places = column(LEFT, left, height) | column(RIGHT, right, height)
    lines, boxes, used = [], [], {}
    for n, name in enumerate(routes):
        y, colour = round(20 + (n + 0.5) * (height - 20) / len(routes)), COLOURS[n % 3]
        lines += lines_of(keys[name], y, colour, places, used)
        boxes += route_box(y, name, keys[name], colour)
    for name, (x, y) in places.items():
        boxes += box(x, y, name, kinds[name], keys[name], wires[name])
    top = height + 24
    return document(WIDTH, top + len(tasks) * 20 + 58,
                    "Endpoints, their framings, routes, and tasks", STYLE,
                    [arrowheads(), *lines, *boxes, *table(top, tasks)])


if __name__ == "__main__":
    sys.stdout.write(draw(sys.argv[1]))
