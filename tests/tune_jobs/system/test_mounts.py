from pathlib import Path

import pytest

from tune_jobs.system.mounts import on_network

MOUNTS = r"""
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw
31 30 8:2 / /home/me/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/my\040share rw master:2 - fuse.sshfs me@host: rw
33 22 0:42 / /scratch rw - lustre mds:/scratch rw
"""


@pytest.mark.parametrize(
    ("folder", "network"),
    [
        ("/", False),
        ("/homes", False),
        ("/home/me/sweeps", True),
        ("/home/me/local/sweeps", False),
        ("/mnt/my share/sweeps", True),
        ("/mnt/my", False),
        ("/scratch", True),
    ],
)
def test_a_folder_is_on_the_network_if_its_nearest_mount_is(folder: str, network: bool, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.lstrip())
    assert on_network(Path(folder), mounts) == network


def test_a_local_disk_is_not_on_the_network(tmp_path: Path) -> None:
    assert not on_network(tmp_path)
