"""Writes the notices that come with what ships: every crate compiled in, with the licence
texts from its own sources, and the libraries that the compiler adds.

usage: notices.py OUTPUT
"""

import sys
from pathlib import Path

import dependencies

ROOT = Path(__file__).resolve().parents[2]
# One file for all: some crates are for one architecture alone.
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
LGPL = Path("/usr/share/common-licenses/LGPL-2.1")
NAMES = ("licen", "copying", "copyright", "notice", "unlicense")


def texts(folder: Path) -> list[tuple[str, str]]:
    """The files of a crate that say under which terms it comes."""
    files = [p for p in folder.iterdir() if p.is_file() and p.name.lower().startswith(NAMES)]
    return [(p.name, p.read_text(errors="replace").strip()) for p in sorted(files)]


def main(output: str) -> None:
    command = [crate for target in TARGETS for crate in dependencies.of_command(ROOT, target)]
    modules = dependencies.of_modules(ROOT)
    inside = {crate.key for crate in modules}
    every = {crate.key: crate for crate in [*command, *modules] if crate.checksum}
    lines = [
        "What is compiled into the meshpack command and the modules, beside meshpack itself",
        "(Apache-2.0, see LICENSE). Made from the sources of each by tools/release/notices.py.",
        "* is in the modules, too.",
        "",
        "Rust standard library, MIT OR Apache-2.0, https://github.com/rust-lang/rust *",
        "GNU C library (the command is linked with all of it), LGPL-2.1-or-later,",
        "  https://www.gnu.org/software/libc; the sources of the command are public, so it can",
        "  be linked with another one",
        "",
    ]
    shared: dict[str, list[str]] = {}
    for key in sorted(every):
        crate = every[key]
        star = " *" if key in inside else ""
        lines.append(f"{crate.name} {crate.version}, {crate.licence}, {crate.repository}{star}")
        for name, text in texts(crate.folder):
            shared.setdefault(text, []).append(f"{crate.name} {crate.version} ({name})")
    shared.setdefault(LGPL.read_text().strip(), []).append("GNU C library")
    for text, owners in sorted(shared.items(), key=lambda item: item[1]):
        lines += ["", "=" * 80, *owners, "=" * 80, "", text]
    Path(output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
