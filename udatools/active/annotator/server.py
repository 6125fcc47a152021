# SPDX-License-Identifier: Apache-2.0
"""The annotator page's server: static files and a small JSON API over the task board.

Images are named by their position in the package, so no path ever comes from a browser. A position means something in one
request only: whatever is asked or sent names the request, and another one than that which is served is refused. Every answer
is on disk before the reply to it is sent; sending one twice stores it once.
"""
import re
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..request import NOT_ANSWERED, Request, RequestItem
from ..submission import person_name
from .events import Event, EventError, effective, parse_event, runs_of_pixels
from .images import ImagesNotFoundError, PackageImages, find_image_root
from .security import ANY_ADDRESS, MAX_BODY, RESPONSE_HEADERS, Guard
from .store import AnswerStore, StoreError, store_path
from .tasks import TaskBoard

_STATIC = Path(__file__).resolve().parent / 'static'
_NAME = re.compile(r'[^\x00-\x1f\x7f]{1,80}')
_SESSION = re.compile(r'[A-Za-z0-9_-]{1,64}')
_HISTORY = 200
_THREADS = 8
_WAKE_SECONDS = 0.5


class BadRequestError(ValueError):
    """A request that cannot be served, with the reason for its sender."""


class OtherRequestError(ValueError):
    """The sender means another request than the one that is served."""


@dataclass(frozen=True)
class Options:
    """What the page is told.

    Attributes:
        who (str | None): the only name that may answer; None asks everybody for theirs.
        show_predictions (bool): whether the model's guess may be looked at; it pulls people towards it.
    """
    who: str | None = None
    show_predictions: bool = False

    def __post_init__(self) -> None:
        if self.who is not None:
            object.__setattr__(self, 'who', _name(self.who))


def _name(given: Any) -> str:
    name = person_name(given) if isinstance(given, str) else ''
    if not _NAME.fullmatch(name):
        raise BadRequestError(f'who is {given!r}; expected a name of 1 to 80 characters')
    return name


def _event_json(event: Event, position: int) -> dict[str, Any]:
    return dict(event_id=event.event_id, image=position, kind=event.kind, region=event.region, value=event.value,
                runs=None if event.runs is None else event.runs.ravel().tolist(), undoes=event.undoes,
                duplicate=event.duplicate)


