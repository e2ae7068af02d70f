"""Connections that take too long, or are too many, on a real listener over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.errors import ConfigurationError, RequestTimedOut
from penstock.listening import Certificate, Limits, Listener, bind, most_connections
from penstock.listening.limits import Census, Progress
from tests.authority import Authority
from tests.conftest import missing

SHORT = 0.4
"""Seconds; every limit of these tests that is meant to be hit."""
LONG = 30.0
TOLERANT = 10.0
"""Seconds within which what is to happen has happened, on however busy a machine."""

Open = Callable[..., Awaitable["Served"]]


class Served:
    """A listener, and what its handlers saw."""

    def __init__(self, listener: Listener, host: str, port: int) -> None:
        self.listener = listener
        self.host = host
        self.port = port
        self.bodies: list[bytes] = []
        self.errors: list[BaseException] = []
        self.released = asyncio.Event()

    async def connect(self) -> Peer:
        return Peer(*await asyncio.open_connection(self.host, self.port))


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, text: str) -> None:
        self.writer.write(text.replace("\n", "\r\n").encode())
        await self.writer.drain()

    async def head(self) -> str:
        async with asyncio.timeout(TOLERANT):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def rest(self) -> str:
        """Until it is closed."""
        async with asyncio.timeout(TOLERANT):
            with contextlib.suppress(ConnectionError):
                return (await self.reader.read()).decode()
            return ""


@pytest.fixture
async def open_listener() -> AsyncIterator[Open]:
    stack = contextlib.AsyncExitStack()

    async def opened(certificate: Certificate | None = None, *, host: str = "127.0.0.1", **limits: Any) -> Served:
        named = {f"{name}_timeout": LONG for name in ("header", "body", "idle", "write")} | limits
        app = web.Application(client_max_size=2**26)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

        async def echo(request: web.Request) -> web.Response:
            try:
                served.bodies.append(await request.read())
            except BaseException as error:
                served.errors.append(error)
                raise
            return web.Response(body=served.bodies[-1] or b"nothing")

        async def blind(request: web.Request) -> web.Response:
            return web.Response(status=403, text="not read")

        async def wait(request: web.Request) -> web.Response:
            await served.released.wait()
            return web.Response(text="at last")

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"x" * 65536)
            except BaseException as error:
                served.errors.append(error)
                raise

        async def trickle(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(10):
                await response.write(b": heartbeat\n\n")
                await asyncio.sleep(SHORT / 2)
            return response

        for handler in (echo, blind, wait, endless, trickle):
            app.router.add_route("*", f"/{handler.__name__}", handler)
        await runner.setup()
        listener = Listener(runner, Limits(**named), refuse, certificate)
        (sock,) = bind(host, 0)
        listener.listen(sock)
        served = Served(listener, host, sock.getsockname()[1])
        watching = asyncio.create_task(listener.watch())

        async def close() -> None:
            watching.cancel()
            await listener.close()
            await runner.cleanup()

        stack.push_async_callback(close)
        return served

    async with stack:
        yield opened


def refuse(status: int, code: str, detail: str) -> web.Response:
    return web.json_response({"code": code, "detail": detail}, status=status)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TOLERANT):
        while not condition():
            await asyncio.sleep(0.02)


GET = "GET /echo HTTP/1.1\nHost: a\n\n"
POST = "POST /echo HTTP/1.1\nHost: a\nContent-Length: 1000000\n\n"


async def test_a_silent_connection_is_closed_without_a_word(open_listener: Open) -> None:
    served = await open_listener(header_timeout=SHORT)
    peer = await served.connect()
    assert await peer.rest() == ""
    await until(lambda: served.listener.count == 0)


async def test_headers_that_do_not_end_are_told_so(open_listener: Open) -> None:
    served = await open_listener(header_timeout=SHORT)
    peer = await served.connect()
    await peer.say("GET /echo HTTP/1.1\nHost: a\nX-A")
    said = await peer.rest()
    assert said.startswith("HTTP/1.1 408 ")
    assert '"code": "request_timeout"' in said


async def test_headers_that_drip_in_are_given_no_more_time(open_listener: Open) -> None:
    served = await open_listener(header_timeout=SHORT)
    peer = await served.connect()
    await peer.say("GET /echo HTTP/1.1\nHost: a\n")
    begun = asyncio.get_running_loop().time()
    with contextlib.suppress(ConnectionError):
        while not peer.reader.at_eof() and asyncio.get_running_loop().time() - begun < TOLERANT:
            await peer.say("X-A: b\n")
            await asyncio.sleep(0.02)
            if served.listener.count == 0:
                break
    assert served.listener.count == 0


async def test_a_further_request_has_as_long_as_the_first_from_its_first_byte(open_listener: Open) -> None:
    served = await open_listener(header_timeout=SHORT)
    peer = await served.connect()
    await peer.say(GET)
    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert await peer.reader.readexactly(7) == b"nothing"
    await asyncio.sleep(SHORT * 2)  # idle, which is no offence
    await peer.say(GET)
    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert await peer.reader.readexactly(7) == b"nothing"
    await peer.say("GET /echo HT")
    assert (await peer.rest()).startswith("HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed(open_listener: Open) -> None:
    served = await open_listener(idle_timeout=SHORT)
    peer = await served.connect()
    await peer.say(GET)
    assert (await peer.rest()).endswith("nothing")


async def test_a_handler_may_take_longer_than_any_limit(open_listener: Open) -> None:
    limits = {f"{name}_timeout": SHORT for name in ("header", "body", "idle", "write")}
    served = await open_listener(**limits)
    peer = await served.connect()
    await peer.say("GET /wait HTTP/1.1\nHost: a\n\n")
    await asyncio.sleep(SHORT * 4)
    served.released.set()
    assert (await peer.rest()).endswith("at last")


async def test_a_body_that_stops_ends_its_handler(open_listener: Open) -> None:
    served = await open_listener(body_timeout=SHORT)
    peer = await served.connect()
    await peer.say(POST + "some")
    await until(lambda: bool(served.errors))
    assert isinstance(served.errors[0], RequestTimedOut)
    assert "the body did not come" in str(served.errors[0])
    await peer.rest()
    await until(lambda: served.listener.count == 0)


async def test_a_body_that_drips_in_ends_its_handler(open_listener: Open) -> None:
    served = await open_listener(body_timeout=SHORT, least_rate=1000)
    peer = await served.connect()
    await peer.say(POST)
    with contextlib.suppress(ConnectionError):
        for _ in range(int(TOLERANT / 0.05)):
            await peer.say("x")
            await asyncio.sleep(0.05)
            if served.errors:
                break
    assert isinstance(served.errors[0], RequestTimedOut)


async def test_an_upload_that_comes_on_may_take_its_time(open_listener: Open) -> None:
    served = await open_listener(body_timeout=SHORT, least_rate=10)
    peer = await served.connect()
    await peer.say("POST /echo HTTP/1.1\nHost: a\nContent-Length: 40\nConnection: close\n\n")
    for _ in range(20):
        await peer.say("xx")
        await asyncio.sleep(SHORT / 4)
    assert (await peer.rest()).endswith("x" * 40)
    assert served.bodies == [b"x" * 40]


async def test_a_body_that_nobody_reads_does_not_keep_the_connection(open_listener: Open) -> None:
    served = await open_listener(body_timeout=SHORT)
    peer = await served.connect()
    await peer.say(POST.replace("/echo", "/wait"))
    await asyncio.sleep(SHORT * 3)
    served.released.set()
    assert "at last" in await peer.rest()
    await until(lambda: served.listener.count == 0)


async def test_a_client_that_reads_nothing_is_cut_off(open_listener: Open) -> None:
    served = await open_listener(write_timeout=SHORT)
    peer = await served.connect()
    await peer.say("GET /endless HTTP/1.1\nHost: a\n\n")
    await until(lambda: bool(served.errors))
    await until(lambda: served.listener.count == 0)
    peer.writer.close()


async def test_a_client_that_takes_sips_is_cut_off(open_listener: Open) -> None:
    served = await open_listener(write_timeout=SHORT * 2, least_rate=50_000_000_000)
    peer = await served.connect()
    await peer.say("GET /endless HTTP/1.1\nHost: a\n\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(int(TOLERANT / 0.02)):
            await peer.reader.read(65536)
            await asyncio.sleep(0.02)
            if served.errors:
                break
    assert served.errors
    peer.writer.close()


async def test_an_answer_that_comes_slowly_from_us_is_not_cut(open_listener: Open) -> None:
    limits = {f"{name}_timeout": SHORT for name in ("header", "body", "idle", "write")}
    served = await open_listener(**limits)
    peer = await served.connect()
    await peer.say("GET /trickle HTTP/1.1\nHost: a\nConnection: close\n\n")
    assert (await peer.rest()).count("heartbeat") == 10


async def test_a_body_is_asked_for_when_it_is_read(open_listener: Open) -> None:
    served = await open_listener()
    peer = await served.connect()
    await peer.say("POST /echo HTTP/1.1\nHost: a\nContent-Length: 2\nExpect: 100-continue\n\n")
    assert await peer.head() == "HTTP/1.1 100 Continue\r\n\r\n"
    await peer.say("hi")
    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert await peer.reader.readexactly(2) == b"hi"
    await peer.say(GET)
    assert (await peer.head()).startswith("HTTP/1.1 200"), "the connection goes on"


async def test_a_body_that_nobody_wants_is_not_asked_for(open_listener: Open) -> None:
    served = await open_listener()
    peer = await served.connect()
    await peer.say("POST /blind HTTP/1.1\nHost: a\nContent-Length: 1000000\nExpect: 100-continue\n\n")
    said = await peer.rest()
    assert said.startswith("HTTP/1.1 403")
    assert "Connection: close" in said
    assert "100 Continue" not in said


async def test_a_body_that_does_not_wait_to_be_asked_for_is_taken(open_listener: Open) -> None:
    served = await open_listener()
    peer = await served.connect()
    await peer.say(
        "POST /echo HTTP/1.1\nHost: a\nContent-Length: 2\nExpect: 100-continue\nConnection: close\n\nhi"
    )
    assert (await peer.rest()).endswith("hi")


@pytest.mark.parametrize("sent", ["nonsense\n\n", "GET / HTTP/1.1\nHost: a\nX: \x00\n\n"])
async def test_what_is_no_http_is_told_so_in_our_words(open_listener: Open, sent: str) -> None:
    served = await open_listener()
    peer = await served.connect()
    await peer.say(sent)
    said = await peer.rest()
    assert said.split()[1] == "400"
    assert '"code": "invalid_request"' in said
    assert "Server: penstock" in said
    assert "aiohttp" not in said


async def test_one_connection_too_many_is_told_when_to_come_again(open_listener: Open) -> None:
    served = await open_listener(connections=2)
    kept = [await served.connect(), await served.connect()]
    await until(lambda: served.listener.count == 2)
    said = await (await served.connect()).rest()
    assert said.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 5" in said
    kept[0].writer.close()
    await until(lambda: served.listener.count == 1)
    peer = await served.connect()
    await peer.say(GET)
    assert (await peer.head()).startswith("HTTP/1.1 200")


async def test_one_address_cannot_take_them_all(open_listener: Open) -> None:
    here = own_address()
    served = await open_listener(host=here, connections_per_address=2)
    kept = [await served.connect() for _ in range(2)]
    await until(lambda: served.listener.count == 2)
    said = await (await served.connect()).rest()
    assert said.startswith("HTTP/1.1 503 ")
    assert "from your address" in said
    for peer in kept:
        await peer.say(GET)
        assert (await peer.head()).startswith("HTTP/1.1 200")


def own_address() -> str:
    """Of this machine, and not of its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            missing("a network, for an address beside the loopback's")
        address: str = probe.getsockname()[0]
    return address


