"""Which route of a domain a request takes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.domains import Domain, Rewrite, Route, check_name, host, merged, normal


def domain(*routes: dict[str, Any]) -> Domain:
    return Domain.model_validate({"routes": [{"function": f"f{n}", **one} for n, one in enumerate(routes)]})


def taken(found: Route | frozenset[str] | None) -> str:
    assert isinstance(found, Route)
    return found.function


def test_the_longest_path_that_matches_counts() -> None:
    one = domain({"path": "/*"}, {"path": "/api/*"}, {"path": "/api/v1"}, {"path": "/api/v1*"})
    paths = {
        "/": "f0",
        "/ap": "f0",
        "/api": "f0",
        "/api/": "f1",
        "/api/x/y": "f1",
        "/api/v1": "f2",
        "/api/v1x": "f3",
    }
    assert {path: taken(one.route("GET", path)) for path in paths} == paths


def test_a_path_that_nothing_matches() -> None:
    one = domain({"path": "/api/*"}, {"path": "/exact"})
    assert [one.route("GET", path) for path in ("/", "/exact/", "/exactly", "/API/x")] == [None] * 4


def test_a_method_that_the_best_route_does_not_take_is_not_left_to_a_shorter_one() -> None:
    one = domain({"path": "/*"}, {"path": "/a", "methods": ["GET", "HEAD"]}, {"path": "/a", "methods": ["POST"]})
    assert (taken(one.route("GET", "/a")), taken(one.route("POST", "/a"))) == ("f1", "f2")
    assert one.route("DELETE", "/a") == {"GET", "HEAD", "POST"}
    assert taken(one.route("DELETE", "/b")) == "f0"


def test_escapes_of_what_needs_none_do_not_lead_elsewhere() -> None:
    one = domain({"path": "/*"}, {"path": "/admin/*"})
    assert taken(one.route("GET", "/%61dmin/x")) == "f1"
    assert taken(one.route("GET", "/admin%2Fx")) == "f0", "an escaped slash is none"
    assert normal("/a%2fb%7e%zz%") == "/a%2Fb~%zz%"


def test_rewriting() -> None:
    rules = (Rewrite(match="/api/*", replacement="/v2/$1"), Rewrite(match="/old", replacement="/new"))
    route = Route(function="f", rewrite=rules)
    paths = ("/api/a/b", "/api/", "/old", "/older", "/x")
    assert [route.rewritten(path) for path in paths] == ["/v2/a/b", "/v2/", "/new", "/older", "/x"]


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ([], "at least 1 item"),
        ([{"path": "api"}], "pattern"),
        ([{"path": "/a/*/b"}], "pattern"),
        ([{"methods": ["get"]}], "Input should be 'GET'"),
        ([{"path": "/a"}, {"path": "/a"}], "two routes are for /a"),
        ([{"path": "/a", "methods": ["GET"]}, {"path": "/a", "methods": ["GET", "PUT"]}], "for GET /a"),
        ([{"path": "/a"}, {"path": "/a", "methods": ["GET"]}], "for GET /a"),
        ([{"qualifier": "no good"}], "not the number of a version, an alias"),
        ([{"function": "a@1", "qualifier": "2"}], "has a qualifier already"),
        ([{"rewrite": [{"match": "x", "replacement": "/"}]}], "pattern"),
    ],
)
def test_routes_that_cannot_be(routes: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        domain(*routes)


def test_a_name_alone_has_the_whole_domain() -> None:
    one = Domain.model_validate("chat@prod")
    assert taken(one.route("POST", "/any/where")) == "chat@prod"
    assert one.functions == {"chat"}


def test_names_of_domains() -> None:
    assert check_name("API.Example.com.") == "api.example.com"
    assert check_name("chat.localhost") == "chat.localhost"
    for name in ("localhost", "127.0.0.1", "a..b", "", "a b.c", "ä.example", "x" * 64 + ".com", "a.com:80", "::1"):
        with pytest.raises(ValueError, match=r"host name|reached"):
            check_name(name)


def test_hosts_are_compared_without_case_port_and_root() -> None:
    given = ("API.example.com", "api.example.com:8080", "api.example.com.", "Api.Example.Com.:80")
    assert {host(text) for text in given} == {"api.example.com"}
    assert host("[::1]:80") == "[::1]"


def test_several_blocks_of_a_file_make_one_domain() -> None:
    first = merged({}, "a", domain({"path": "/x"}).routes)
    both = merged({"a": first}, "a", (Route(path="/y", function="g"),))
    assert [route.path for route in both.routes] == ["/x", "/y"]
    with pytest.raises(ValueError, match="two routes are for /x"):
        merged({"a": first}, "a", first.routes)