class Api:
    """The JSON API without a web framework: dictionaries in, dictionaries out.

    Args:
        board (TaskBoard): the tasks.
        options (Options): what the page is told.
    """

    def __init__(self, board: TaskBoard, options: Options) -> None:
        self.board, self.options = board, options
        self.request, self.images = board.request, board.images

    def check_request(self, given: Any) -> None:
        """Refuse what was not meant for this request.

        Raises:
            BadRequestError: if it does not say which it was meant for.
            OtherRequestError: if it was meant for another.
        """
        if not isinstance(given, str):
            raise BadRequestError(f'request_id is {given!r}; expected the id of the request that is answered: reload the page')
        if given != self.request.request_id:
            raise OtherRequestError(
                f'this page shows request {given[:12]}; request {self.request.request_id[:12]} of round {self.request.round} is '
                'served here now: reload the page. Answers that were not sent yet wait in the browser for their own request')

    def item(self, position: Any) -> RequestItem:
        """Image by its position in the package."""
        if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(self.request.items):
            raise BadRequestError(f'image is {position!r}; expected 0..{len(self.request.items) - 1}')
        return self.request.items[position]

    def who(self, content: Any) -> str:
        """Name of the sender."""
        name = content.get('who') if isinstance(content, dict) else None
        found = _name(name)
        if self.options.who is not None and found != self.options.who:
            raise BadRequestError(f'this annotator was started for {self.options.who!r}; {found!r} cannot answer here')
        return found

    def package(self) -> dict[str, Any]:
        """What is asked, by whom it may be answered, and the classes."""
        header = self.request.header
        return dict(request_id=self.request.request_id, run=header.get('run', ''), round=self.request.round,
                    rounds=header.get('num_rounds'), kind=self.request.kind, classes=header['classes'], who=self.options.who,
                    blind=self.board.blind, show_predictions=self.options.show_predictions, images=len(self.request.items),
                    folder=self.request.root.name, store=store_path(self.request).name)

    def _keys(self, content: dict[str, Any], name: str) -> list[str]:
        positions = content.get(name, [])
        if not isinstance(positions, list):
            raise BadRequestError(f'{name} is {positions!r}; expected a list of images')
        return [self.item(position).key for position in positions]

    def progress(self, content: dict[str, Any]) -> dict[str, Any]:
        """Counts; keeps the images of ``hold`` for the person and gives those of ``release`` back."""
        who = self.who(content)
        for key in self._keys(content, 'release'):
            self.board.release(who, key)
        self.board.renew(who, self._keys(content, 'hold'))
        return dict(progress=self.board.progress(who), waiting=self.board.waiting(who))

    def tasks(self, content: dict[str, Any]) -> dict[str, Any]:
        """The next task, or the named image beginning with the named region; otherwise as :meth:`progress`."""
        numbers, who, region = self.progress(content), self.who(content), content.get('region', 0)
        key = None if content.get('image') is None else self.item(content['image']).key
        granted = self.board.grant(who, exclude=self._keys(content, 'exclude'), key=key,
                                   region=region if isinstance(region, int) else 0)
        return dict(task=None if granted is None else self._task(who, *granted), **numbers)

    def upcoming(self, content: dict[str, Any]) -> dict[str, Any]:
        """The image that would be next; nobody has it by that."""
        key = self.board.upcoming(self.who(content), exclude=self._keys(content, 'exclude'))
        return dict(image=None if key is None else self.board.position[key])

    def _task(self, who: str, key: str, units: list[int]) -> dict[str, Any]:
        item, position, asked = self.request[key], self.board.position[key], self.images.asked(key)
        events = self.board.store.events(key=key, who=who)
        others, taken = self.board.others(key, who), []
        for value in [] if others is None else np.unique(others[others != NOT_ANSWERED]).tolist():
            runs = runs_of_pixels(asked.flat[others == value])
            taken.append(dict(value=value, runs=runs.ravel().tolist()))
        return dict(image=position, name=item.path, width=item.width, height=item.height, asked=item.asked, units=units,
                    events=[_event_json(event, position) for event in effective(events)], others=taken)

    def events(self, content: dict[str, Any]) -> dict[str, Any]:
        """Store events one by one; one that is refused does not hold up the others."""
        who, session, results = self.who(content), content.get('session'), []
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise BadRequestError(f'session is {session!r}; expected 1 to 64 letters, digits, - or _')
        if not isinstance(content.get('events'), list):
            raise BadRequestError('events is no list')
        for entry in content['events']:
            name = entry.get('event_id') if isinstance(entry, dict) else None
            try:
                key = self.item(entry.get('image') if isinstance(entry, dict) else None).key
                event = parse_event(entry, who=who, session=session, key=key, asked=self.images.asked(key),
                                    num_classes=self.request.num_classes, kind=self.request.kind)
                stored = self.board.append(event)
                results.append(dict(event_id=name, number=stored.number, duplicate=stored.duplicate))
            except (EventError, BadRequestError) as error:
                results.append(dict(event_id=name, error=str(error)))
        return dict(results=results, progress=self.board.progress(who))

    def history(self, content: dict[str, Any]) -> dict[str, Any]:
        """What a person can still take back, the latest last."""
        events = [event for event in effective(self.board.store.events(who=self.who(content)))
                  if event.key in self.board.position][-_HISTORY:]
        return dict(events=[dict(event_id=event.event_id, image=self.board.position[event.key], kind=event.kind,
                                 region=event.region) for event in events])


