"""Writes a software bill of materials in CycloneDX 1.6 (JSON): the same bytes for the same
dependencies and the same SOURCE_DATE_EPOCH.

usage: sbom.py command TARGET OUTPUT | sbom.py modules OUTPUT FILE...
"""

import hashlib
import json
import os
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

import dependencies
from dependencies import Crate

ROOT = Path(__file__).resolve().parents[2]


def component(crate: Crate, kind: str = "library") -> dict:
    found = {
        "type": kind,
        "bom-ref": f"pkg:cargo/{crate.key}",
        "name": crate.name,
        "version": crate.version,
        "licenses": [{"expression": crate.licence}],
        "purl": f"pkg:cargo/{crate.key}",
    }
    if crate.checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": crate.checksum}]
    if crate.repository:
        found["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    return found


def modules(files: list[str]) -> list[dict]:
    """The files that are made of the crates."""
    return [
        {
            "type": "file",
            "bom-ref": Path(file).name,
            "name": Path(file).name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(Path(file).read_bytes()).hexdigest()}],
        }
        for file in sorted(files)
    ]


def bom(crates: list[Crate], subject: dict, files: list[dict]) -> dict:
    refs = {crate.key: f"pkg:cargo/{crate.key}" for crate in crates}
    wants = [
        {"ref": refs[crate.key], "dependsOn": [refs[need] for need in crate.needs]}
        for crate in crates
    ]
    if subject["bom-ref"] not in refs.values():
        own = [ref for key, ref in refs.items() if key.startswith("meshpack-")]
        wants.insert(0, {"ref": subject["bom-ref"], "dependsOn": own})
    parts = [component(crate) for crate in crates if refs[crate.key] != subject["bom-ref"]]
    body = {"components": files + parts, "dependencies": wants}
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    made = datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = hashlib.sha256(json.dumps([subject, body], sort_keys=True).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "version": 1,
        "metadata": {"timestamp": made, "component": subject},
        **body,
    }


def main(what: str, *words: str) -> None:
    if what == "command":
        target, output = words
        crates = dependencies.of_command(ROOT, target)
        own = next(crate for crate in crates if crate.name == "meshpack")
        found = bom(crates, component(own, "application"), [])
    else:
        output, *files = words
        crates = dependencies.of_modules(ROOT)
        version = next(crate for crate in crates if crate.name == "meshpack-pack").version
        subject = {
            "type": "application",
            "bom-ref": f"meshpack-modules@{version}",
            "name": "meshpack-modules",
            "version": version,
            "licenses": [{"expression": "Apache-2.0"}],
        }
        found = bom(crates, subject, modules(files))
    Path(output).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