def test_addresses_are_counted_apart() -> None:
    proxies = (ip_network("10.0.0.0/8"),)
    census = Census(Limits(connections=7, connections_per_address=1, uncounted=proxies))
    assert census.enter("192.0.2.1") is None
    assert "from your address" in str(census.enter("192.0.2.1"))
    assert "from your address" in str(census.enter("::ffff:192.0.2.1"))
    assert census.enter("192.0.2.2") is None
    assert census.enter("2001:db8:0:1::1") is None
    assert "from your address" in str(census.enter("2001:db8:0:1:ffff::2")), "one client has a /64"
    assert census.enter("2001:db8:0:2::1") is None
    for _ in range(2):
        assert census.enter("10.1.2.3") is None, "behind a proxy are many"
    assert census.enter("127.0.0.1") is None
    assert "7 connections" in str(census.enter("127.0.0.1"))
    census.leave("192.0.2.1")
    assert census.count == 6
    assert census.enter("192.0.2.1") is None


def test_progress_is_measured_in_stretches() -> None:
    progress = Progress(100.0, 0)
    stretch = {"length": 10.0, "rate": 5.0}
    assert not progress.stalled(109.9, 0, **stretch)
    assert not progress.stalled(110.0, 50, **stretch)
    assert not progress.stalled(119.9, 50, **stretch)
    assert progress.stalled(120.0, 99, **stretch)
    idle = Progress(0.0, 7)
    assert not idle.stalled(10.0, 8, length=10.0, rate=0.0)
    assert idle.stalled(20.0, 8, length=10.0, rate=0.0), "without a rate it must come on at all"


