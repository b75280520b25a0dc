"""What is compiled into what ships, as cargo tells: for the notices and the SBOMs."""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

MODULES = ["authz-policy", "canary-split", "retry-budget", "telemetry"]


@dataclass(frozen=True)
class Crate:
    """One crate, as its own manifest describes it."""

    name: str
    version: str
    licence: str
    repository: str
    folder: Path
    # SHA-256 of the crate file, by which cargo pins it; none for crates of this workspace.
    checksum: str | None
    needs: tuple[str, ...] = field(default=())

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"


def cargo(*words: str) -> str:
    ran = subprocess.run(["cargo", *words], check=True, capture_output=True, text=True)
    return ran.stdout


def compiled_in(packages: list[str], features: list[str], target: str) -> set[str]:
    """`name@version` of what `packages` are linked from; what only runs while building is
    left out."""
    words = ["tree", "--locked", "--prefix", "none", "--format", "{p}", "--target", target]
    words += ["--edges", "normal,no-proc-macro"]
    for package in packages:
        words += ["--package", package]
    if features:
        words += ["--features", ",".join(features)]
    found = re.findall(r"^(\S+) v(\S+)", cargo(*words), re.MULTILINE)
    return {f"{name}@{version}" for name, version in found}


def crates(wanted: set[str], root: Path) -> list[Crate]:
    """The crates by these names, in order; each with those among them that it needs."""
    described = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    lock = tomllib.loads((root / "Cargo.lock").read_text())
    checksums = {f"{p['name']}@{p['version']}": p.get("checksum") for p in lock["package"]}
    keys = {p["id"]: f"{p['name']}@{p['version']}" for p in described["packages"]}
    needs = {
        keys[node["id"]]: tuple(sorted({keys[dep["pkg"]] for dep in node["deps"]} & wanted))
        for node in described["resolve"]["nodes"]
    }
    found = []
    for package in described["packages"]:
        key = keys[package["id"]]
        if key not in wanted:
            continue
        if not package["license"]:
            raise SystemExit(f"{key} names no licence")
        found.append(
            Crate(
                name=package["name"],
                version=package["version"],
                # Before SPDX, crates wrote MIT/Apache-2.0.
                licence=re.sub(r"\s*/\s*", " OR ", package["license"]),
                repository=package["repository"] or "",
                folder=Path(package["manifest_path"]).parent,
                checksum=checksums.get(key),
                needs=needs.get(key, ()),
            )
        )
    missing = wanted - {crate.key for crate in found}
    if missing:
        raise SystemExit(f"cargo metadata does not know {sorted(missing)}")
    return sorted(found, key=lambda crate: (crate.name, crate.version))


def of_command(root: Path, target: str) -> list[Crate]:
    """What the command is made of."""
    return crates(compiled_in(["meshpack"], [], target), root)


def of_modules(root: Path) -> list[Crate]:
    """What the five modules are made of."""
    packages = [f"meshpack-{name}" for name in MODULES]
    features = [f"{package}/module" for package in packages]
    found = compiled_in([*packages, "meshpack-pack"], features, "wasm32-wasip1")
    return crates(found, root)
