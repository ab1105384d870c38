"""The image of every pod's first container, as a docker archive written here: one layer, one static program."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from stablehand_dev.cluster.one_node.configuration import PAUSE_IMAGE


def write(archive: Path, pause: Path, architecture: str) -> None:
    """Write the archive; the same program always gives the same bytes.

    Args:
        archive: where to.
        pause: the static program.
        architecture: as Go calls it (`amd64`).
    """
    layer = _tar({"pause": (pause.read_bytes(), 0o755)})
    configuration = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        },
        sort_keys=True,
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    archive.write_bytes(
        _tar(
            {
                "layer.tar": (layer, 0o644),
                "config.json": (configuration, 0o644),
                "manifest.json": (json.dumps(manifest).encode(), 0o644),
            }
        )
    )


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