def test_connections_leave_room_for_other_files() -> None:
    assert most_connections(None, 1_024) == 384
    assert most_connections(None, 1_000_000) == 20_000
    assert most_connections(30_000, 1_000_000) == 30_000
    with pytest.raises(ValueError, match="1024 open files allow 384 connections"):
        most_connections(400, 1_024)


def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def over_tls(port: int, context: ssl.SSLContext) -> tuple[str, int]:
    """What is answered to a request, and the serial number of the certificate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    certificate = writer.get_extra_info("peercert")
    writer.write(GET.replace("\n", "\r\n").encode())
    async with asyncio.timeout(TOLERANT):
        said = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    return said, int(certificate["serialNumber"], 16)


async def test_https(open_listener: Open, authority: Authority) -> None:
    certificate = Certificate(*authority.issue("server"))
    assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2
    served = await open_listener(certificate, header_timeout=SHORT)
    said, _ = await over_tls(served.port, authority.trusting())
    assert said.startswith("HTTP/1.1 200")
    with pytest.raises(ssl.SSLError):
        await over_tls(served.port, ssl.create_default_context())
    plain = await served.connect()
    await plain.say(GET)
    assert "200" not in await plain.rest()
    silent = await served.connect()
    assert await silent.rest() == "", "a handshake has as long as headers have"
    await until(lambda: served.listener.count == 0)


async def test_a_renewed_certificate_serves_without_a_restart(open_listener: Open, authority: Authority) -> None:
    cert, key = authority.issue("renewed")
    certificate = Certificate(cert, key)
    served = await open_listener(certificate)
    _, first = await over_tls(served.port, authority.trusting())
    assert await certificate.refresh() is False
    other_cert, other_key = authority.issue("other")
    key.write_bytes(other_key.read_bytes())  # half way
    assert await certificate.refresh() is False
    assert (await over_tls(served.port, authority.trusting()))[1] == first
    cert.write_bytes(other_cert.read_bytes())
    assert await certificate.refresh() is True
    assert (await over_tls(served.port, authority.trusting()))[1] != first


async def test_clients_show_a_certificate_where_one_is_asked_for(
    open_listener: Open, authority: Authority
) -> None:
    cert, key = authority.issue("strict")
    served = await open_listener(Certificate(cert, key, authority.certificate))
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await over_tls(served.port, authority.trusting())
    known = authority.trusting()
    known.load_cert_chain(*authority.issue("client"))
    assert (await over_tls(served.port, known))[0].startswith("HTTP/1.1 200")


def test_files_that_are_no_certificate_are_told_by_name(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("good")
    other, _ = authority.issue("mismatched")
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for one, two, said in (
        (tmp_path / "none.pem", key, "tls_cert: .*none.pem: No such file"),
        (cert, tmp_path, "tls_key: .*: Is a directory"),
        (other, key, "tls_cert: .* are no certificate and its key"),
        (text, key, "tls_cert: .* are no certificate and its key"),
        (cert, authority.encrypted_key(), "without a password"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Certificate(one, two)
    with pytest.raises(ConfigurationError, match=r"tls_client_ca: .* holds no certificate"):
        Certificate(cert, key, text)
