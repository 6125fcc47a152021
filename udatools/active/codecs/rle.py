# SPDX-License-Identifier: Apache-2.0
"""Run lengths of binary masks as annotation tools write them, from and to sorted pixel indices.

Three conventions, none of which may be taken for another:

* *counts*: lengths of alternating runs, the first of zeros (CVAT: row-major inside a box; COCO: column-major);
* COCO's *compressed counts*: the same as text, 5 bits a character with a continuation bit, signed differences to the
  count two before (format of the COCO API);
* Label Studio's *packed runs*: a bit stream over the interleaved RGBA bytes of the whole image (format of
  ``@thi.ng/rle-pack``), of which the alpha channel is the mask.

Nothing loops over pixels; decoding packed runs loops over runs.
"""
from typing import Any

import numpy as np

_PACK_WORD = 8
_PACK_SIZES = (3, 4, 8, 16)
_MAX_CHARACTERS = 7
#: Alpha from which a pixel of an antialiased brush counts: at least half covered.
ALPHA_THRESHOLD = 128


def encode_counts(index: np.ndarray, size: int) -> np.ndarray:
    """Lengths of alternating runs, the first of zeros.

    Args:
        index (np.ndarray): integer, (N,), ascending positions of the ones, each in [0, size).
        size (int): positions in all.

    Returns:
        np.ndarray: int64, (R,), sum ``size``; only the first may be 0.
    """
    index = np.asarray(index, np.int64)
    if index.size == 0:
        return np.array([size], np.int64)
    breaks = np.flatnonzero(np.diff(index) != 1)
    edges = np.empty((breaks.size + 1, 2), np.int64)
    edges[:, 0] = index[np.concatenate([[0], breaks + 1])]
    edges[:, 1] = index[np.concatenate([breaks, [index.size - 1]])] + 1
    counts = np.diff(edges.ravel(), prepend=0, append=size)
    return counts[:-1] if counts[-1] == 0 else counts


def decode_counts(counts: Any, size: int) -> np.ndarray:
    """Positions of the ones.

    Args:
        counts (Any): lengths of alternating runs, the first of zeros: a sequence of integers from a file.
        size (int): positions in all.

    Returns:
        np.ndarray: int64, (N,), ascending.

    Raises:
        ValueError: if these are no counts of ``size`` positions.
    """
    try:
        runs = np.asarray(counts)
    except (ValueError, OverflowError) as error:
        raise ValueError(f'the run lengths are no list of integers ({error})') from error
    if runs.ndim != 1 or runs.size == 0 or runs.dtype.kind not in 'iu':
        raise ValueError('the run lengths are no list of integers')
    if runs.min() < 0 or runs.max() > size:
        raise ValueError(f'a run length is {runs.min() if runs.min() < 0 else runs.max()}; expected 0..{size}')
    runs = runs.astype(np.int64)
    ends = np.cumsum(runs)
    if ends[-1] != size:
        raise ValueError(f'the run lengths cover {ends[-1]} pixels; expected {size}')
    lengths = runs[1::2]
    return np.repeat(ends[1::2] - np.cumsum(lengths), lengths) + np.arange(lengths.sum())


def compress_counts(counts: np.ndarray) -> str:
    """COCO's text form of counts.

    Args:
        counts (np.ndarray): int64, (R,), as :func:`encode_counts` gives.
    """
    value = np.array(counts, np.int64)
    value[3:] -= np.asarray(counts, np.int64)[1:-2]
    bits = 5 * np.arange(1, _MAX_CHARACTERS + 1)
    fits = (value[:, None] >= -(1 << (bits - 1))) & (value[:, None] < 1 << (bits - 1))
    length = fits.argmax(axis=1) + 1
    place = np.arange(_MAX_CHARACTERS)
    character = (value[:, None] >> (5 * place) & 0x1F) + 0x20 * (place < length[:, None] - 1) + 48
    return character[place < length[:, None]].astype(np.uint8).tobytes().decode('ascii')


