# SPDX-License-Identifier: Apache-2.0
"""Images of a package: found where they should be, the right ones, shown as the networks see them, no other file."""
import hashlib
import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from udatools.active.annotator.events import Asked
from udatools.active.annotator.images import ImagesNotFoundError, PackageImages, find_image_root, run_image_root
from udatools.utils.png import read_image


@pytest.fixture
def images(make_package):
    request = make_package()
    return PackageImages(request, request.root / 'images')


def test_the_package_s_own_images_come_first(make_package, tmp_path):
    request = make_package()
    assert find_image_root(request) == request.root / 'images'
    other = (request.root / 'images').rename(tmp_path / 'elsewhere')
    assert find_image_root(request, other) == other
    with pytest.raises(ImagesNotFoundError, match=r'images does not exist.*--images FOLDER .*a/1\.png'):
        find_image_root(request)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ImagesNotFoundError, match=r'empty has no a/1\.png'):
        find_image_root(request, tmp_path / 'empty')


def test_images_of_a_run_are_found_by_its_config(make_package, tmp_path, minidrive_root):
    request = make_package({'ashford/x': [[1]]})
    (request.root / 'images').rename(tmp_path / 'gone')
    root = minidrive_root / 'cityscapes'
    (tmp_path / 'run' / 'config.py').write_text(
        f"data = dict(type='CityscapesDomain', data_root={str(root)!r}, split='train', labelled=False)\n"
        "target_images = '{cfg:data}'\n")
    assert run_image_root(tmp_path / 'run' / 'config.py') == root / 'leftImg8bit' / 'train'
    with pytest.raises(ImagesNotFoundError, match=r'has no ashford/x\.png'):
        find_image_root(request)
    (tmp_path / 'run' / 'config.py').write_text('a = 1\n')
    with pytest.raises(ImagesNotFoundError, match='does not say where the target images are'):
        find_image_root(request)


def test_files_go_out_byte_for_byte(images):
    item = images.request['a/1']
    data, media = images.picture(item)
    assert media == 'image/png' and data == (images.root / 'a' / '1.png').read_bytes()


def test_what_browsers_would_turn_or_not_know_is_sent_as_stored(images):
    item, path = images.request['a/1'], images.root / 'a' / '1.png'
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for form, tags in (('JPEG', exif), ('PNG', exif), ('TIFF', None)):
        Image.fromarray(pixels).save(path, form, **(dict(exif=tags) if tags else {}))
        data, media = images.picture(item)
        assert media == 'image/png'
        shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert np.array_equal(shown, read_image(path)) and Image.open(io.BytesIO(data)).getexif().get(0x0112, 1) == 1


def test_another_image_is_noticed(images):
    item, path = images.request['a/1'], images.root / 'a' / '1.png'
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    assert images.picture(replace(item, sha1=digest))[0]
    with pytest.raises(ValueError, match='is not the image that was asked about'):
        images.picture(replace(item, sha1='0' * 40))
    cv2.imwrite(str(path), np.zeros((8, 6, 3), np.uint8))
    with pytest.raises(ValueError, match='is 6x8, the request is about 6x4'):
        images.picture(item)
    path.write_bytes(b'no image')
    with pytest.raises(ValueError, match='not an image'):
        images.picture(item)
    path.unlink()
    with pytest.raises(ImagesNotFoundError, match='is missing'):
        images.picture(item)
    assert images.missing() == ['a/1.png']


@pytest.mark.parametrize('path', ['../secret.png', 'a/../../secret.png', '/etc/hostname'])
def test_no_path_leads_out_of_the_image_root(images, path):
    (images.root.parent / 'secret.png').write_bytes((images.root / 'a' / '1.png').read_bytes())
    with pytest.raises(ValueError, match='outside'):
        images.picture(replace(images.request['a/1'], path=path))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32))
def test_region_runs_are_the_mask(height, width, seed):
    mask = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint16)
    images = PackageImages.__new__(PackageImages)
    images.asked = lambda key: Asked.of(mask)
    back = np.zeros(mask.size, np.uint16)
    for start, length, region in np.frombuffer(images.region_runs('k'), '<u4').reshape(-1, 3):
        assert not back[start:start + length].any()
        back[start:start + length] = region
    assert np.array_equal(back.reshape(mask.shape), mask)


def test_predictions_of_asked_pixels(images):
    assert images.prediction('a/1') == b''
    path = images.request.root / 'predictions' / 'a' / '1.png'
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.arange(24, dtype=np.uint8).reshape(4, 6))
    assert list(images.prediction('a/1')) == images.asked('a/1').flat.tolist()
    cv2.imwrite(str(path), np.zeros((2, 2), np.uint8))
    assert set(images.prediction('a/1')) == {255}
