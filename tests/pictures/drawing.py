"""SVG that is readable on light and dark pages: it has a background of its own."""
from xml.sax.saxutils import escape

MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
LIGHT = dict(page="#f6f8fa", box="#ffffff", edge="#afb8c1", text="#1f2328", dim="#57606a",
             a="#0969da", b="#8250df", c="#1a7f37", chip="#ddf4ff")
DARK = dict(page="#0d1117", box="#161b22", edge="#444c56", text="#e6edf3", dim="#9198a1",
            a="#58a6ff", b="#bc8cff", c="#3fb950", chip="#122d4d")


def colours():
    """Variables for both modes."""
    def variables(values):
        return ";".join(f"--{name}:{value}" for name, value in values.items())
    return (f"svg{{{variables(LIGHT)}}}"
            f"@media(prefers-color-scheme:dark){{svg{{{variables(DARK)}}}}}")


def text(x, y, content, kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}>{escape(content)}</text>'


def document(width, height, title, style, body):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{colours()}{style}</style>",
        f'<rect width="{width}" height="{height}" rx="10" fill="var(--page)"/>',
        *body, "</svg>", ""])