def create_app(api: Api, guard: Guard) -> Any:
    """Make the Flask application.

    Args:
        api (Api): what it serves.
        guard (Guard): whom it serves.

    Raises:
        ImportError: if Flask is not installed, with the command that installs it.
    """
    try:
        import flask
    except ImportError as error:
        raise ImportError("the annotator page needs Flask and waitress: pip install 'udatools[annotator]'") from error
    app = flask.Flask('udatools.annotator', static_folder=str(_STATIC), static_url_path='/static')
    app.url_map.merge_slashes = False  # no redirects: a path is served or not
    app.config['MAX_CONTENT_LENGTH'] = MAX_BODY

    def failure(status: int, what: str, **more: str) -> Any:
        return flask.make_response(flask.jsonify(error=what, **more), status)

    @app.before_request
    def check() -> Any:
        asked = flask.request
        refusal = guard.refuse(asked.method, dict(asked.headers), cookie=asked.cookies.get(guard.cookie),
                               given_token=asked.args.get('token'), navigation=asked.path == '/')
        return None if refusal is None else failure(refusal.status, refusal.what)

    @app.after_request
    def harden(response: Any) -> Any:
        response.headers.update(RESPONSE_HEADERS)
        response.headers.setdefault('Cache-Control', 'no-store')
        return response

    @app.get('/')
    def page() -> Any:
        response = flask.make_response(flask.send_from_directory(_STATIC, 'index.html'))
        response.headers['Cache-Control'] = 'no-store'
        if guard.token is not None and flask.request.args.get('token') is not None:
            response.set_cookie(guard.cookie, guard.token, httponly=True, samesite='Strict', max_age=30 * 86400)
        return response

    @app.get('/api/package')
    def package() -> Any:
        return flask.jsonify(api.package())

    def posted(name: str, serve: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        def view() -> Any:
            content = flask.request.get_json()
            if not isinstance(content, dict):
                raise BadRequestError('expected a JSON object')
            api.check_request(content.get('request_id'))
            return flask.jsonify(serve(content))
        app.add_url_rule(f'/api/{name}', name, view, methods=['POST'])

    for serve in (api.tasks, api.upcoming, api.events, api.history, api.progress):
        posted(serve.__name__, serve)

    def image_route(name: str, serve: Callable[[RequestItem], Any]) -> None:
        def view(request_id: str, position: int) -> Any:
            api.check_request(request_id)
            return serve(api.item(position))
        app.add_url_rule(f'/api/requests/<request_id>/images/<int:position>/{name}', name, view)

    def binary(data: bytes, media: str) -> Any:
        response = flask.make_response(data)
        response.headers['Content-Type'] = media
        response.headers['Cache-Control'] = 'private, max-age=3600'
        return response

    def picture(item: RequestItem) -> Any:
        return binary(*api.images.picture(item))

    def regions(item: RequestItem) -> Any:
        return binary(api.images.region_runs(item.key), 'application/octet-stream')

    def prediction(item: RequestItem) -> Any:
        if not api.options.show_predictions:
            return failure(403, 'predictions are not shown; start tools/annotate.py with --show-predictions')
        return binary(api.images.prediction(item.key), 'application/octet-stream')

    for serve_image in (picture, regions, prediction):
        image_route(serve_image.__name__, serve_image)

    @app.errorhandler(OtherRequestError)
    def other_request(error: OtherRequestError) -> Any:
        return failure(409, str(error), request_id=api.request.request_id)

    for kind, status in ((BadRequestError, 400), (RecursionError, 400), (ImagesNotFoundError, 404), (ValueError, 409),
                         (StoreError, 503)):
        app.register_error_handler(kind, lambda error, status=status: failure(status, str(error)))
    for status, what in ((400, 'the request is no valid JSON'), (404, 'there is no such page'), (405, 'not possible here'),
                         (413, f'the request is larger than {MAX_BODY} bytes; send fewer answers at once')):
        app.register_error_handler(status, lambda error, status=status, what=what: failure(status, what))
    return app


def own_address(host: str) -> str:
    """Address by which other machines reach one that serves on all of its own; its name where it has no route to any."""
    family, elsewhere = (socket.AF_INET6, '2001:db8::1') if host == '::' else (socket.AF_INET, '192.0.2.1')
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # chooses a route and sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


class Server:
    """A running annotator.

    Args:
        request_dir (str | Path): the request package.
        images (str | Path | None): see :func:`udatools.active.annotator.images.find_image_root`.
        host (str): address to bind.
        port (int): port to bind, 0 for any free one.
        token (str | None): what callers must know; needed unless the host is loopback.
        options (Options): what the page is told.
        board (Any): further arguments of :class:`TaskBoard`.

    Raises:
        ValueError: if the package is incomplete or damaged, or the address would be open to anybody.
        ImagesNotFoundError: if its images are not found.
        StoreError: if the answers belong to another request, or cannot be written.
        ImportError: if the web framework is not installed.
        OSError: if the port is taken.
    """

    def __init__(self, request_dir: str | Path, *, images: str | Path | None = None, host: str = '127.0.0.1', port: int = 8321,
                 token: str | None = None, options: Options | None = None, **board: Any) -> None:
        guard = Guard(host, port, token)
        try:
            import waitress
        except ImportError as error:
            raise ImportError("the annotator page needs Flask and waitress: pip install 'udatools[annotator]'") from error
        request = Request.load(request_dir)
        if request is None:
            raise ValueError(f'{request_dir} is no complete request package: it has no request.json; give the folder of a '
                             'round, for example work_dirs/RUN/requests/round_1')
        self._sockets: dict[int, Any] = {}
        self._stop, self._stopped = threading.Event(), threading.Event()
        self._runner: threading.Thread | None = None
        pictures = PackageImages(request, find_image_root(request, images))
        self.store = AnswerStore(store_path(request), request.request_id)
        try:
            self.board = TaskBoard(pictures, self.store, **board)
            self.app = create_app(Api(self.board, options or Options()), guard)
            self._server = waitress.create_server(self.app, map=self._sockets, host=host, port=port, threads=_THREADS, ident=None,
                                                  max_request_body_size=2 * MAX_BODY, clear_untrusted_proxy_headers=True)
        except BaseException:
            self.store.close()
            raise
        # A name with several addresses, such as localhost, gives several sockets.
        listening = getattr(self._server, 'effective_listen', None) or [(host, self._server.effective_port)]
        guard.port, self.guard = int(listening[0][1]), guard

    @property
    def url(self) -> str:
        """Address to open; one that others can use as well where they may."""
        name = own_address(self.guard.host) if self.guard.host in ANY_ADDRESS else self.guard.host
        name = f'[{name}]' if ':' in name else name
        return f'http://{name}:{self.guard.port}/' + (f'?token={quote(self.guard.token, safe="")}' if self.guard.token else '')

    def run(self) -> None:
        """Serve until :meth:`close`, Ctrl-C or SIGTERM."""
        def stop(*_: object) -> None:
            raise KeyboardInterrupt
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)
        from waitress import wasyncore
        self._runner = threading.current_thread()
        try:
            while not self._stop.is_set():
                wasyncore.loop(timeout=_WAKE_SECONDS, use_poll=True, map=self._sockets, count=1)
        except KeyboardInterrupt:
            pass
        finally:
            self._shut()

    def close(self) -> None:
        """Stop serving; every answer that was confirmed is on disk already."""
        self._stop.set()
        if self._runner is None or self._runner is threading.current_thread():
            self._shut()
        else:
            self._stopped.wait()

    def _shut(self) -> None:
        from waitress import wasyncore
        if self._stopped.is_set():
            return
        self._server.task_dispatcher.shutdown()  # what is being answered is finished first
        wasyncore.close_all(self._sockets)
        self.store.close()
        self._stopped.set()
