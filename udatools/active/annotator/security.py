# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the annotator: this machine, or whoever has the token; never a page from another site.

- Only loopback addresses are bound unless a host *and* a token are given.
- The ``Host`` header must be the address that was bound, so a name that an attacker lets point here (DNS rebinding) is
  refused.
- A request that a browser sent for another site (``Origin``, ``Sec-Fetch-Site``) is refused.
- What changes something must be JSON and carry a header that a form cannot set.
- The token comes once in the address and then in a cookie that scripts cannot read and other sites cannot send.
"""
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: Every changing request carries it, with any value.
HEADER = 'X-Udatools-Annotator'
_COOKIE = 'udatools_annotator'
MAX_BODY = 8 * 1024 * 1024
_MIN_TOKEN = 16
#: Hosts that stand for all addresses of the machine.
ANY_ADDRESS = ('0.0.0.0', '::', '')
_HOST = re.compile(r'(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?')

RESPONSE_HEADERS = {
    'Content-Security-Policy': "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
}


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to be reachable from elsewhere without a token.

    Raises:
        ValueError: if the host is not loopback and there is no token, or the token can be guessed.
    """
    if token is not None and len(token) < _MIN_TOKEN:
        raise ValueError(f'the token has {len(token)} characters; expected at least {_MIN_TOKEN}, for example '
                         f'--token {secrets.token_hex(24)}')
    if not is_loopback(host) and token is None:
        raise ValueError(f'--host {host or "(all)"} can be reached from other machines; give a token as well, for example '
                         f'--token {secrets.token_hex(24)}, or leave --host out to answer on this machine only')


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served.

    Attributes:
        status (int): HTTP status.
        what (str): for the person who reads it.
    """
    status: int
    what: str


@dataclass
class Guard:
    """Decides about one request from its headers.

    Attributes:
        host (str): address that the server is bound to.
        port (int): port that it is bound to.
        token (str | None): what callers must know; None on loopback.
    """
    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_exposure(self.host, self.token)

    @property
    def cookie(self) -> str:
        """Name of the token cookie; cookies are shared by all ports of a host."""
        return f'{_COOKIE}_{self.port}'

    def _host_is_ours(self, given: str) -> bool:
        if self.host in ANY_ADDRESS:
            return True  # any address may be meant, also that of a proxy; the token protects, and its cookie has one name
        match = _HOST.fullmatch(given.lower())
        if match is None or int(match[3] or 80) != self.port:
            return False
        name = match[1] or match[2]
        return name == self.host.lower() or (is_loopback(self.host) and name in ('localhost', '127.0.0.1', '::1'))

    def refuse(self, method: str, headers: Mapping[str, str], *, cookie: str | None, given_token: str | None,
               navigation: bool) -> Refusal | None:
        """Judge a request.

        Args:
            method (str): ``'GET'``, ``'POST'``, ...
            headers (Mapping): looked up by canonical names.
            cookie (str | None): value of the token cookie.
            given_token (str | None): token in the address.
            navigation (bool): whether it is for the page itself, which other sites may link to.

        Returns:
            Refusal | None: None if it is allowed.
        """
        host = headers.get('Host', '')
        if not self._host_is_ours(host):
            return Refusal(421, f'this server is not {host!r}; open the address that tools/annotate.py printed')
        origin = headers.get('Origin')
        if origin is not None and urlsplit(origin)[:2] not in (('http', host), ('https', host)):
            return Refusal(403, f'requests of {origin!r} are refused; open the annotator itself')
        linked = navigation and method == 'GET' and headers.get('Sec-Fetch-Mode') == 'navigate'
        if headers.get('Sec-Fetch-Site', 'same-origin') not in ('same-origin', 'none') and not linked:
            return Refusal(403, 'requests from other sites are refused; open the annotator itself')
        if method not in ('GET', 'HEAD') and HEADER not in headers:
            return Refusal(403, f'the header {HEADER} is missing; only the annotator page may send this')
        if method not in ('GET', 'HEAD') and headers.get('Content-Type', '').split(';')[0].strip() != 'application/json':
            return Refusal(415, 'expected application/json')
        if self.token is not None and not (self._matches(given_token) or self._matches(cookie)):
            return Refusal(401, 'the token is missing or wrong; open the whole address that tools/annotate.py printed, '
                                'with ?token=...')
        return None

    def _matches(self, given: str | None) -> bool:
        if given is None or self.token is None:
            return False
        return hmac.compare_digest(given.encode('utf-8', 'surrogatepass'), self.token.encode('utf-8'))
