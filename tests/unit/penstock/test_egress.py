"""Where a URL of a client may lead: every address that is not public is refused, however it is written."""

from __future__ import annotations

import ipaddress

import pytest

from penstock.egress import LOOPBACK, Egress, origin, parse_ports
from penstock.errors import InvalidRequest

STRICT = Egress()
LOCAL = Egress(allow=LOOPBACK)

PRIVATE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("127.0.0.1", "127.1.2.3", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "64:ff9b:1::7f00:1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2001::1", "2001:0:7f00:1::1", "2001:db8::1", "2001:2::1", "3fff::1"),
    *("100::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1"),
    *("5f00::1", "1::1", "4000::1", "::2", "::ffff:0:127.0.0.1"),
]
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1"),
    *("192.0.1.1", "198.17.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001:800::200e"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    refused = STRICT.refused(ipaddress.ip_address(address))
    assert refused is not None
    assert "PENSTOCK_CALLBACKS__ALLOW" in refused, "and what to do is said"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert STRICT.refused(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_network_that_is_named_is_allowed_in_every_spelling(address: str) -> None:
    assert LOCAL.refused(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::", "fd00::1", "2002:7f00:1::"])
def test_and_no_other(address: str) -> None:
    assert LOCAL.refused(ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1"),
        *("0x7f.0x0.0x0.0x1", "0", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "a.localhost"),
        *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"),
        *(
            "[2002:7f00:1::]",
            "[fe80::1%25eth0]",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "10.1",
            "[fd00::1]",
        ),
    ],
)
def test_what_plainly_leads_inside_is_refused_when_it_is_submitted(host: str) -> None:
    for port in ("", ":8080"):
        with pytest.raises(InvalidRequest, match="PENSTOCK_CALLBACKS__ALLOW"):
            STRICT.check(f"http://{host}{port}/hook", "Penstock-Callback-Url")


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com", "http://example.com:8080/x?y=1#z", "https://1.1.1.1/", "http://[2606:4700::1]/"),
        *("https://127.0.0.1.example.com/", "https://user:secret@example.com/"),
    ],
)
def test_what_may_lead_outside_is_not(url: str) -> None:
    STRICT.check(url, "Penstock-Callback-Url")


@pytest.mark.parametrize("port", [1, 22, 25, 81, 444, 1023])
def test_a_port_that_is_not_allowed_is_refused(port: int) -> None:
    with pytest.raises(InvalidRequest, match=rf"port {port} is not allowed; .* are: 80, 443, 1024-65535"):
        STRICT.check(f"https://example.com:{port}/", "callbacks")


def test_https_alone_can_be_asked_for() -> None:
    only = Egress(schemes=("https",))
    only.check("https://example.com/", "callbacks")
    with pytest.raises(InvalidRequest, match=r"callbacks 'http://example.com/' must begin with https://"):
        only.check("http://example.com/", "callbacks")


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://x/", "http://", "http://ex ample/", "http://x\\@y/", "//x"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an http:// or https:// URL with a host"):
        STRICT.check(url, "callbacks")


def test_all_urls_of_a_host_have_one_origin() -> None:
    same = ("https://example.com", "HTTPS://EXAMPLE.com:443/x?y", "https://user:secret@example.com/#z")
    assert {origin(url) for url in same} == {"https://example.com:443"}
    assert origin("http://example.com/") == "http://example.com:80"


def test_ports_are_read() -> None:
    assert parse_ports("443") == ((443, 443),)
    assert parse_ports("80, 443 8000-9000") == ((80, 80), (443, 443), (8000, 9000))


@pytest.mark.parametrize("text", ["http", "0", "70000", "9000-8000", "-1", "80-", "1-2-3"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a port nor a range"):
        parse_ports(text)
