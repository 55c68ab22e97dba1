"""Whether a folder is on a network file system."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(r"nfs|cifs|smb|fuse|9p|virtiofs|vboxsf|afs|ceph|gluster|lustre|gpfs|beegfs|weka|pvfs|orangefs")


def on_network(folder: Path, mounts: Path | None = None) -> bool:
    """Whether a folder is on a network file system, so that other machines may share it; known on Linux only."""
    try:
        lines = (mounts or MOUNTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    place, kind = folder.resolve(), ""
    deepest = 0
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4]))
        if place.is_relative_to(point) and len(point.parts) >= deepest:
            deepest, kind = len(point.parts), rest.split()[0]
    return _NETWORK.match(kind) is not None
