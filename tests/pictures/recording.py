#!/usr/bin/python3
"""
Runs a program in a terminal and makes a moving picture of what it prints:
recording.py COMMAND-THAT-IS-SHOWN PROGRAM [ARGUMENT ...] >FILE.svg

The program may print lines, and change between bold, dim and plain, but not move the cursor.
"""
import errno
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from xml.sax.saxutils import escape

from drawing import MONO

COLUMNS, ROWS = 100, 30
ADVANCE, LINE, MARGIN, BAR = 7.23, 16, 14, 34
HOLD = 7.0                      # seconds that the end is shown for
GAP = 0.15                      # what is printed within this time appears at once
STYLE = f"""text{{font:12px {MONO};fill:#c9d1d9;white-space:pre}}
.b{{font-weight:700;fill:#fff}}.d{{fill:#8b949e}}.p{{fill:#3fb950}}
@media(prefers-reduced-motion:reduce){{*{{animation:none!important}}}}
"""
CLASSES = {"1": "b", "2": "d", "0": ""}


def record(command):
    """Runs the program; (seconds since its start, text) of what it prints."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    begin, pieces = time.monotonic(), []
    while True:
        try:
            data = os.read(master, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            data = b""
        if not data:
            break
        pieces.append((time.monotonic() - begin, data.decode()))
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit(f"{command[0]} has failed:\n{''.join(text for _, text in pieces)}")
    return pieces


def groups(pieces, first):
    """[seconds, lines] of what appears together; first: the line before all others."""
    made, rest = [[0.0, [first]]], ""
    for at, data in pieces:
        *lines, rest = (rest + data.replace("\r", "")).split("\n")
        if at - made[-1][0] > GAP:
            made.append([at, []])
        made[-1][1] += lines
    return [group for group in made if group[1]]


def spans(line):
    """The line as SVG: its bold and dim parts."""
    parts = re.split(r"\033\[(\d)m", line)
    made = escape(parts[0])
    for code, part in zip(parts[1::2], parts[2::2]):
        kind = CLASSES[code]
        made += f'<tspan class="{kind}">{escape(part)}</tspan>' if kind and part \
            else escape(part)
    return made


def keyframes(name, steps):
    """steps: (percent, declarations), each until the next one."""
    return f"@keyframes {name}{{" + "".join(
        f"{percent:.2f}%{{{what}}}" for percent, what in steps) + "}\n"


def draw(made, title):
    total = made[-1][0] + HOLD
    style, body, scroll, row = STYLE, [], [(0, "transform:none")], 0
    for n, (at, lines) in enumerate(made):
        percent = 100 * at / total
        body.append(f'<g class="k{n}">')
        for line in lines:
            row += 1
            if line.strip():
                body.append(f'<text x="{MARGIN}" y="{row * LINE - 4}">{spans(line)}</text>')
        body.append("</g>")
        if n > 0:
            style += keyframes(f"k{n}", [(0, "visibility:hidden"),
                                         (percent, "visibility:visible")])
            style += f".k{n}{{animation:k{n} {total:.1f}s step-end infinite}}\n"
        if row > ROWS:
            scroll.append((percent, f"transform:translateY({(ROWS - row) * LINE}px)"))
    style += keyframes("s", scroll) + f".s{{animation:s {total:.1f}s step-end infinite}}\n"
    width = round(COLUMNS * ADVANCE + 2 * MARGIN)
    height = ROWS * LINE + BAR + 12
    dots = "".join(f'<circle cx="{20 + 18 * n}" cy="16" r="5.5" fill="{colour}"/>'
                   for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>A recording of {escape(title)}</title>", f"<style>{style}</style>",
        f'<rect width="{width}" height="{height}" rx="10" fill="#161b22"/>{dots}',
        f'<svg y="{BAR}" width="{width}" height="{ROWS * LINE}"><g class="s">',
        *body, "</g></svg>", "</svg>", ""])


if __name__ == "__main__":
    shown, *command = sys.argv[1:]
    first = f"\033[2m$ \033[1m{shown}\033[0m"
    sys.stdout.write(draw(groups(record(command), first), shown))
