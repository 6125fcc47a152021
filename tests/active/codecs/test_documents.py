# SPDX-License-Identifier: Apache-2.0
"""Files from outside: nothing is expanded, nothing is unpacked beyond its size, nothing is written elsewhere."""
import os
import zipfile

import cv2
import numpy as np
import pytest

from udatools.active.codecs import CODECS, Codec, detect
from udatools.active.codecs.documents import archive_member, decode_png, inside, parse_xml, place_image, read_json


def test_entities_are_refused_in_any_encoding():
    bomb = '<?xml version="1.0" encoding="{0}"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    for encoding in ('utf-8', 'utf-16'):
        with pytest.raises(ValueError, match='declares a document type or entities'):
            parse_xml(bomb.format(encoding).encode(encoding), 'x.xml')
    assert parse_xml('<a b="1 &amp; ü">&lt;t&#228;</a>'.encode('utf-16'), 'x').text == '<tä'


def test_deep_xml_and_json_do_not_end_the_process(tmp_path):
    deep = parse_xml(b'<a>' * 20000 + b'</a>' * 20000, 'x')
    assert deep.tag == 'a'
    (tmp_path / 'x.json').write_text('[' * 100000)
    with pytest.raises(ValueError, match='is no JSON'):
        read_json(tmp_path / 'x.json')
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / 'y.json')


def test_an_unknown_encoding_is_no_xml():
    with pytest.raises(ValueError, match='is no XML'):
        parse_xml(b'<?xml version="1.0" encoding="utf-77"?><a/>', 'x')


def test_archives(tmp_path):
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('x/annotations.xml', 'text')
        archive.writestr('other.xml', '')
    assert archive_member(path, 'annotations.xml') == b'text' and archive_member(path, 'none.xml') is None
    assert archive_member(tmp_path, 'annotations.xml') is None
    data = bytearray(path.read_bytes())
    data[data.find(b'text')] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match='damaged or encrypted'):
        archive_member(path, 'annotations.xml')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('x/annotations.xml', 'text')
        archive.writestr('y/annotations.xml', 'text')
    with pytest.raises(ValueError, match='2 times'):
        archive_member(path, 'annotations.xml')


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('udatools.active.codecs.documents._MAX_MEMBER_BYTES', 10)
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('annotations.xml', 'x' * 11)
    with pytest.raises(ValueError, match='of 11 bytes'):
        archive_member(tmp_path / 'a.zip', 'annotations.xml')


def test_the_size_of_a_png_is_read_before_it_is_unpacked(monkeypatch):
    data = cv2.imencode('.png', np.ones((3, 5), np.uint8))[1].tobytes()
    assert decode_png(data, {(3, 5), (1, 1)}).tolist() == [[1] * 5] * 3
    monkeypatch.setattr('cv2.imdecode', lambda *_: pytest.fail('unpacked'))
    for wrong in (data[:20], b'', b'GIF89a' + data, data[:16] + b'\x7f\xff\xff\xff' + data[20:]):
        with pytest.raises(ValueError, match='it is'):
            decode_png(wrong, {(3, 5)})


@pytest.mark.parametrize('relative', ['../x', 'a/../../x', '/x', '', 'a/..', 'a\0b'])
def test_nothing_is_written_out_of_the_folder(tmp_path, relative):
    with pytest.raises(ValueError, match='leads out of'):
        inside(tmp_path, relative)


def test_a_key_that_leads_out_of_the_folder_is_not_exported(make_codec_request, tmp_path):
    request = make_codec_request({'a': [[1]]})
    object.__setattr__(request.items[0], 'key', '../../a')
    object.__setattr__(request.items[0], 'path', '../../a.png')
    (tmp_path / 'source.png').write_bytes(b'image')
    for name in ('labelme', 'cvat'):
        with pytest.raises((ValueError, KeyError)):
            CODECS[name].export(request, tmp_path / 'deep' / 'out', lambda item: tmp_path / 'source.png')
    assert sorted(p.name for p in tmp_path.rglob('*.png')) == ['source.png']


