"""Draws what commands print as a picture of a terminal.

usage: terminal-svg.py FOLDER OUTPUT COMMAND...
"""

import os
import subprocess
import sys
from html import escape
from pathlib import Path

WIDTH, LINE, TOP, LEFT = 8.4, 19, 44, 18


def main(folder: str, output: str, *commands: str) -> None:
    lines: list[tuple[str, str]] = []
    for command in commands:
        lines.append(("$ " + command, "typed"))
        ran = subprocess.run(["sh", "-c", command], cwd=folder, env=os.environ, capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(f"{command}: {ran.stdout}{ran.stderr}")
        for line in ran.stdout.rstrip("\n").split("\n"):
            lines.append((line, "good" if "✓" in line else "plain"))
        lines.append(("", "plain"))
    columns = max(len(text) for text, _ in lines)
    width, height = int(columns * WIDTH + 2 * LEFT), len(lines) * LINE + TOP
    spans = [
        f'<text x="{LEFT}" y="{TOP + number * LINE}" class="{kind}">{escape(text).replace(" ", chr(160))}</text>'
        for number, (text, kind) in enumerate(lines)
        if text
    ]
    svg = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>{escape("; ".join(commands))}</title>
<style>text {{ font: 14px ui-monospace, Menlo, Consolas, monospace; white-space: pre; fill: #d6deeb }} .typed {{ fill: #ffffff; font-weight: bold }} .good {{ fill: #7fdb9a }}</style>
<rect width="100%" height="100%" rx="8" fill="#0b1b2b"/>
<circle cx="20" cy="16" r="5" fill="#ff5f57"/><circle cx="38" cy="16" r="5" fill="#febc2e"/><circle cx="56" cy="16" r="5" fill="#28c840"/>
{chr(10).join(spans)}
</svg>
"""
    Path(output).write_text(svg)


if __name__ == "__main__":
    main(*sys.argv[1:])
