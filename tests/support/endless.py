"""Work that goes on until it is stopped, for the tests of what stops it."""

import threading


def endless_work(pipe, monkeypatch) -> tuple[threading.Event, threading.Event]:
    """Have a pipeline make no end of a sound; when it has begun, and when it was stopped or the second event is set."""
    entered, left = threading.Event(), threading.Event()

    def make(options, progress):
        entered.set()
        try:
            while not left.wait(0.02):
                progress(1, 2)
        except BaseException:
            left.set()
            raise

    monkeypatch.setattr(pipe, "make", make)
    return entered, left
