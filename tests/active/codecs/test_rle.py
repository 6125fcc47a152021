# SPDX-License-Identifier: Apache-2.0
"""Run lengths: by hand, against slow decoders, against pycocotools, as Label Studio writes them, and damaged."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active.codecs.rle import compress_counts, decode_counts, decompress_counts, encode_counts, pack_rgba, unpack_rgba

MASKS = st.lists(st.booleans(), min_size=1, max_size=80).map(lambda bits: np.array(bits, bool))


def slow_counts(mask):
    counts, value, length = [], False, 0
    for bit in mask:
        if bit != value:
            counts, value, length = [*counts, length], bit, 0
        length += 1
    return [*counts, length]


def slow_unpack(data):
    """The published description of packed runs, bit by bit."""
    bits = ''.join(f'{byte:08b}' for byte in data)

    def read(width):
        nonlocal bits
        word, bits = int(bits[:width], 2), bits[width:]
        return word

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        is_run = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if is_run else [read(word) for _ in range(length)]
    return values


def slow_pack(chunks, total, word=8):
    """Packed runs of given chunks: ('run', length, value) or ('list', values)."""
    bits = f'{total:032b}{word - 1:05b}' + ''.join(f'{size - 1:04b}' for size in (3, 4, 8, 16))
    for chunk in chunks:
        if chunk[0] == 'run':
            bits += f'1{1:02b}{chunk[1] - 1:04b}{chunk[2]:08b}'
        else:
            bits += f'0{2:02b}{len(chunk[1]) - 1:08b}' + ''.join(f'{value:08b}' for value in chunk[1])
    bits += '0' * (-len(bits) % 8)
    return [int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)]


def test_counts_by_hand():
    assert encode_counts(np.array([2, 3, 6]), 8).tolist() == [2, 2, 2, 1, 1]
    assert encode_counts(np.array([0, 1]), 2).tolist() == [0, 2]
    assert encode_counts(np.array([], int), 5).tolist() == [5]
    assert decode_counts([2, 2, 2, 1, 1], 8).tolist() == [2, 3, 6]
    assert decode_counts([0, 2, 0, 1], 3).tolist() == [0, 1, 2]


@settings(max_examples=50, deadline=None)
@given(MASKS)
def test_counts_equal_those_of_a_slow_encoder_and_come_back(mask):
    counts = encode_counts(np.flatnonzero(mask), mask.size)
    assert counts.tolist() == slow_counts(mask)
    assert np.array_equal(decode_counts(counts.tolist(), mask.size), np.flatnonzero(mask))


@pytest.mark.parametrize('counts, message', [
    ([2, 2], 'cover 4'), ([2, 9], '0..8'), ([10, -2], '0..8'), ([4, -1, 5], 'length is -1'),
    ([], 'no list'), ([1.5, 6.5], 'no list'), ('8', 'no list'),
    ([[4], [4]], 'no list'), ([4, [4]], 'no list'), (None, 'no list'), ([2**62, 2**62, 2**62, 2**62], '0..8'),
    ([2**70, 1], 'no list|0..8')])
def test_damaged_counts_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        decode_counts(counts, 8)


def test_compressed_counts_by_hand():
    # 5 -> 5; 3 -> 3; 40 -> 8 and 1 (with continuation); 4 is written as 4 - 3 = 1.
    assert compress_counts(np.array([5, 3, 40, 4])) == ''.join(chr(48 + c) for c in (5, 3, 8 | 32, 1, 1))
    assert decompress_counts(''.join(chr(48 + c) for c in (5, 3, 8 | 32, 1, 1))).tolist() == [5, 3, 40, 4]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=12))
def test_compressed_counts_come_back(counts):
    assert decompress_counts(compress_counts(np.array(counts))).tolist() == counts


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.randoms(use_true_random=False))
def test_compressed_counts_equal_those_of_pycocotools(height, width, random):
    coco = pytest.importorskip('pycocotools.mask')
    mask = np.array([[random.random() < 0.4 for _ in range(width)] for _ in range(height)], np.uint8)
    expected = coco.encode(np.asfortranarray(mask))['counts'].decode()
    assert compress_counts(encode_counts(np.flatnonzero(mask.T), mask.size)) == expected
    counts = decompress_counts(expected)
    assert np.array_equal(decode_counts(counts, mask.size), np.flatnonzero(mask.T))


@pytest.mark.parametrize('text, message', [
    ('', 'character'), ('5é', 'character'), ('5!', 'character'), ('5' + chr(48 + 32), 'cut'),
    (chr(48 + 32) * 9 + '1', 'at most 7')])
def test_damaged_compressed_counts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        decompress_counts(text)


def test_an_empty_brush_mask_is_as_label_studio_writes_it():
    """The first bytes of a published export of Label Studio, of an image of 3332x2527: header and runs of 65536 zeros."""
    exported = [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31, 255, 252, 3, 255, 255, 128, 127, 255, 240, 15,
                255, 254, 1, 255, 255, 192, 63, 255, 248, 7, 255, 255, 0, 255, 255, 224, 31, 255, 252, 3, 255, 255, 128,
                127]
    packed = pack_rgba(np.array([], int), 3332 * 2527)
    assert packed[:len(exported)] == exported
    assert unpack_rgba(packed, 3332 * 2527).size == 0


@settings(max_examples=50, deadline=None)
@given(MASKS)
def test_packed_runs_hold_all_four_channels_and_come_back(mask):
    packed = pack_rgba(np.flatnonzero(mask), mask.size)
    assert slow_unpack(packed) == np.repeat(mask * 255, 4).tolist()
    assert np.array_equal(unpack_rgba(packed, mask.size), np.flatnonzero(mask))


@pytest.mark.parametrize('num_pixels', [2, 16383, 16384, 16385, 40000])
def test_long_runs_are_split(num_pixels):
    for index in (np.arange(num_pixels), np.array([num_pixels - 1])):
        packed = pack_rgba(index, num_pixels)
        assert np.array_equal(unpack_rgba(packed, num_pixels), index)
    assert sum(slow_unpack(packed)) == 4 * 255


def test_alpha_counts_not_colour_and_literals_are_read():
    rgba = [255, 255, 255, 0, 9, 9, 9, 255, 0, 0, 0, 127, 0, 0, 0, 128]
    packed = slow_pack([('list', rgba[:3]), ('run', 1, 0), ('list', rgba[4:])], 16)
    assert slow_unpack(packed) == rgba
    assert unpack_rgba(packed, 4).tolist() == [1, 3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.tuples(st.just('run'), st.integers(1, 16), st.integers(0, 255)),
                          st.tuples(st.just('list'), st.lists(st.integers(0, 255), min_size=1, max_size=20))), max_size=8))
def test_any_mixture_of_runs_and_literals_is_read_like_the_description(chunks):
    values = [value for chunk in chunks for value in (chunk[1:] and ([chunk[2]] * chunk[1] if chunk[0] == 'run' else
                                                                      chunk[1]))]
    chunks = [*chunks, ('list', [0] * (4 - len(values) % 4))]
    values += [0] * (4 - len(values) % 4)
    assert unpack_rgba(slow_pack(chunks, len(values)), len(values) // 4).tolist() == [
        i for i in range(len(values) // 4) if values[4 * i + 3] >= 128]


@pytest.mark.parametrize('damage, message', [
    (lambda p: p[:-1], 'too early'), (lambda p: p[:3], 'too early'), (lambda p: [], 'too early'),
    (lambda p: [0, 0, 0, 99, *p[4:]], 'expected 40 of 8'), (lambda p: [*p[:4], 0, *p[5:]], 'expected 40 of 8'),
    (lambda p: [*p, 300], 'list of bytes'), (lambda p: [-1, *p], 'list of bytes'), (lambda p: 'rle', 'list of bytes'),
    (lambda p: [*p[:-1], 'x'], 'list of bytes'), (lambda p: None, 'list of bytes'), (lambda p: 7, 'list of bytes'),
    (lambda p: slow_pack([('run', 16, 255)] * 3, 40), 'more values'),
    (lambda p: slow_pack([('list', [255] * 40)], 40)[:-9], 'too early')])
def test_damaged_packed_runs_are_refused(damage, message):
    with pytest.raises(ValueError, match=message):
        unpack_rgba(damage(pack_rgba(np.array([3, 4]), 10)), 10)
