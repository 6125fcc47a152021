# SPDX-License-Identifier: Apache-2.0
"""Every codec gives back the answers that it wrote: borders, holes, one-pixel regions, thin images, unicode, all labels."""
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active import Answer
from udatools.active.codecs import CODECS, detect

WRITERS = ('csv', 'cvat', 'labelstudio', 'labelme', 'coco_rle')
KINDS = ('points', 'segments', 'regions')
KEEPS_SECONDS = ('csv', 'labelstudio', 'labelme')
LETTERS = st.characters(exclude_categories=['Cs', 'Cc', 'Cn', 'Co'], exclude_characters='/')
PARTS = st.text(LETTERS, min_size=1, max_size=8).filter(lambda part: part.strip('.') and not part.isspace())
KEYS = st.lists(PARTS, min_size=1, max_size=2).map('/'.join)
CLASS_NAMES = st.lists(st.one_of(st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: name.strip()),
                                 st.sampled_from(['void', 'unsure', '?', 'a & b', ' "x" ', '<i>', '7', 'Grün'])),
                       min_size=1, max_size=5, unique=True)


@st.composite
def campaigns(draw):
    """Kind, classes, region masks by key, answer maps by key."""
    kind, classes = draw(st.sampled_from(KINDS)), draw(CLASS_NAMES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = np.array([*range(len(classes)), 254, 255])
    regions, answers = {}, {}
    for key in draw(st.lists(KEYS, min_size=1, max_size=2, unique_by=lambda key: key.casefold())):
        size = draw(st.sampled_from([(1, 1), (1, 9), (9, 1), (2, 3), (5, 7), (3, 60)]))
        region = rng.choice([1, 1, 1, 2, 3], size) * (rng.random(size) < draw(st.sampled_from([0.1, 0.7, 1.0])))
        region[0, -1] = 3
        answer = rng.choice(values, 4)[region] if kind == 'regions' else rng.choice(values, size)
        regions[key], answers[key] = region, np.where(region > 0, answer, 255).astype(np.uint8)
    # A key that is the folder of another cannot be a file too.
    if any(other.startswith(f'{key}{end}/') for key in regions for other in regions for end in ('', '.png', '.json')):
        first = next(iter(regions))
        regions, answers = {first: regions[first]}, {first: answers[first]}
    return kind, classes, regions, answers


@pytest.fixture(scope='session')
def fresh(tmp_path_factory):
    root, number = tmp_path_factory.mktemp('written'), count()
    return lambda: root / str(next(number))


@pytest.mark.parametrize('name', WRITERS)
@settings(max_examples=30, deadline=None)
@given(campaigns(), st.sampled_from(['', 'Änna & co', 'a@b.c']), st.floats(0, 1e4))
def test_answers_come_back(make_codec_request, fresh, name, campaign, who, seconds):
    kind, classes, regions, maps = campaign
    request, folder, codec = make_codec_request(regions, kind, classes), fresh(), CODECS[name]
    given_ = [Answer(key, answer, who, 'a tool', seconds=seconds, clicks=3) for key, answer in maps.items()]
    assert codec.write(request, given_, folder)
    assert detect(folder).name == name
    submission = codec.read(folder, request)
    assert [str(problem) for problem in submission.problems] == []
    assert submission.request_id in (request.request_id, None)
    back = {answer.key: answer for answer in submission.answers}
    assert set(back) == {key for key, answer in maps.items() if (answer != 255).any()}
    for key, answer in back.items():
        assert answer.answer.dtype == np.uint8 and np.array_equal(answer.answer, maps[key])
        assert answer.annotator == who
        assert answer.seconds == (seconds if name in KEEPS_SECONDS else 0)
        assert (answer.clicks, answer.tool) == (3, 'a tool') if name == 'csv' else answer.tool == name
        answered = maps[key] != 255
        assert answer.points == (answered.sum() if kind == 'points' else 0)
        if kind != 'points':
            assert answer.components == len(set(regions[key][answered].tolist()))


@pytest.mark.parametrize('name', WRITERS)
@settings(max_examples=10, deadline=None)
@given(campaigns())
def test_an_export_asks_for_everything_and_answers_nothing(make_codec_request, fresh, name, campaign):
    kind, classes, regions, _ = campaign
    request, folder, codec = make_codec_request(regions, kind, classes), fresh(), CODECS[name]
    image = folder.with_suffix('.image')
    image.write_bytes(b'image')
    files = codec.export(request, folder, lambda item: image if item.key == request.asked_keys()[0] else None)
    placed = [file for file in files if file.read_bytes() == b'image']
    assert len(placed) == 1 and placed[0].as_posix().endswith(request[request.asked_keys()[0]].path)
    submission = codec.read(folder, request)
    assert (submission.answers, submission.problems) == ([], []) and detect(folder).name == name
