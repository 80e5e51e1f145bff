"""The server as it runs, in a process of its own with its children: signals, deaths, restarts."""

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medsyn2.server.session import Session

ROOT = Path(__file__).parents[3]
LONG = {"kind": "generate", "sampling": {"solver": "dopri5", "num_steps": 1000}}


class Server:
    """A running `medsyn2 page`, and one browser."""

    def __init__(self, model, session, *options):
        command = [sys.executable, "-m", "medsyn2", "page", "--model", str(model), "--session", str(session)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--no-browser", *options], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
        )
        line = next(line for line in self.process.stdout if "http://" in line)
        self.link = line.strip()
        self.port, path = re.search(r":(\d+)(/.*)", line).groups()
        status, headers, _ = self.ask("GET", path)
        assert status == 303
        self.cookie = headers["set-cookie"].split(";")[0]

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=60)
        headers = {"Content-Type": "application/json", "Cookie": getattr(self, "cookie", "")}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def get(self, path):
        return json.loads(self.ask("GET", path)[2])

    def start_job(self, order):
        return json.loads(self.ask("POST", "/api/jobs", order)[2])["job"]["id"]

    def wait(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.get("/api/state")
            if condition(state):
                return state
            time.sleep(0.05)
        raise AssertionError(state)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


def is_ready(state):
    return state["model"]["state"] == "ready"


def is_solving(state):
    return state["job"] is not None and state["job"]["done"] > 0


def children_of(pid):
    """The processes that a process has started, by their command."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(path.parent.name))
        except (OSError, ValueError):
            continue
    below, pending = [], [pid]
    while pending:
        more = found.get(pending.pop(), [])
        below += more
        pending += more
    return below


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return tmp_path_factory.mktemp("app") / "session"


@pytest.fixture(scope="module")
def server(tiny_model, session):
    server = Server(tiny_model, session)
    server.wait(is_ready)
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGKILL)


def test_it_listens_to_this_machine_alone(server):
    local = [line.split()[1] for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    own = [address for address in local if int(address.split(":")[1], 16) == int(server.port)]
    assert {address.split(":")[0] for address in own} == {"0100007F"}


def test_a_running_job_is_cancelled_within_a_step(server):
    identifier = server.start_job(LONG)
    server.wait(is_solving)
    start = time.monotonic()
    assert server.ask("DELETE", f"/api/jobs/{identifier}")[0] == 200
    state = server.wait(lambda state: state["job"] is None)
    assert time.monotonic() - start < 5
    assert is_ready(state)
    assert state["history"] == []


def test_a_killed_worker_is_replaced(server):
    server.start_job(LONG)
    server.wait(is_solving)
    before = children_of(server.process.pid)
    for pid in before[-2:]:  # the two that were forked last
        os.kill(pid, signal.SIGKILL)
    server.wait(lambda state: state["job"] is None)
    server.wait(is_ready)
    assert server.ask("POST", "/api/text", {"findings": "A nodule."})[0] == 200


def test_events_are_a_stream(server):
    connection = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=60)
    connection.request("GET", "/api/events", headers={"Cookie": server.cookie})
    answer = connection.getresponse()
    assert answer.getheader("content-type").startswith("text/event-stream")
    answer.fp.readline()
    server.start_job({"kind": "generate", "sampling": {"solver": "euler", "num_steps": 2}})
    lines = []
    while not (lines and '"state": "done"' in lines[-1]):
        lines.append(answer.fp.readline().decode())
    connection.close()
    assert {line.split()[1] for line in lines if line.startswith("event: ")} >= {"job", "result"}


def test_files_are_the_owners(server, session):
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [session, *session.rglob("*")]}
    assert modes == {0}


def test_a_second_server_is_refused_the_session(server, tiny_model, session):
    command = [sys.executable, "-m", "medsyn2", "page", "--model", str(tiny_model), "--session", str(session)]
    result = subprocess.run(
        [*command, "--port", "0"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert result.returncode == 10
    assert "session-in-use" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_signal_ends_it_with_its_processes_and_the_next_start_goes_on(server, tiny_model, session, number):
    if server.process.poll() is not None:
        server.__init__(tiny_model, session)
    history = [item["id"] for item in server.wait(is_ready)["history"]]
    assert len(history) == 1
    server.start_job(LONG)
    server.wait(is_solving)
    below = children_of(server.process.pid)
    assert len(below) >= 3
    assert server.end(number) in (128 + number, -number)
    end = time.monotonic() + 60
    while alive := [pid for pid in below if _is_running(pid)]:
        assert time.monotonic() < end, alive
        time.sleep(0.05)
    with Session(session).hold():
        assert [item["id"] for item in Session(session).all("items")] == history


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
