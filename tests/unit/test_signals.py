"""Signals become exceptions with the usual status; those that were ignored stay so."""

import signal
import threading

import pytest

from medsyn2.signals import Stopped, collect_stops, raise_stops

pytestmark = pytest.mark.usefixtures("in_foreground")

SIGNALS = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")]


@pytest.mark.parametrize(("number", "status", "name"), SIGNALS)
def test_a_signal_is_raised_with_its_status_and_the_handler_is_put_back(
    number: signal.Signals, status: int, name: str
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"ended by {name}") as caught, raise_stops():
        signal.raise_signal(number)
    assert caught.value.code == status
    assert signal.getsignal(number) is before


def test_collected_signals_end_nothing_but_a_second_ctrl_c_does() -> None:
    with collect_stops() as received:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raise_stops(), collect_stops() as received:
            signal.raise_signal(signal.SIGHUP)
            assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def other() -> None:
        with collect_stops() as received:
            seen.extend((received, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [[], before]
