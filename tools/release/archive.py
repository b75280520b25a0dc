"""Writes a folder as .tar.gz: the same bytes for the same files. Entries are sorted, belong
to nobody, and are of the time SOURCE_DATE_EPOCH.

usage: archive.py FOLDER OUTPUT [NAME-OF-THE-FOLDER-INSIDE]
"""

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path


def tar(folder: Path, inside: str, folders: dict[str, int] | None = None) -> bytes:
    """The tar of what is below `folder`, under the name `inside`; `folders` are empty ones
    to add, with their modes."""
    out = io.BytesIO()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(info: tarfile.TarInfo, mode: int, content: bytes | None) -> None:
            info.mode, info.mtime = mode, epoch
            info.uid = info.gid = 0
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

        for name, mode in sorted((folders or {}).items()):
            add(tarfile.TarInfo(name), mode, None)
        paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        for path in paths:
            info = tarfile.TarInfo((Path(inside) / path.relative_to(folder)).as_posix())
            if path.is_dir():
                add(info, 0o755, None)
            else:
                executable = path.stat().st_mode & 0o100
                add(info, 0o755 if executable else 0o644, path.read_bytes())
    return out.getvalue()


def compressed(content: bytes) -> bytes:
    """With neither name nor time in it."""
    return gzip.compress(content, compresslevel=9, mtime=0)


def main(folder: str, output: str, inside: str = "") -> None:
    Path(output).write_bytes(compressed(tar(Path(folder), inside)))


if __name__ == "__main__":
    main(*sys.argv[1:])
