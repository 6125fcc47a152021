# SPDX-License-Identifier: Apache-2.0
"""A local HTTP server whose answers are trouble: dropped, stalled, corrupt, without ranges, or none."""
import http.server
import os
import re
import threading
from contextlib import contextmanager
from unittest import mock


class Handler(http.server.BaseHTTPRequestHandler):
    """One file whose trouble its path names: what each part of it does is in `do_GET`."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, trouble = self.server, self.path.strip('/').split('/')
        content = server.content
        asked = re.match(r'bytes=(\d+)-', self.headers.get('Range') or '')
        start = int(asked[1]) if asked else 0
        server.asked.append((self.path, start))
        body = content
        if 'corrupt' in trouble:
            body = content[:-1] + b'?'
        if 'page' in trouble:
            body = b'<html>sign in</html>'
        if 'longer' in trouble:
            body = content + b'more'
        if 'gone' in trouble:
            return self.send_error(404)
        if 'busy' in trouble and len(server.asked) < 3:
            return self.send_error(503)
        if 'ignore' in trouble:
            start = 0
        if 'shifted' in trouble and start:
            start += 1
        if start >= len(body):
            return self.send_error(416)
        rest = body[start:]
        self.send_response(206 if start else 200)
        if 'unsized' not in trouble:
            self.send_header('Content-Length', str(len(rest)))
        if start and 'silent' not in trouble:
            self.send_header('Content-Range', f'bytes {start}-{len(body) - 1}/{len(body)}')
        self.end_headers()
        if 'drop' in trouble:
            rest = rest[:30_000]
        if 'drop-once' in trouble and len(server.asked) == 1:
            rest = rest[:30_000]
        if 'stall' in trouble and len(server.asked) == 1:
            self.wfile.write(rest[:10_000])
            self.wfile.flush()
            server.hold.wait(5)
            return None
        self.wfile.write(rest)
        return None


@contextmanager
def serve(content):
    """A running server of one file.

    Args:
        content (bytes): of the file.

    Yields:
        ThreadingHTTPServer: ``address(trouble)`` is where the file is, with that trouble (see ``Handler.do_GET``, ``a/b`` for
        two); ``asked`` lists (path, first byte asked for) of all requests.
    """
    served = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    served.content, served.asked, served.hold = content, [], threading.Event()
    thread = threading.Thread(target=served.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True)
    thread.start()
    served.address = lambda trouble='': f'http://127.0.0.1:{served.server_port}/{trouble}'
    try:
        with mock.patch.dict(os.environ, no_proxy='127.0.0.1', NO_PROXY='127.0.0.1'):
            yield served
    finally:
        served.hold.set()
        served.shutdown()
        served.server_close()
        thread.join()
