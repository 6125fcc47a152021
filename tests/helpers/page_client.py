# SPDX-License-Identifier: Apache-2.0
"""A person at the annotator page, as a program: answers over the page's HTTP interface what is asked there.

It knows nothing but what the page is told: the class table, the next task, where its regions lie. What to answer comes from
a function of the image's name.
"""
import json
import urllib.request
import uuid
from collections.abc import Callable

import numpy as np

VOID = 254


class PageClient:
    """One person in one tab.

    Args:
        url (str): address that ``tools/annotate.py`` printed, with its token if it has one.
        who (str): the person's name.
        seconds (float): what every answer takes, as it is reported.
    """

    def __init__(self, url: str, who: str = 'anna', seconds: float = 1.5) -> None:
        address, _, token = url.partition('?')
        self.url, self.query, self.who, self.seconds = address.rstrip('/'), f'?{token}', who, seconds
        self.session = uuid.uuid4().hex
        self.package = json.loads(self._get('package'))

    def _get(self, name: str) -> bytes:
        with urllib.request.urlopen(f'{self.url}/api/{name}{self.query}', timeout=30) as reply:
            return reply.read()

    def _post(self, name: str, **content: object) -> dict:
        headers = {'Content-Type': 'application/json', 'X-Udatools-Annotator': '1'}
        request = urllib.request.Request(f'{self.url}/api/{name}{self.query}', json.dumps(
            dict(content, who=self.who, request_id=self.package['request_id'])).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def answer_all(self, truth: Callable[[str], np.ndarray]) -> int:
        """Answer points or one-label regions until nothing is left.

        Args:
            truth (Callable): label of an image by its name: uint8, (H, W), train ids, 255 = no class (answered "unsure").

        Returns:
            int: answers given, one click each.
        """
        count = 0
        while (task := self._post('tasks')['task']) is not None:
            where = self._pixel_of_regions(task['image'])
            label = truth(task['name']).ravel()
            assert label.size == task['height'] * task['width'], task['name']
            events = [self._event(task['image'], region, int(label[where[region]])) for region in task['units']]
            results = self._post('events', session=self.session, events=events)['results']
            refused = [result for result in results if 'error' in result]
            assert events and not refused, refused
            count += len(events)
        return count

    def _pixel_of_regions(self, image: int) -> dict[int, int]:
        """{region id: row-major index of its first pixel}."""
        runs = np.frombuffer(self._get(f'requests/{self.package["request_id"]}/images/{image}/regions'), '<u4').reshape(-1, 3)
        return {int(region): int(start) for start, _, region in runs[::-1]}

    def _event(self, image: int, region: int, value: int) -> dict:
        about = dict(event_id=uuid.uuid4().hex, image=image, region=region, clicks=1, seconds=self.seconds)
        return dict(about, kind='void') if value >= VOID else dict(about, kind='label', value=value)
