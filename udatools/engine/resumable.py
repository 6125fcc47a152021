# SPDX-License-Identifier: Apache-2.0
"""What tools share that write many files, may be stopped, and go on: the claim of a folder."""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udatools.utils.atomic import write_json_atomic


def claim_folder(out: Path, settings: Mapping[str, Any], *, name: str, content: str) -> Path:
    """Says in a file of a folder what the other files come from.

    Args:
        out (Path): folder.
        settings (Mapping): JSON-able.
        name (str): of the file.
        content (str): what the folder holds, in the words of the error: 'flow that was'.

    Returns:
        Path: the file.

    Raises:
        ValueError: when the folder holds what was made otherwise.
    """
    path = out / name
    wanted = json.loads(json.dumps(dict(schema_version=1, **settings)))
    try:
        present = json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError):
        write_json_atomic(path, wanted)
        return path
    except ValueError:
        present = None
    if not isinstance(present, dict):
        raise ValueError(f'{path} is damaged, so nobody knows how the files beside it were made; delete the folder, or choose '
                         'another --out')
    if present != wanted:
        differ = ', '.join(f'{name} {present.get(name)!r} instead of {wanted.get(name)!r}' for name in sorted(present | wanted)
                           if present.get(name) != wanted.get(name))
        raise ValueError(f'{out} holds {content} made otherwise ({differ}); give the same settings, choose another --out, or '
                         'delete the folder')
    return path