def decompress_counts(text: str) -> np.ndarray:
    """Counts from COCO's text form.

    Returns:
        np.ndarray: int64, (R,); not checked against a size.

    Raises:
        ValueError: if it is no such text.
    """
    code = np.frombuffer(text.encode('utf-8'), np.uint8).astype(np.int64) - 48
    if code.size == 0 or code.min() < 0 or code.max() > 63:
        raise ValueError('the compressed counts hold a character that none can hold; expected those of codes 48..111')
    last = (code & 0x20) == 0
    if not last[-1]:
        raise ValueError('the compressed counts end inside a number: the text was cut')
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts + 1
    if length.max() > _MAX_CHARACTERS:
        raise ValueError(f'the compressed counts hold a number of {length.max()} characters; expected at most '
                         f'{_MAX_CHARACTERS}')
    place = np.arange(code.size) - np.repeat(starts, length)
    value = np.add.reduceat((code & 0x1F) << (5 * place), starts)
    value -= np.where(code[ends] & 0x10, 1 << (5 * length), 0)
    counts = value.copy()
    counts[1::2] = np.cumsum(value[1::2])
    counts[2::2] = np.cumsum(value[2::2])
    return counts


def pack_rgba(index: np.ndarray, num_pixels: int) -> list[int]:
    """Label Studio's packed runs of a mask; all four channels are 255 inside and 0 outside.

    Args:
        index (np.ndarray): integer, (N,), ascending row-major positions of the mask's pixels.
        num_pixels (int): pixels of the image.

    Returns:
        list[int]: bytes, 0..255.
    """
    counts = encode_counts(index, num_pixels) * 4
    value = np.arange(counts.size) % 2 * 255
    longest = 1 << _PACK_SIZES[-1]
    pieces = -(-counts // longest)
    last = np.cumsum(pieces)[pieces > 0] - 1
    length = np.full(int(pieces.sum()), longest, np.int64)
    length[last] = (counts - (pieces - 1) * longest)[pieces > 0]
    value = np.repeat(value, pieces)
    size_index = np.searchsorted(1 << np.array(_PACK_SIZES), length)
    size = np.array(_PACK_SIZES)[size_index]
    # A run: 1 bit "is a run", 2 bits size index, size bits length - 1, 8 bits value.
    code = ((((4 | size_index) << size) | (length - 1)) << _PACK_WORD) | value
    header = [(4 * num_pixels, 32), (_PACK_WORD - 1, 5), *((size - 1, 4) for size in _PACK_SIZES)]
    codes = np.concatenate([np.array([value for value, _ in header], np.int64), code])
    widths = np.concatenate([np.array([width for _, width in header], np.int64), 3 + size + _PACK_WORD])
    shift = np.repeat(np.cumsum(widths), widths) - np.arange(widths.sum()) - 1
    return np.packbits((np.repeat(codes, widths) >> shift & 1).astype(np.uint8)).tolist()


def unpack_rgba(packed: Any, num_pixels: int) -> np.ndarray:
    """Positions of the pixels whose alpha is at least :data:`ALPHA_THRESHOLD`.

    Args:
        packed (Any): Label Studio's packed runs: a list of bytes from a file.
        num_pixels (int): pixels of the image.

    Returns:
        np.ndarray: int64, (N,), ascending, row-major.

    Raises:
        ValueError: if these are no packed runs of an RGBA image of that size.
    """
    try:
        data = bytes(packed if isinstance(packed, list) else None)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError('the brush mask is no list of bytes 0..255') from error
    position = 0

    def read(width: int) -> int:
        nonlocal position
        end = position + width
        if end > 8 * len(data):
            raise ValueError('the brush mask ends too early: the list was cut')
        word = int.from_bytes(data[position // 8:(end + 7) // 8], 'big')
        position = end
        return word >> (-end % 8) & (1 << width) - 1

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if total != 4 * num_pixels or word != _PACK_WORD:
        raise ValueError(f'the brush mask holds {total} values of {word} bits; expected {4 * num_pixels} of '
                         f'{_PACK_WORD}, RGBA of every pixel')
    # Most of an image is one run of zeros: it is neither filled nor searched.
    rgba, done, low, high = np.zeros(total, np.uint8), 0, total, 0
    while done < total:
        is_run = read(1)
        end = done + read(sizes[read(2)]) + 1
        if end > total:
            raise ValueError('the brush mask holds more values than its header says')
        if is_run:
            value = read(word)
            if value < ALPHA_THRESHOLD:
                done = end
                continue
            rgba[done:end] = value
        else:
            first, position = position, position + word * (end - done)
            if position > 8 * len(data):
                raise ValueError('the brush mask ends too early: the list was cut')
            bits = np.unpackbits(np.frombuffer(data[first // 8:(position + 7) // 8], np.uint8))
            rgba[done:end] = np.packbits(bits[first % 8:first % 8 + word * (end - done)])
        low, high, done = min(low, done), end, end
    first_pixel = low // 4
    return np.flatnonzero(rgba[4 * first_pixel + 3:high:4] >= ALPHA_THRESHOLD) + first_pixel
