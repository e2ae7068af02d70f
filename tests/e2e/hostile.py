"""Requests that no honest client sends, byte by byte, and what may come of each.

`TAG` in one stands for a name of its own; what a function behind the gateway sees is told apart by it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

HOST = b"Host: localhost\r\n"
PATH = b"/fn/counter/TAG"
INNER = b"GET /fn/counter/smuggled-TAG HTTP/1.1\r\nHost: localhost\r\n\r\n"
REFUSED = frozenset({400})


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    statuses: Collection[int]
    """That it may be answered with, in whatever order; nothing at all and a close will do, too, if it is to be
    refused."""
    seen: int = 0
    """Requests that the function sees of it, exactly."""


def post(headers: bytes, body: bytes = b"", *, version: bytes = b"1.1") -> bytes:
    return b"POST " + PATH + b" HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n" + body


def get(target: bytes, headers: bytes = b"", *, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n"


def chunked(body: bytes, headers: bytes = b"") -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n" + headers, body)


def _lengths() -> list[Case]:
    """One body, and two opinions of how long it is."""
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    turned = b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
    refused = {
        "a length and chunks": post(both, b"0\r\n\r\n" + INNER),
        "chunks and a length": post(turned, b"0\r\n\r\n" + INNER),
        "chunks and no length": post(
            b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", b"5\r\nhello\r\n0\r\n\r\n"
        ),
        "two lengths": post(b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello" + INNER),
        "the same length twice": post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
        "a list of lengths": post(b"Content-Length: 5, 5\r\n", b"hello"),
        "a list of different lengths": post(b"Content-Length: 5, 0\r\n", b"hello" + INNER),
        "a length with a plus": post(b"Content-Length: +5\r\n", b"hello"),
        "a negative length": post(b"Content-Length: -5\r\n", b"hello"),
        "a hexadecimal length": post(b"Content-Length: 0x5\r\n", b"hello"),
        "a length with an exponent": post(b"Content-Length: 5e0\r\n", b"hello"),
        "a length with a fraction": post(b"Content-Length: 5.0\r\n", b"hello"),
        "a length in two words": post(b"Content-Length: 5 5\r\n", b"hello"),
        "a length with an underscore": post(b"Content-Length: 1_0\r\n", b"hellohello"),
        "an empty length": post(b"Content-Length: \r\n", b"hello"),
        "a length that is a word": post(b"Content-Length: five\r\n", b"hello"),
        "a length in other digits": post("Content-Length: \N{ARABIC-INDIC DIGIT FIVE}\r\n".encode(), b"hello"),
        "a length beyond 64 bits": post(b"Content-Length: 18446744073709551616\r\n", b"hello"),
        "a length beyond 99 bits": post(b"Content-Length: 1" + b"0" * 30 + b"\r\n", b"hello"),
        "a space before the colon of the length": post(b"Content-Length : 5\r\n", b"hello"),
        "a tab before the colon of the chunks": post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n" + INNER),
        "a folded length": post(b"Content-Length:\r\n 5\r\n", b"hello"),
        "folded chunks": post(
            b"X-Fold: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + INNER
        ),
        "folded chunks, by a tab": post(b"Transfer-Encoding:\r\n\tchunked\r\n", b"0\r\n\r\n"),
        "chunks that are not last": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + INNER),
        "no chunks": post(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n" + INNER),
        "nearly chunks": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + INNER),
        "chunks twice": post(
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + INNER
        ),
        "chunks twice in one": post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n" + INNER),
        "chunks behind a control": post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + INNER),
        "chunks before a null": post(b"Transfer-Encoding: chunked\x00\r\n", b"0\r\n\r\n" + INNER),
        "chunks in quotes": post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n" + INNER),
        "chunks to HTTP/1.0, and a length": post(both, b"0\r\n\r\n" + INNER, version=b"1.0"),
    }
    return [Case(name, data, REFUSED) for name, data in refused.items()]


def _chunks() -> list[Case]:
    long = b"a" * 1_200_000
    refused = {
        "a chunk size that is a word": b"zz\r\nhello\r\n0\r\n\r\n",
        "a negative chunk size": b"-5\r\nhello\r\n0\r\n\r\n",
        "a chunk size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "a chunk size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
        "a chunk size with an underscore": b"1_0\r\nhellohello\r\n0\r\n\r\n",
        "an empty chunk size": b"\r\nhello\r\n0\r\n\r\n",
        "a chunk size behind a space": b" 5\r\nhello\r\n0\r\n\r\n",
        "a chunk size before a space": b"5 \r\nhello\r\n0\r\n\r\n",
        "a chunk size beyond 64 bits": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "a chunk size that wraps around": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "a chunk size ended by a line feed": b"5\nhello\r\n0\r\n\r\n",
        "a chunk size ended by a carriage return": b"5\rhello\r\n0\r\n\r\n",
        "a chunk ended by a line feed": b"5\r\nhello\n0\r\n\r\n" + INNER,
        "a chunk that is longer than it says": b"5\r\nhelloworld\r\n0\r\n\r\n",
        "a chunk that is shorter than it says": b"5\r\nhe\r\n0\r\n\r\n" + INNER,
        "an extension ended by a line feed": b"5;a=b\nhello\r\n0\r\n\r\n",
        "an extension with a null": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
        "a trailer without a colon": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
        "a trailer with a null": b"5\r\nhello\r\n0\r\nX-A: \x00\r\n\r\n",
        "a trailer that is too long": b"5\r\nhello\r\n0\r\nX-A: " + b"a" * 9_000 + b"\r\n\r\n",
    }
    cases = [Case(name, chunked(body), {400, 431}) for name, body in refused.items()]
    return [
        *cases,
        Case("chunks as they should be", chunked(b"5\r\nhello\r\n0\r\n\r\n"), {200}, seen=1),
        Case("an extension", chunked(b'5;name="value"\r\nhello\r\n0\r\n\r\n'), {200}, seen=1),
        Case("a chunk that says it is long", chunked(b"7fffffffffffffff\r\nhello"), {408}),
        Case("an endless extension", chunked(b"5;" + long + b"\r\nhello\r\n0\r\n\r\n"), {200, 400}, seen=1),
        Case(
            "trailers that would be headers",
            chunked(
                b"5\r\nhello\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\nX-Fc-Evil: 1\r\n\r\n"
            ),
            {400},
        ),
        Case("trailers", chunked(b"5\r\nhello\r\n0\r\nX-Fc-Evil: 1\r\nX-Sum: 2\r\n\r\n"), {200}, seen=1),
    ]


def _lines() -> list[Case]:
    one = b"GET " + PATH + b" HTTP/1.1"
    refused = {
        "lines ended by line feeds": one + b"\nHost: localhost\n\n",
        "a request line ended by a line feed": one + b"\n" + HOST + b"\r\n",
        "a header ended by a line feed": one + b"\r\nHost: localhost\nX-A: b\r\n\r\n",
        "a header ended by a carriage return": one + b"\r\nHost: localhost\rX-A: b\r\n\r\n",
        "a carriage return in a value": get(PATH, b"X-A: b\rX-B: c\r\n"),
        "a null in a value": get(PATH, b"X-A: b\x00c\r\n"),
        "a null in a name": get(PATH, b"X-\x00A: b\r\n"),
        "a control in a value": get(PATH, b"X-A: b\x01c\r\n"),
        "a space in a name": get(PATH, b"X A: b\r\n"),
        "a space before a colon": get(PATH, b"X-A : b\r\n"),
        "a name beyond ASCII": get(PATH, "X-Ä: b\r\n".encode()),
        "a name with a bracket": get(PATH, b"X[A]: b\r\n"),
        "no name": get(PATH, b": b\r\n"),
        "no colon": get(PATH, b"nonsense\r\n"),
        "a folded header": get(PATH, b"X-A: b\r\n c\r\n"),
        "a folded first header": one + b"\r\n Host: localhost\r\n\r\n",
        "no Host": one + b"\r\n\r\n",
        "two Hosts": one + b"\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "two different Hosts": one + b"\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/3.7": b"GET " + PATH + b" HTTP/3.7\r\n" + HOST + b"\r\n",
        "HTTP/1.10": b"GET " + PATH + b" HTTP/1.10\r\n" + HOST + b"\r\n",
        "http/1.1": b"GET " + PATH + b" http/1.1\r\n" + HOST + b"\r\n",
        "no version's number": b"GET " + PATH + b" HTTP/\r\n" + HOST + b"\r\n",
        "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "bytes": bytes(range(256)) * 4,
        "nulls": b"\x00" * 2_000,
        "a small method": get(PATH, method=b"get"),
        "no method": b" " + PATH + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        "a method that nobody has": get(PATH, method=b"FROBNICATE"),
        "an endless method": get(PATH, method=b"A" * 10_000),
        "a method with a null": get(PATH, method=b"GE\x00T"),
        "tabs for spaces": b"GET\t" + PATH + b"\tHTTP/1.1\r\n" + HOST + b"\r\n",
        "a space in the target": get(PATH + b" x"),
        "a null in the target": get(PATH + b"\x00"),
        "a control in the target": get(PATH + b"\x01"),
        "a delete in the target": get(PATH + b"\x7f"),
        "UTF-8 in the target": get(PATH + "/ä".encode()),
        "a target that is not UTF-8": get(PATH + b"\xff\xfe"),
        "a target without a slash": get(b"fn/counter/TAG"),
        "only a question": get(b"?a=b"),
        "a broken host's target": get(b"http://[::1/fn/counter/TAG"),
        "a file's target": get(b"file:///fn/counter/TAG"),
        "an authority's target": get(b"localhost:80"),
    }
    return [Case(name, data, REFUSED) for name, data in refused.items()]


def _sizes() -> list[Case]:
    return [
        Case("a target that is too long", get(PATH + b"/" + b"a" * 9_000), {414}),
        Case("a query that is too long", get(PATH + b"?" + b"a" * 9_000), {414}),
        Case("an endless target", b"GET /" + b"a" * 3_000_000, {414}),
        Case("a header that is too long", get(PATH, b"X-A: " + b"a" * 9_000 + b"\r\n"), {431}),
        Case("a name that is too long", get(PATH, b"X-" + b"a" * 9_000 + b": b\r\n"), {431}),
        Case("an endless header", get(PATH, b"X-A: " + b"a" * 3_000_000), {431}),
        Case("too many headers", get(PATH, b"".join(b"X-%d: b\r\n" % n for n in range(200))), {431}),
        Case("endless headers", get(PATH, b"X-A: b\r\n" * 100_000), {431}),
        Case("a body that says it is too long", post(b"Content-Length: 99999999\r\n"), {413}),
        Case(
            "a body that is too long", chunked(b"%x\r\n" % 9_000_000 + b"a" * 9_000_000 + b"\r\n0\r\n\r\n"), {413}
        ),
    ]


def _names() -> list[Case]:
    """Of functions and invocations, which become parts of keys."""
    names = {
        "a null": b"x%00y",
        "a way up": b"..%2f..%2fetc%2fpasswd",
        "a way up in capitals": b"%2E%2E%2Fetc",
        "a line": b"x%0d%0aSet-Cookie:%20a=b",
        "braces of a key": b"%7Bcounter%7D:queued",
        "a star": b"*",
        "capitals": b"COUNTER",
        "something endless": b"a" * 5_000,
        "another direction of text": b"%E2%80%AEretnuoc",
        "what is not UTF-8": b"%ff%fe",
        "a bad escape": b"%zz",
        "a script": b"%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    }
    known = {400, 404}
    cases = [
        Case(f"{name} as a trigger's function", get(b"/fn/" + one + b"/TAG"), known) for name, one in names.items()
    ]
    cases += [Case(f"{name} as a function", get(b"/v1/functions/" + one), known) for name, one in names.items()]
    cases += [
        Case(f"{name} as an invocation", get(b"/v1/functions/counter/invocations/" + one), known)
        for name, one in names.items()
    ]
    cases += [
        Case(f"{name} to be cancelled", get(b"/v1/functions/counter/invocations/" + one, method=b"DELETE"), known)
        for name, one in names.items()
    ]
    cases += [
        Case(f"{name} as a wait", get(b"/v1/functions/counter/invocations?limit=" + one), known)
        for name, one in names.items()
    ]
    return cases


def _methods() -> list[Case]:
    return [
        Case("TRACE", get(PATH, method=b"TRACE"), {405}),
        Case("CONNECT", get(b"evil.example:443", method=b"CONNECT") + INNER, {400, 404, 405}),
        Case("a path to CONNECT to", get(PATH, method=b"CONNECT") + INNER, {400, 404, 405}),
        Case("OPTIONS of everything", get(b"*", method=b"OPTIONS"), {200, 204, 400, 404}),
        Case("everything", get(b"*"), {400, 404}),
        Case(
            "an upgrade to HTTP/2",
            get(PATH, b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"),
            {501},
        ),
        Case("an upgrade elsewhere", get(b"/healthz", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), {200}),
        Case("a method that is not there", get(b"/healthz", method=b"PATCH"), {405}),
        Case(
            "an expectation that nobody has",
            post(b"Expect: magic\r\nContent-Length: 5\r\n", b"hello"),
            {200, 417},
            1,
        ),
        Case("HTTP/1.0", b"GET " + PATH + b" HTTP/1.0\r\nHost: localhost\r\n\r\n", {200}, seen=1),
        Case("HTTP/1.0 without a Host", b"GET " + PATH + b" HTTP/1.0\r\n\r\n", {200}, seen=1),
        Case("its own host's target", get(b"http://localhost/fn/counter/TAG"), {200}, seen=1),
        Case("a fragment", get(PATH + b"#fragment"), {200, 400}, seen=1),
        Case("empty lines first", b"\r\n\r\n" + get(PATH), {200}, seen=1),
        Case("a body of a GET", get(PATH, b"Content-Length: 5\r\n") + b"hello", {200}, seen=1),
        Case("a space behind a length", post(b"Content-Length: 5 \r\n", b"hello"), {200}, seen=1),
        Case(
            "chunks by another name",
            post(b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
            {200},
            1,
        ),
        Case("two at once", get(PATH) + get(PATH), {200}, seen=2),
        Case("nonsense after a request", get(PATH) + b"\x00\x01nonsense\r\n\r\n", {400}),
        Case("two spaces", b"GET  " + PATH + b"  HTTP/1.1\r\n" + HOST + b"\r\n", {200}, seen=1),
        Case("HTTP/0.9", b"GET " + PATH + b"\r\n", {400, 408}),
        Case("another host's target", get(b"http://evil.example/fn/counter/TAG"), {400, 403}),
        Case("another host", b"GET " + PATH + b" HTTP/1.1\r\nHost: evil.example\r\n\r\n", {403}),
        Case("a host that is none", b"GET " + PATH + b" HTTP/1.1\r\nHost: a b\r\n\r\n", {400, 403}),
        Case("an empty host", b"GET " + PATH + b" HTTP/1.1\r\nHost:\r\n\r\n", {400, 403}),
        Case("another origin", get(PATH, b"Origin: https://evil.example\r\n"), {403}),
    ]


def _headers() -> list[Case]:
    """Values that somebody parses."""
    event = b"POST /v1/functions/counter/invocations HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n"
    names = (
        b"Idempotency-Key",
        b"Prefer",
        b"Content-Type",
        b"traceparent",
        b"Penstock-Callback-Url",
        b"Penstock-Priority",
        b"Penstock-Timeout",
        b"Penstock-Max-Queue",
        b"Penstock-Delay",
        b"Penstock-On-Disconnect",
        b"Cookie",
        b"Accept",
        b"Penstock-Retry",
        b"Last-Event-ID",
        b"Authorization",
        b"X-Fc-Invocation-Type",
    )
    bad = {
        "not UTF-8": b"\xff\xfe",
        "long": b"9" * 8_000,
        "brackets": b'{"[(<>;,="\\',
        "unicode": "\u00bd\u00b2".encode(),
    }
    return [
        Case(
            f"{name.decode()}, {what}",
            event + name + b": " + value + b"\r\n\r\n{}",
            {200, 202, 400, 403, 404, 502},
        )
        for name in names
        for what, value in bad.items()
    ]


CASES = (*_lengths(), *_chunks(), *_lines(), *_sizes(), *_names(), *_methods(), *_headers())
