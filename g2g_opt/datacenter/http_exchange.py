"""One HTTP exchange with an address that a user named: bounded in time and size, no redirects, no proxies."""

from __future__ import annotations

import http.client
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from g2g_opt.errors import InputError, shown

Trouble = Literal["refused", "timed out", "status", "malformed", "oversized"]
_READ_AT_ONCE = 65_536


class ExchangeError(Exception):
    """An exchange that gave no answer that can be used: what kind of trouble, and words on it."""

    def __init__(self, trouble: Trouble, words: str) -> None:
        super().__init__(words)
        self.trouble: Trouble = trouble


@dataclass(frozen=True)
class HttpAddress:
    """An http or https URL in parts; `text` is as it was given."""

    text: str
    secure: bool
    host: str
    port: int | None
    path: str

    @staticmethod
    def parse(text: str) -> HttpAddress:
        """From a URL; `InputError` for another scheme, no host, or a name and password in it."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise InputError(f"{shown(text)} is no URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{shown(text)} is no http:// or https:// address, e.g. http://127.0.0.1:9400/metrics")
        if parts.username is not None or parts.password is not None:
            raise InputError("an address holds a user name or password; give a token file instead (--token-file)")
        if any(not letter.isprintable() or letter == " " for letter in text):
            raise InputError(f"{shown(text)} holds a letter that no URL has")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return HttpAddress(text, parts.scheme == "https", parts.hostname, port, path)


def exchange(
    address: HttpAddress,
    *,
    time_out_s: float,
    bytes_max: int,
    body: bytes | None = None,
    token: str | None = None,
) -> bytes:
    """GET, or POST a JSON `body`, and return what is answered with status 200 to 299; raises `ExchangeError`.

    A redirect is an answer that cannot be used: where commands and tokens go is for the user to say.
    """
    kind = http.client.HTTPSConnection if address.secure else http.client.HTTPConnection
    end_s = time.monotonic() + time_out_s
    connection = kind(address.host, address.port, timeout=time_out_s)
    headers = {"Accept": "text/plain, application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with ExitStack() as ending:
            ending.callback(connection.close)
            connection.request("GET" if body is None else "POST", address.path, body, headers)
            own_socket = connection.sock
            # Where the server closes, the connection forgets the answer, which keeps the socket open.
            response = ending.enter_context(connection.getresponse())
            if not 200 <= response.status < 300:
                raise ExchangeError("status", f"{address.text} answers with status {response.status}")
            found = bytearray()
            while True:
                left_s = end_s - time.monotonic()
                if left_s <= 0.0:
                    raise TimeoutError
                own_socket.settimeout(left_s)
                piece = response.read1(_READ_AT_ONCE)
                if not piece:
                    return bytes(found)
                found += piece
                if len(found) > bytes_max:
                    raise ExchangeError("oversized", f"{address.text} answers with more than {bytes_max} bytes")
    except TimeoutError as error:
        raise ExchangeError("timed out", f"{address.text} gives no answer in {time_out_s:g} s") from error
    except http.client.HTTPException as error:
        raise ExchangeError("malformed", f"{address.text} gives no HTTP answer: {type(error).__name__}") from error
    except OSError as error:
        raise ExchangeError("refused", f"{address.text} cannot be reached: {error.strerror or error}") from error
