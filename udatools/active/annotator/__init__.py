# SPDX-License-Identifier: Apache-2.0
"""The annotator: a web page on which people answer a request package.

``events`` what people do and the labels it amounts to; ``store`` the log on disk; ``images`` pixels of a package; ``tasks`` who
answers what next; ``allowance`` what that may cost; ``security`` who may ask; ``server`` the API; ``static`` the page. Needs
Flask and waitress (``pip install 'udatools[annotator]'``) to serve; reading what was answered (``udatools.active.codecs.page``)
does not.
"""
from .images import ImagesNotFoundError
from .server import Options, Server
from .store import AnswerStore, StoreError

__all__ = ['AnswerStore', 'ImagesNotFoundError', 'Options', 'Server', 'StoreError']
