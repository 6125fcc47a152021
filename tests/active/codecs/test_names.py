# SPDX-License-Identifier: Apache-2.0
"""Labels and file names of tools: exact first, harmless differences next, never a guess between two."""
import unicodedata

import pytest

from udatools.active.codecs.names import ClassNames, ItemNames


def names_of(make_codec_request, *classes):
    return ClassNames(make_codec_request({'a': [[1]]}, classes=classes))


def test_classes_void_and_open(make_codec_request):
    names = names_of(make_codec_request, 'road', 'traffic light')
    assert [names.value(text) for text in ('road', 'traffic light', 'void', 'unsure', '?')] == [0, 1, 254, 254, 255]
    assert [names.value(text) for text in (' Road ', 'TRAFFIC LIGHT', 'Unsure')] == [0, 1, 254]
    assert [names.value(text) for text in ('raod', '', '0', 'traffic')] == [None] * 4
    assert [names.label(value) for value in (0, 1, 254, 255)] == ['road', 'traffic light', 'void', '?']
    assert names.legend()[0] == ('road', '#0080ff', '1')
    assert [label for label, _, _ in names.legend(with_open=False)] == ['road', 'traffic light', 'void']


def test_a_name_that_differs_in_case_only_from_two_classes_is_not_guessed(make_codec_request):
    names = names_of(make_codec_request, 'Car', 'car')
    assert names.value('car') == 1 and names.value('Car') == 0 and names.value('CAR') is None


def test_classes_called_like_special_labels_keep_their_name(make_codec_request):
    names = names_of(make_codec_request, 'void', '?', 'void?', 'unsure')
    assert [names.value(text) for text in ('void', '?', 'void?', 'unsure')] == [0, 1, 2, 3]
    assert (names.label(254), names.label(255)) == ('void??', '??')
    assert names.value('void??') == 254 and names.value('??') == 255


@pytest.mark.parametrize('classes', [('a', 'a'), ('a', ' '), ('', )])
def test_classes_that_cannot_be_told_apart_are_refused(make_codec_request, classes):
    with pytest.raises(ValueError, match='rename'):
        names_of(make_codec_request, *classes)


def test_images_by_path_key_and_what_tools_make_of_them(make_codec_request):
    keys = ['city a/frame_1', 'city b/frame_1', 'city b/größe+%41', 'top']
    items = ItemNames(make_codec_request({key: [[1]] for key in keys}))
    found = {name: getattr(items.find(name), 'key', None) for name in (
        'city a/frame_1.png', 'city a/frame_1', 'frame_1.png', '/home/x/city b/frame_1.png', 'C:\\x\\city b\\frame_1.png',
        'größe+%41.png', unicodedata.normalize('NFD', 'city b/größe+%41.png'), 'other/frame_1.png', 'x/city c/frame_1.png',
        'anywhere/top.png', 'top.jpg', 'op.png', '', '/', '/data/upload/7/0a1b2c3d-top.png', '0a1b2c3-top.png',
        '/data/local-files/?d=images/city%20a/frame_1.png', 'http://host/city%20b/frame_1.png?token=1')}
    assert found == {
        'city a/frame_1.png': keys[0], 'city a/frame_1': keys[0], 'frame_1.png': None,
        '/home/x/city b/frame_1.png': keys[1], 'C:\\x\\city b\\frame_1.png': keys[1], 'größe+%41.png': keys[2],
        unicodedata.normalize('NFD', 'city b/größe+%41.png'): keys[2], 'other/frame_1.png': None,
        'x/city c/frame_1.png': None, 'anywhere/top.png': keys[3], 'top.jpg': None, 'op.png': None, '': None, '/': None,
        '/data/upload/7/0a1b2c3d-top.png': keys[3], '0a1b2c3-top.png': None,
        '/data/local-files/?d=images/city%20a/frame_1.png': keys[0], 'http://host/city%20b/frame_1.png?token=1': keys[1]}


def test_a_key_that_is_the_path_of_another_image(make_codec_request):
    items = ItemNames(make_codec_request({'a': [[1]], 'a.png': [[1]]}))
    assert items.find('a.png').key == 'a' and items.find('a.png', key=True).key == 'a.png'
