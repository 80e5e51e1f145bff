"""A tool in its own process: many cases to one, and its failures told apart."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medsyn2.errors import EnvironmentFault, SegmenterError, WeightsError
from medsyn2.segmenters.tools.process import MAX_DEATHS, ToolProcess

# A tool that does what a case asks of it. It prints, as tools do, and reads standard input, as none should.
TOOL = """
import os, signal, socket, sys, time
from serve import Refusal
def prepare(settings):
    print("loading", settings)
    if settings.get("weights") == "missing":
        raise Refusal("environment_error", "weights-missing", "the tool needs a.pth", "fetch it")
    if settings.get("import"):
        import a_package_that_is_nowhere
    if settings.get("exit"):
        sys.exit("no licence")
    if settings.get("abort"):
        sys.stderr.write("cannot go on\\n"); sys.stderr.flush(); os.abort()
    return {"count": 0}, {"labels": {}, "home": os.environ.get("TOOL_HOME")}
def segment(tool, request):
    tool["count"] += 1
    print("working")
    do = request["do"]
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "hang":
        child = os.fork()
        if child == 0:
            time.sleep(60); os._exit(0)
        open(request["note"], "w").write(str(child))
        time.sleep(60)
    if do == "refuse":
        raise Refusal("case_error", "no-lungs", "there are no lungs", "look at it")
    if do == "fail":
        raise ValueError("a tool's own trouble")
    if do == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    if do == "network":
        socket.create_connection(("127.0.0.1", request["port"]))
    return {"count": tool["count"], "pid": os.getpid(), "read": sys.stdin.read()}
"""

Start = Callable[..., ToolProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "tiny_tool.py").write_text(TOOL, encoding="utf-8")
    started: list[ToolProcess] = []

    def make(time_limit_s: float = 20.0, python: Path | None = None, **settings: object) -> ToolProcess:
        tool = ToolProcess(
            "tiny",
            "tiny_tool",
            python=python,
            settings=settings,
            time_limit_s=time_limit_s,
            environment={"PYTHONPATH": str(tmp_path), "TOOL_HOME": "{home}"},
            home_files={"config.json": "{}"},
        )
        started.append(tool)
        return tool

    yield make
    for tool in started:
        tool.close()


def gone(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_many_cases_share_one_process_and_its_prints_disturb_nothing(start: Start) -> None:
    tool = start()
    answers = [tool.segment({"do": "work"}) for _ in range(3)]
    assert [answer["count"] for answer in answers] == [1, 2, 3]
    assert len({answer["pid"] for answer in answers}) == 1
    assert {answer["read"] for answer in answers} == {""}


def test_it_has_a_folder_of_its_own_that_is_gone_afterwards(start: Start) -> None:
    first, second = start(), start()
    homes = [Path(tool.start()["home"]) for tool in (first, second)]
    assert homes[0] != homes[1]
    assert (homes[0] / "config.json").read_text("utf-8") == "{}"
    pid = first.segment({"do": "work"})["pid"]
    first.close()
    assert not homes[0].exists()
    assert homes[1].exists()
    assert gone(pid)


@pytest.mark.parametrize(
    ("do", "code", "named"),
    [
        ("refuse", "no-lungs", "there are no lungs"),
        ("fail", "tool-failed", "ValueError: a tool's own trouble"),
        ("memory", "tool-memory", "CUDA out of memory"),
    ],
)
def test_a_failure_of_the_ct_leaves_the_process_to_the_next(start: Start, do: str, code: str, named: str) -> None:
    tool = start()
    pid = tool.segment({"do": "work"})["pid"]
    with pytest.raises(SegmenterError, match=named) as caught:
        tool.segment({"do": do})
    assert caught.value.code == code
    assert caught.value.retry == (code == "tool-memory")
    assert tool.segment({"do": "work"})["pid"] == pid


def test_a_death_is_the_case_s_and_the_next_gets_a_fresh_process(start: Start) -> None:
    tool = start()
    first = tool.segment({"do": "work"})["pid"]
    with pytest.raises(SegmenterError, match="SIGKILL, which the system sends when memory runs out") as caught:
        tool.segment({"do": "die"})
    assert caught.value.code == "tool-died"
    assert caught.value.retry
    after = tool.segment({"do": "work"})
    assert (after["count"], after["pid"] == first) == (1, False)


def test_a_hang_ends_at_the_time_limit_with_all_it_started(start: Start, tmp_path: Path) -> None:
    tool = start(time_limit_s=1.5)
    began = time.monotonic()
    with pytest.raises(SegmenterError, match=r"no result within 1\.5 s") as caught:
        tool.segment({"do": "hang", "note": str(tmp_path / "child")})
    assert caught.value.code == "tool-timeout"
    assert caught.value.retry
    assert time.monotonic() - began < 10
    assert gone(int((tmp_path / "child").read_text("utf-8")))


def test_deaths_alone_are_the_machine_s_fault(start: Start) -> None:
    tool = start()
    for _ in range(MAX_DEATHS - 1):
        with pytest.raises(SegmenterError):
            tool.segment({"do": "die"})
    tool.segment({"do": "work"})
    for _ in range(MAX_DEATHS - 1):
        with pytest.raises(SegmenterError):
            tool.segment({"do": "die"})
    with pytest.raises(EnvironmentFault, match="finished none") as caught:
        tool.segment({"do": "die"})
    assert caught.value.code == "tool-broken"


@pytest.mark.parametrize(
    ("settings", "kind", "code", "named"),
    [
        ({"weights": "missing"}, WeightsError, "weights-missing", "needs a.pth"),
        ({"import": True}, EnvironmentFault, "tool-not-installed", "a_package_that_is_nowhere"),
        ({"exit": True}, EnvironmentFault, "tool-stopped", "no licence"),
        ({"abort": True}, EnvironmentFault, "tool-not-ready", "cannot go on"),
        ({"python": Path("/nowhere/python")}, EnvironmentFault, "tool-not-installed", "/nowhere/python"),
    ],
)
def test_what_no_case_can_help_stops_the_run(
    start: Start, settings: dict[str, object], kind: type[EnvironmentFault], code: str, named: str
) -> None:
    with pytest.raises(kind, match=named) as caught:
        start(**settings).segment({"do": "work"})
    assert caught.value.code == code


def test_no_connection_to_anywhere(start: Start) -> None:
    with pytest.raises(SegmenterError, match="runs tools without a network"):
        start().segment({"do": "network", "port": 80})


def test_the_tool_ends_when_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "tiny_tool.py").write_text(TOOL, encoding="utf-8")
    parent = os.fork()
    if parent == 0:
        tool = ToolProcess(
            "tiny", "tiny_tool", python=None, settings={}, time_limit_s=20, environment={"PYTHONPATH": str(tmp_path)}
        )
        (tmp_path / "pid").write_text(str(tool.segment({"do": "work"})["pid"]), encoding="utf-8")
        os._exit(0)
    os.waitpid(parent, 0)
    assert gone(int((tmp_path / "pid").read_text("utf-8")))
