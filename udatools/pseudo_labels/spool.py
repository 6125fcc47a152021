# SPDX-License-Identifier: Apache-2.0
"""What a rank predicted, kept until the thresholds of a whole-set policy are known.

A probability map of 19 classes at 2048x1024 is 159 MB; the logits that it is expanded from are 0.6 MB (stride 8 of
1024x512), so one pass of inference is enough and no probability goes to disk. The file has no name: it is gone with the
process, however that ends.
"""
import pickle
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any


class Spool:
    """First in, first out, in a temporary file.

    Args:
        folder (str | Path): where the space is taken; made if it is missing.

    Example:
        >>> with Spool(tempfile.gettempdir()) as spool:
        ...     spool.write('first'), spool.write('second')
        ...     spool.rewind()
        ...     spool.read()
        (None, None)
        'first'
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self.folder)

    def __enter__(self) -> 'Spool':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            self._file.close()
        except OSError:  # a full disk, told by write() before; closing flushes once more
            pass

    def write(self, item: Any) -> None:
        """Append one item.

        Raises:
            OSError: if the disk is full; the message says where.
        """
        try:
            pickle.dump(item, self._file, protocol=pickle.HIGHEST_PROTOCOL)
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, f'cannot keep the predictions of this round in {self.folder}: {error.strerror}; '
                                       'make room there (an image of 1024x512 takes about 0.6 MB per view and model, a '
                                       'frame of a clip 1.6 MB while the clip is labelled)') from error

    def rewind(self) -> None:
        """Go back to the first item."""
        self._file.seek(0)

    def read(self) -> Any:
        """The next item.

        Raises:
            EOFError: after the last one.
        """
        return pickle.load(self._file)  # noqa: S301 - written by this object
