import asyncio

import pytest

from medsyn2.server import helping
from medsyn2.server.helping import MAX_DEATHS, Helpers
from medsyn2.server.problems import Refusal


class Process:
    """A helper's end of the pipe that answers with a function."""

    def __init__(self, helpers, answer):
        self.helpers, self.answer, self.starts, self.kills = helpers, answer, 0, 0

    def start(self):
        self.starts += 1

    def kill(self):
        self.kills += 1

    def send(self, message):
        asyncio.get_running_loop().call_soon(self.answer, self.helpers, message)


def ask(answer, times=1):
    async def run():
        helpers = Helpers()
        process = Process(helpers, answer)
        helpers.employ(process)
        codes = []
        for number in range(times):
            try:
                codes.append(await helpers.ask("text", name="x", number=number))
            except Refusal as error:
                codes.append(error.code)
        return codes, process

    return asyncio.run(run())


def test_each_answer_goes_to_its_question():
    codes, _ = ask(
        lambda helpers, message: helpers.hear({"task": message["task"], "answer": message["arguments"]["number"]}), 3
    )
    assert codes == [0, 1, 2]


def test_an_error_is_that_of_the_helper():
    error = {"status": 422, "code": "mask-full", "message": "a", "remedy": "b"}
    assert ask(lambda helpers, message: helpers.hear({"task": message["task"], "error": error}))[0] == ["mask-full"]


def test_a_helper_that_dies_is_started_again_but_not_for_ever():
    codes, process = ask(lambda helpers, message: helpers.hear_end(), MAX_DEATHS + 2)
    assert codes == ["helper-died"] * (MAX_DEATHS + 2)
    assert process.starts == MAX_DEATHS


def test_a_slow_task_is_given_up_and_the_helper_killed(monkeypatch):
    monkeypatch.setattr(helping, "PATIENCE_S", 0.01)
    codes, process = ask(lambda helpers, message: None)
    assert (codes, process.kills) == (["task-slow"], 1)


def test_without_a_helper_nothing_is_awaited():
    with pytest.raises(Refusal):
        asyncio.run(Helpers().ask("text"))
