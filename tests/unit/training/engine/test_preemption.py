import os
import signal
import threading

from medsyn2.training.engine.preemption import catch_sigterm


def test_sigterm_is_noted_instead_of_ending_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catch_sigterm() as received:
        assert not received.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert received.wait(5)
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[bool] = []

    def other() -> None:
        with catch_sigterm() as received:
            seen.append(received.is_set())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [False]
