"""A thread that gives way does not make its process give way."""

from __future__ import annotations

import os
import platform
import threading

import pytest

from baize_shared.thread_priority import yield_to_others

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="only Linux has it")


def test_only_the_calling_thread_gives_way() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    inside: list[int] = []

    def work() -> None:
        yield_to_others()
        inside.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
