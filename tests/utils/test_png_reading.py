# SPDX-License-Identifier: Apache-2.0
"""Reading images: as stored, and never half of one."""
import cv2
import numpy as np
import pytest
from PIL import Image

from udatools.utils.png import read_image, read_photo, read_png


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_palette_png_yields_indices(tmp_path):
    index = np.array([[0, 7, 33], [34, 1, 7]], np.uint8)
    image = Image.fromarray(index).convert('P')
    image.putpalette(sum(([i, 255 - i, 7] for i in range(256)), []))
    image.save(tmp_path / 'p.png')
    assert cv2.imread(str(tmp_path / 'p.png'), cv2.IMREAD_UNCHANGED).ndim == 3  # what OpenCV would give
    assert np.array_equal(read_png(tmp_path / 'p.png'), index)


def test_16_bit_is_kept(tmp_path):
    array = (noise((5, 6, 3)).astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / 'a.png'), array)
    assert np.array_equal(read_png(tmp_path / 'a.png'), array)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('keep', [0.02, 0.5, 0.9, 0.999])
def test_truncated_file_is_named(tmp_path, suffix, keep):
    path = tmp_path / f'image{suffix}'
    cv2.imwrite(str(path), noise((64, 80, 3)))
    assert read_image(path).shape == (64, 80, 3)
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * keep)])
    with pytest.raises(ValueError, match='truncated|not an image') as caught:
        read_image(path)
    assert str(path) in str(caught.value) and 'again' in str(caught.value)


def test_jpeg_with_thumbnail_and_trailer(tmp_path):
    path = tmp_path / 'image.jpg'
    picture = cv2.imencode('.jpg', noise((64, 80, 3)))[1].tobytes()
    thumbnail = cv2.imencode('.jpg', noise((8, 8, 3)))[1].tobytes()
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    whole = picture[:2] + segment + picture[2:]
    path.write_bytes(whole + bytes(100000))
    assert read_image(path).shape == (64, 80, 3)
    path.write_bytes(whole[:-50])
    with pytest.raises(ValueError, match='truncated JPEG'):
        read_image(path)


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_photos_are_turned_upright_and_images_are_not(tmp_path, orientation):
    from mmcv.transforms import LoadImageFromFile
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, 32:] = 255  # as stored: white at the top right
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / 'p.jpg', exif=exif, quality=95)
    stored, upright = read_image(tmp_path / 'p.jpg'), read_photo(tmp_path / 'p.jpg')
    assert np.abs(stored.astype(int) - pixels).max() < 40
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]  # counter-clockwise; 6: a quarter to the right
    assert np.abs(upright.astype(int) - np.rot90(pixels, turns)).max() < 40
    assert np.array_equal(upright, LoadImageFromFile()(dict(img_path=str(tmp_path / 'p.jpg')))['img'])
    (tmp_path / 'p.jpg').write_bytes((tmp_path / 'p.jpg').read_bytes()[:-30])
    with pytest.raises(ValueError, match='truncated JPEG'):
        read_photo(tmp_path / 'p.jpg')


def test_truncated_palette_png_is_named(tmp_path):
    path = tmp_path / 'p.png'
    image = Image.fromarray(noise((40, 40)), mode='P')
    image.putpalette(list(range(256)) * 3)
    image.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match='p.png is a truncated PNG'):
        read_png(path)


def test_empty_missing_and_other_files(tmp_path):
    (tmp_path / 'e.png').write_bytes(b'')
    (tmp_path / 't.png').write_text('<html>404</html>')
    with pytest.raises(ValueError, match='e.png is empty'):
        read_image(tmp_path / 'e.png')
    with pytest.raises(ValueError, match='t.png is not an image'):
        read_image(tmp_path / 't.png')
    with pytest.raises(FileNotFoundError, match='n.png does not exist'):
        read_image(tmp_path / 'n.png')
