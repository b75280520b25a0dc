"""Writes an OCI image layout of the command and its modules: one layer, nothing else in it,
because the command brings its own C library. The same bytes for the same files.

usage: image.py PREFIX VERSION ARCHITECTURE FOLDER
"""

import hashlib
import json
import os
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path

import archive

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LABELS = {
    "org.opencontainers.image.title": "meshpack",
    "org.opencontainers.image.description": "The meshpack command with its modules",
    "org.opencontainers.image.licenses": "Apache-2.0",
    "org.opencontainers.image.source": "https://github.com/meshpack/meshpack",
}


def main(prefix: str, version: str, architecture: str, output: str) -> None:
    folder = Path(output)
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(media_type: str, content: bytes) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def written(media_type: str, value: dict) -> dict:
        return blob(media_type, json.dumps(value, sort_keys=True, separators=(",", ":")).encode())

    epoch = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    created = epoch.strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {**LABELS, "org.opencontainers.image.version": version}
    # Scenarios run in temporary folders, and the image has no other one.
    layer = archive.tar(Path(prefix), "usr/local", {"tmp": 0o1777, "usr": 0o755, "usr/local": 0o755, "work": 0o777})
    config = {
        "architecture": architecture,
        "config": {
            "Entrypoint": ["/usr/local/bin/meshpack"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"],
            "Labels": labels,
            "WorkingDir": "/work",
        },
        "created": created,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": written("application/vnd.oci.image.config.v1+json", config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", archive.compressed(layer))],
        "annotations": labels,
    }
    entry = written(MANIFEST, manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": version}
    entry["platform"] = {"architecture": architecture, "os": "linux"}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    print(entry["digest"])


if __name__ == "__main__":
    main(*sys.argv[1:])
