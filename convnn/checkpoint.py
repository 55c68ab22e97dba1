"""Checkpoint files that are either complete or rejected: written beside, then renamed, with their SHA-256 at the end.

Loading never unpickles code (`weights_only=True`).
"""

import contextlib
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import torch

_MAGIC = b"convnn-checkpoint-1\n"
_TRAILER = len(_MAGIC) + hashlib.sha256().digest_size


class CheckpointError(Exception):
    """A checkpoint that cannot be used. The message names its path."""


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write `content` (tensors, numbers, strings and containers of them) to `path` atomically.

    Raises:
        OSError: If the disk is full or not writable. An older checkpoint at `path` is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            torch.save(content, part)
        except RuntimeError as error:  # torch's zip writer turns a full disk into a RuntimeError
            with part.open("ab") as file:
                file.write(bytes(1 << 20))  # a plain write raises the system's own error if the disk is full
            raise OSError(f"{part} cannot be written: {error}") from error
        with part.open("r+b") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(_MAGIC + digest)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the file is renamed anyway
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint that `save_checkpoint` wrote.

    Raises:
        FileNotFoundError: If the file does not exist.
        CheckpointError: If the file is truncated, altered or not one of our checkpoints.
    """
    with path.open("rb") as file:
        if not _whole(file):
            raise CheckpointError(
                f"{path} is damaged or not a checkpoint: its SHA-256 does not match; give another file, or, if it is a "
                f"checkpoint, delete it to train from the start."
            )
        try:
            content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise CheckpointError(
                f"{path} was written by another version and cannot be read ({type(error).__name__}); "
                f"delete it to train from the start."
            ) from error
    return content


def _whole(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    if size <= _TRAILER:
        return False
    file.seek(size - _TRAILER)
    trailer = file.read(_TRAILER)
    file.seek(0)
    sha, left = hashlib.sha256(), size - _TRAILER
    while left and (block := file.read(min(left, 1 << 20))):
        sha.update(block)
        left -= len(block)
    return trailer == _MAGIC + sha.digest()
