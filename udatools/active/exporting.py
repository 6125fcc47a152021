# SPDX-License-Identifier: Apache-2.0
"""A request out to an annotation tool: finds the images and calls the codec."""
from pathlib import Path

from .annotator.images import find_image_root
from .codecs import CODECS, check_kind
from .package_files import find_package
from .request import Request, RequestItem


def export_request(path: str | Path, format: str, out_dir: str | Path, *,
                   images: str | Path | None = None) -> tuple[list[Path], list[str]]:
    """Write a request in the format of a tool.

    Args:
        path (str | Path): folder of a request package (a copy outside of its run is fine), or a work directory.
        format (str): name of a codec.
        out_dir (str | Path): folder for the files.
        images (str | Path | None): image root, or the config of a run; None looks where the package lies.

    Returns:
        tuple[list[Path], list[str]]: files written, the one to open first; paths of asked images that were not found.

    Raises:
        FileNotFoundError: if there is no package, or no image root.
        ValueError: if the package is damaged, or the format cannot be exported or does not suit the question.
    """
    request = Request.load(path)
    if request is None:
        request = find_package(path).request
    check_kind(CODECS[format], request)
    root = find_image_root(request, images)
    missing: list[str] = []

    def image_of(item: RequestItem) -> Path | None:
        if (root / item.path).is_file():
            return root / item.path
        missing.append(item.path)
        return None

    files = CODECS[format].export(request, out_dir, image_of)
    return files, list(dict.fromkeys(missing))
