"""Draw docs/images/watch.svg: the live view of a release that is being taken back.

    python tools/pictures.py            writes the picture
    python tools/pictures.py --check    exits 1 if the picture is not what the code draws now

The same code that draws the terminal draws the picture. No fonts are named by address: the reader's own are used.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from croupier.cli.screen import Screen
from croupier.report import example

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "watch.svg"
COLUMNS, LINES = 108, 26

THEME = TerminalTheme(
    (22, 24, 29),
    (208, 212, 220),
    [
        (40, 44, 52),
        (232, 96, 92),
        (126, 190, 118),
        (224, 184, 92),
        (104, 160, 232),
        (190, 136, 224),
        (92, 188, 200),
        (208, 212, 220),
    ],
)

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="croupier release watch">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  line-height: {line_height}px; white-space: pre; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="10" fill="#16181d"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw() -> str:
    console = Console(
        record=True,
        width=COLUMNS,
        height=LINES,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    console.print(Screen(example.TAKEN_BACK, age_seconds=1.0))
    console.print()
    return console.export_svg(title="", theme=THEME, code_format=SVG, unique_id="watch")


def main() -> int:
    drawn = draw()
    if "--check" in sys.argv[1:]:
        is_current = PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == drawn
        sys.stdout.write(f"{PICTURE.name} {'is current' if is_current else 'is old: run python tools/pictures.py'}\n")
        return 0 if is_current else 1
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawn, encoding="utf-8")
    sys.stdout.write(f"wrote {PICTURE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
