# SPDX-License-Identifier: Apache-2.0
"""Storage backend ``atomic``: mmengine writes checkpoints in place, a kill in the middle leaves half a file."""
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from udatools.utils.atomic import write_bytes_atomic


class AtomicLocalBackend(LocalBackend):
    """Local files, written to a temporary name, fsynced and renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes ``obj``; a reader sees the old file or the new one, never a part."""
        write_bytes_atomic(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """As ``put``, for text."""
        write_bytes_atomic(filepath, obj.encode(encoding))


register_backend('atomic', AtomicLocalBackend, force=True)
