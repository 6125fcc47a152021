# SPDX-License-Identifier: Apache-2.0
"""A request package with images, its log, board and web application."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from udatools.active.annotator.events import Event
from udatools.active.annotator.images import PackageImages
from udatools.active.annotator.store import AnswerStore, store_path
from udatools.active.annotator.tasks import TaskBoard
from udatools.active.request import Request, RequestItem, class_table, number_regions, region_digest, write_mask, write_request

CLASSES = ('road', 'car', 'sky')
PALETTE = [(128, 64, 128), (0, 0, 142), (70, 130, 180)]
#: Two images of 4x6 with three regions each, one with nothing asked.
MASK = np.array([[1, 1, 0, 0, 0, 2],
                 [1, 1, 0, 0, 0, 2],
                 [0, 0, 0, 0, 0, 0],
                 [3, 3, 3, 3, 0, 0]], np.uint16)


@pytest.fixture
def make_package(tmp_path):
    """Function: a package {key: mask of region ids} of a kind, with images below ``images/``."""

    def make(masks=None, kind='segments', name='round_1', round=1, budget=None):
        masks = {'a/1': MASK, 'a/2': MASK.T, 'b/1': np.zeros((2, 2), np.uint16)} if masks is None else masks
        root, items = tmp_path / 'run' / 'requests' / name, []
        for key, mask in masks.items():
            region = np.asarray(mask, np.uint16)
            if kind == 'points':
                region = number_regions(region > 0, points=True)
            image = root / 'images' / f'{key}.png'
            image.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), np.full((*region.shape, 3), 90, np.uint8))
            asked = int((region > 0).sum())
            items.append(RequestItem(key, f'{key}.png', '', *region.shape, asked, asked, int(region.max()),
                                     write_mask(root, key, region) if asked else None, region_digest(region) if asked else ''))
        header = dict(input_hash='h', run='streets', round=round, num_rounds=3, kind=kind, selector={}, ignore_index=255,
                      classes=class_table(CLASSES, PALETTE), images=len(items))
        write_request(root, header if budget is None else dict(header, budget=budget), items)
        return Request.load(root)

    return make


@pytest.fixture
def make_board(make_package):
    """Function: a task board on a package, closed at the end."""
    opened = []

    def make(request=None, **options):
        request = request or make_package()
        store = AnswerStore(store_path(request), request.request_id)
        opened.append(store)
        return TaskBoard(PackageImages(request, request.root / 'images'), store, **options)

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def event():
    """Function: an event with an id of its own."""
    count = iter(range(10**6))

    def make(kind='label', key='a/1', who='anna', **fields):
        if kind in ('label', 'void') and 'region' not in fields and 'runs' not in fields:
            fields['region'] = 1
        if kind in ('label', 'void'):
            fields.setdefault('value', 254 if kind == 'void' else 0)
        if fields.get('runs') is not None:
            fields['runs'] = np.array(fields['runs'], np.uint32).reshape(-1, 2)
        return Event(**{'event_id': f'event-{next(count):06d}', 'session': 's', **fields, 'kind': kind, 'key': key, 'who': who})

    return make


@pytest.fixture
def web(make_board):
    """Function: a client of the web application with what it stands on."""
    pytest.importorskip('flask', reason='the annotator page needs Flask; install requirements/test.txt')
    from udatools.active.annotator.security import Guard
    from udatools.active.annotator.server import Api, Options, create_app

    def make(request=None, *, host='127.0.0.1', port=8321, token=None, options=None, **board):
        board = make_board(request, **board)
        app = create_app(Api(board, options or Options()), Guard(host, port, token))
        headers = {'Host': f'{host}:{port}', 'X-Udatools-Annotator': '1'}
        client = app.test_client()

        def post(name, headers=headers, **content):
            return client.post(f'/api/{name}', json={'request_id': board.request.request_id, **content}, headers=headers)

        def get(path, **more):
            return client.get(path, headers={**headers, **more})

        def image(number, what, request_id=board.request.request_id):
            return get(f'/api/requests/{request_id}/images/{number}/{what}')

        return SimpleNamespace(app=app, client=client, board=board, headers=headers, post=post, get=get, image=image)

    return make
