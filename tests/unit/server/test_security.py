import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from medsyn2.server.security import HEADERS, Access, Guard, is_loopback

PORT = 8123
BASE = f"http://127.0.0.1:{PORT}"


async def answer(request):
    return PlainTextResponse("secret")


async def fail(request):
    raise ZeroDivisionError("of /home/somebody")


@pytest.fixture
def access():
    return Access(("127.0.0.1", "localhost", "::1"), PORT)


@pytest.fixture
def client(access):
    routes = [Route("/", answer), Route("/api", answer, methods=["GET", "POST", "DELETE"]), Route("/fail", fail)]
    app = Starlette(routes=[*routes, WebSocketRoute("/socket", answer)])
    return TestClient(Guard(app, access), base_url=BASE, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def known(client, access):
    client.get(access.path)
    assert client.get("/api").text == "secret"
    return client


def test_nothing_is_answered_without_the_cookie(client):
    for method, path in [("GET", "/"), ("GET", "/api"), ("POST", "/api"), ("DELETE", "/api"), ("GET", "/nothing")]:
        response = client.request(method, path)
        assert response.status_code == 403
        assert "secret" not in response.text
    assert "medsyn2 page" in client.get("/").text
    assert client.get("/api").json()["code"] == "cookie-missing"


def test_the_link_works_once_and_gives_a_cookie_that_scripts_and_other_sites_do_not_get(client, access):
    path = access.path
    response = client.get(path)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert str(PORT) in cookie.split("=")[0]
    client.cookies.clear()
    assert client.get(path).status_code == 403


@pytest.mark.parametrize("token", ["", "x", "\u00e9", "a" * 10_000, "None"])
def test_another_token_is_refused_and_the_link_goes_on_working(client, access, token):
    assert client.get("/", params={"token": token}).status_code == 403
    assert client.get(access.path).status_code == 303


def test_two_servers_have_other_secrets_and_cookies():
    one, other = Access(("localhost",), 8000), Access(("localhost",), 8001)
    assert one.path != other.path
    assert one.cookie != other.cookie
    assert len(one.path) > 40


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost:8123", "LOCALHOST:8123", "[::1]:8123"])
def test_the_servers_own_names_are_answered(known, host):
    assert known.get("/api", headers={"Host": host, "Cookie": _cookie(known)}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8123",
        "localhost.evil.example:8123",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.0.0.1:8123@evil.example",
        "127.0.0.1:8123.",
        "0.0.0.0:8123",
        "2130706433:8123",
        "",
    ],
)
def test_a_name_that_was_rebound_to_this_machine_is_refused(known, host):
    response = known.get("/api", headers={"Host": host, "Cookie": _cookie(known)})
    assert (response.status_code, response.json()["code"]) == (403, "host-unknown")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another server on this machine, which gets the cookie too
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://127.0.0.1:8123"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_a_request_of_another_site_is_refused(known, method, headers):
    response = known.request(method, "/api", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "cross-site")


def test_a_form_of_another_site_is_refused_even_for_the_link(client, access):
    assert client.post(access.path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert client.get(access.path, headers=image).status_code == 403
    assert client.get(access.path).status_code == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_page_itself_is_answered(known, method):
    own = {"Sec-Fetch-Site": "same-origin", "Origin": BASE}
    assert known.request(method, "/api", headers=own).status_code == 200


def test_a_person_who_opens_the_address_is_answered(known):
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert known.get("/", headers=typed).status_code == 200
    assert known.get("/", headers={**typed, "Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert known.post("/api", headers=typed).status_code == 403


def test_every_answer_has_the_headers(known, access):
    answers = [known.get("/api"), known.get("/nothing"), known.get("/fail"), known.put("/api")]
    answers += [known.get("/api", headers={"Host": "evil.example"}), TestClient(known.app, base_url=BASE).get("/")]
    assert [one.status_code for one in answers] == [200, 404, 500, 405, 403, 403]
    for one in answers:
        assert {name: one.headers[name] for name in HEADERS} == HEADERS
        assert not [name for name in one.headers if name.startswith("access-control")]
    assert "somebody" not in answers[2].text


def test_the_policy_allows_no_other_source_and_no_markup():
    rules = dict(rule.strip().partition(" ")[::2] for rule in HEADERS["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "http" not in str(rules)
    assert "unsafe" not in str(rules)
    assert {rules[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}


def test_a_socket_is_closed(known):
    with pytest.raises(WebSocketDisconnect), known.websocket_connect("/socket"):
        pass


def _cookie(client):
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::", False),
        ("fe80::1%1", False),
        ("::ffff:192.0.2.1", False),
        ("", False),
    ],
)
def test_an_address_is_this_machine_s_own_or_not(address, is_own):
    assert is_loopback(address) == is_own
