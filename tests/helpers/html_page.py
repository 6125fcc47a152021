# SPDX-License-Identifier: Apache-2.0
"""An HTML page as a test reads it: tags, attributes, text."""
from html.parser import HTMLParser

EMPTY = {'meta', 'img', 'br', 'hr', 'link', 'input'}


class Page(HTMLParser):
    """Text, tags and attributes of a page; every element must be closed.

    Args:
        html (str): the page.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict]] = []
        self.text = ''
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ('style', 'title'):
            self.text += ' '.join(data.split()) + ' '
