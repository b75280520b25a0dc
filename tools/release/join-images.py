"""Joins OCI image layouts of several architectures into one that has an image for each.

usage: join-images.py OUTPUT LAYOUT...
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
REF = "org.opencontainers.image.ref.name"


def main(output: str, *layouts: str) -> None:
    folder = Path(output)
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    images, names = [], set()
    for layout in sorted(layouts):
        for blob in (Path(layout) / "blobs/sha256").iterdir():
            shutil.copy(blob, blobs)
        for image in json.loads((Path(layout) / "index.json").read_text())["manifests"]:
            names.add(image.pop("annotations")[REF])
            images.append(image)
    (name,) = names
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images}
    content = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    entry = {"mediaType": INDEX, "digest": f"sha256:{digest}", "size": len(content), "annotations": {REF: name}}
    outer = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(outer, sort_keys=True))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
