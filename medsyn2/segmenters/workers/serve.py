"""The loop of a tool's process: one JSON request a line on standard input, one JSON answer a line.

    {"settings": {...}}               the first line: make ready, load the weights
    {"ready": {...}}                  its answer: versions, the tool's own label names
    {"case": {...}}                   one CT
    {"done": {...}}                   its answer

An answer is otherwise ``{"case_error": {...}}``, ``{"environment_error": {...}}``, each with code, message and
remedy. The module named on the command line has two functions: ``prepare(settings)`` returns the tool and what
``ready`` says; ``segment(tool, request)`` returns the content of ``done``.

The output of a tool goes to standard error, so that it cannot disturb the answers, and no tool reads the requests.
Sockets to other machines are refused: weights are looked for on the disk, and nothing is reported to anyone.
"""

import importlib
import json
import os
import sys
import traceback
from typing import Any


class Refusal(Exception):
    """An answer that is not a success: ``kind`` is ``case_error`` or ``environment_error``."""

    def __init__(self, kind: str, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.answer = {kind: {"code": code, "message": message, "remedy": remedy}}


def main(module_name: str) -> None:
    """Answer requests until standard input ends, as it does when the process that started this one is gone."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.addaudithook(_refuse_network)
    module: Any = None
    tool: Any = None
    for line in requests:
        request = json.loads(line)
        try:
            if "settings" in request:
                module = importlib.import_module(module_name)
                tool, facts = module.prepare(request["settings"])
                answer = {"ready": facts}
            else:
                answer = {"done": module.segment(tool, request["case"])}
        except Refusal as refusal:
            answer = refusal.answer
        except ImportError as error:
            answer = _environment(
                "tool-not-installed",
                f"{sys.executable} cannot import {error.name or error}: {error}",
                "install the tool into that environment (pip install 'medsyn2[segmentation]'), or name another "
                "Python in segment.python",
            )
        except MemoryError:
            answer = _case(
                "tool-memory",
                "the tool ran out of memory",
                "give the job more memory and run again with --forcerun segment",
            )
        except SystemExit as error:
            # Licence checks of tools end the process this way; the next case would fare no better.
            answer = _environment("tool-stopped", f"the tool stopped itself: {error.code}", "read the stage's log")
        except Exception as error:  # noqa: BLE001 - the tool's code may raise anything; the process goes on
            traceback.print_exc()
            answer = _failure(error, tool is None)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _failure(error: Exception, preparing: bool) -> dict[str, Any]:
    text = f"{type(error).__name__}: {error}"[:500]
    if preparing:
        return _environment("tool-not-ready", f"the tool could not be made ready: {text}", "read the stage's log")
    if "out of memory" in text.lower():
        return _case("tool-memory", text, "use a GPU with more memory, or segment.device: cpu")
    return _case("tool-failed", text, "read the stage's log; look at this CT in a viewer")


def _case(code: str, message: str, remedy: str) -> dict[str, Any]:
    return Refusal("case_error", code, message, remedy).answer


def _environment(code: str, message: str, remedy: str) -> dict[str, Any]:
    return Refusal("environment_error", code, message, remedy).answer


def _refuse_network(event: str, arguments: "tuple[Any, ...]") -> None:
    """Refuse connections and name look-ups; local pipes and sockets of processes among themselves are fine."""
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        raise ConnectionRefusedError("medsyn2 runs tools without a network; it was asked for " + str(arguments[-1]))


if __name__ == "__main__":
    # Tools raise serve.Refusal; without this they would import a second copy of this module.
    sys.modules["serve"] = sys.modules["__main__"]
    main(sys.argv[1])
