# SPDX-License-Identifier: Apache-2.0
"""Content hashes that do not depend on file times, dictionary order or process.

A checkpoint file holds the time at which it was written, so two equal trainings leave different bytes; hashes of
what a result depends on are therefore taken over the weights, never over the file.
"""
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch


def json_digest(value: Any) -> str:
    """sha256 (hex) of a JSON-able value, keys sorted.

    Raises:
        TypeError: if the value holds something JSON cannot express.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(',', ':'))
    return hashlib.sha256(text.encode('utf-8')).hexdigest()


def state_dict_digest(state_dict: Mapping[str, Any]) -> str:
    """sha256 (hex) over names, dtypes, shapes and bytes of all tensors, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name]
        if not isinstance(tensor, torch.Tensor):
            continue
        data = tensor.detach().cpu().contiguous()
        digest.update(f'{name}|{data.dtype}|{tuple(data.shape)}|'.encode())
        digest.update(data.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