def test_images_are_linked_or_copied_and_renewed(make_codec_request, tmp_path, monkeypatch):
    item = make_codec_request({'city/a': [[1]]}).items[0]
    source = tmp_path / 'source.png'
    source.write_bytes(b'one')
    link = place_image(item, lambda item: source, tmp_path / 'out')
    assert link == tmp_path / 'out' / 'city' / 'a.png' and os.path.samefile(link, source)
    monkeypatch.setattr('os.link', lambda *_: (_ for _ in ()).throw(OSError('no links here')))
    assert place_image(item, lambda item: source, tmp_path / 'out').read_bytes() == b'one'
    assert not os.path.samefile(link, source) and source.read_bytes() == b'one'
    assert place_image(item, lambda item: None, tmp_path / 'out') is None


@pytest.mark.parametrize('name, data', [
    ('x.txt', b'hello'), ('x.json', b'{"a": 1}'), ('x.json', b'[1]'), ('x.json', b'{"data": '), ('x.xml', b'<svg/>'),
    ('x.zip', b'PK\x03\x04'), ('x.csv', b'a,b\n1,2'), ('x.bin', bytes(range(256))), ('x.json', b'[]')])
def test_other_files_are_in_no_known_format(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match='in no known format'):
        detect(tmp_path / name)


def test_a_byte_order_mark_is_no_damage(make_codec_request, answer_of, tmp_path):
    request = make_codec_request({'a': [[1]]})
    for name in ('coco_rle', 'cvat', 'csv'):
        CODECS[name].write(request, [answer_of('a', [[2]])], tmp_path / name)
        file = tmp_path / name / (CODECS[name].filename or 'points.csv')
        file.write_bytes(b'\xef\xbb\xbf' + file.read_bytes().replace(b',,,,1,\n', b',,,,1,tree & bush\n'))
        assert detect(file) is CODECS[name] and CODECS[name].read(file, request).answers[0].answer.tolist() == [[2]]


def test_no_file_and_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        detect(tmp_path / 'x')
    with pytest.raises(ValueError, match='in no known format'):
        detect(tmp_path)


def test_a_folder_of_two_formats_is_not_guessed(tmp_path):
    (tmp_path / 'annotations.xml').write_text('<annotations/>')
    (tmp_path / 'points.csv').write_text('image,x,y,label')
    with pytest.raises(ValueError, match='could be any of csv .* cvat'):
        detect(tmp_path)


def test_a_codec_may_only_read(make_codec_request, tmp_path):
    only = type('Only', (Codec, ), dict(name='only', title='one way', recognises=lambda *_: False, read=lambda *_: None))()
    request = make_codec_request({'a': [[1]]})
    for call in (lambda: only.export(request, tmp_path, lambda item: None), lambda: only.write(request, [], tmp_path)):
        with pytest.raises(ValueError, match="'only' .one way. can be imported"):
            call()


def test_the_guide_names_every_format(repo_root):
    guide = (repo_root / 'docs' / 'annotation_formats.md').read_text(encoding='utf-8')
    assert all(f'| `{name}` |' in guide for name in CODECS)


def test_the_example_of_the_guide_runs(repo_root, make_codec_request, tmp_path, monkeypatch, capsys):
    guide = (repo_root / 'docs' / 'annotation_formats.md').read_text(encoding='utf-8')
    code = guide.split('```python\n')[1].split('```')[0]
    request = make_codec_request({'a': [[1, 1]]})
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'work_dirs/my_run/requests').mkdir(parents=True)
    (tmp_path / 'work_dirs/my_run/requests/round_1').symlink_to(request.root)
    (tmp_path / 'annotations.xml').write_text(
        '<annotations><image name="a.png" width="2" height="1"><points label="road" points="0,0"/>'
        '<points label="raod" points="1,0"/></image></annotations>')
    exec(compile(code, 'guide', 'exec'), {})
    assert "unknown class 'raod'" in capsys.readouterr().out
    assert CODECS['labelstudio'].read(tmp_path / 'to_label_studio', request).answers[0].answer.tolist() == [[0, 255]]
