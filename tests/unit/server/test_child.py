"""A child's end of the pipe; ``test_app.py`` has the processes."""

import json
import os
import threading
from multiprocessing import Pipe

from medsyn2.server.child import Outbox


def test_messages_are_json_both_ways_and_the_end_of_the_server_is_heard(monkeypatch):
    ours, theirs = Pipe()
    ended, received = threading.Event(), []
    monkeypatch.setattr(os, "_exit", lambda status: ended.set())
    outbox = Outbox(theirs)
    outbox.send({"ready": {"device": "cpu"}})
    assert json.loads(ours.recv_bytes()) == {"ready": {"device": "cpu"}}
    outbox.listen(received.append)
    ours.send_bytes(b'{"cancel": "a"}')
    ours.close()
    assert ended.wait(5)
    assert received == [{"cancel": "a"}]
    ended.clear()
    outbox.send({"step": {}})
    assert ended.is_set()
