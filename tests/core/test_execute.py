"""Order, errors and bounds of work over blocks."""

import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution, map_blocks, map_tasks, n_workers, track


def _first(block, start):
    return start, float(block[0, 0])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_rows(threads):
    X = np.arange(100.0).reshape(50, 2)
    found = list(map_blocks(_first, InMemory(X, rows=3), Execution(threads=threads)))
    assert found == [(s, 2.0 * s) for s in range(0, 50, 3)]


def test_a_given_executor_is_used():
    names = set()

    def work(block, start):
        names.add(threading.current_thread().name)

    with ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        list(map_blocks(work, InMemory(np.eye(9), rows=1), Execution(executor=pool)))
    assert names
    assert all(name.startswith("mine") for name in names)


class Noted(ThreadPoolExecutor):
    """Threads that note the bytes of what is sent, as processes would get them, and how much waits."""

    def __init__(self, n):
        super().__init__(n)
        self.sent, self.waiting, self.most = [], 0, 0

    def submit(self, function, /, *arguments):
        self.sent.append(len(pickle.dumps((function, arguments))))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        future = super().submit(function, *arguments)
        future.add_done_callback(lambda _: setattr(self, "waiting", self.waiting - 1))
        return future


def test_an_executor_gets_blocks_of_an_array_and_not_the_array():
    X = np.zeros((4000, 50))
    with Noted(2) as pool:
        assert len(list(map_blocks(_first, InMemory(X, rows=10), Execution(executor=pool)))) == 400
    assert max(pool.sent) < 2 * X[:10].nbytes


def test_twice_as_many_tasks_as_workers_are_under_way():
    gate = threading.Event()

    def work(block, start):
        gate.wait(10)

    with ThreadPoolExecutor(3) as pool:
        found = map_blocks(work, InMemory(np.eye(40), rows=1), Execution(threads=1, executor=pool))
        runner = threading.Thread(target=list, args=(found,))
        runner.start()
        deadline = time.monotonic() + 10
        while pool._work_queue.qsize() < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pool._work_queue.qsize() == 2 * 3 + 1 - 3
        gate.set()
        runner.join()


def test_workers_of_executors_are_counted():
    with ThreadPoolExecutor(5) as threads, ProcessPoolExecutor(3) as processes:
        assert (n_workers(threads), n_workers(processes)) == (5, 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_names_the_rows(threads):
    def fail(block, start):
        if start == 4:
            raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError) as caught:
        list(map_blocks(fail, InMemory(np.eye(8), rows=2), Execution(threads=threads)))
    assert caught.value.__notes__ == ["in rows 4 to 6"]


def test_only_a_few_blocks_are_under_way_at_a_time():
    taken, ahead = 0, 0

    def work(item):
        nonlocal ahead
        ahead = max(ahead, item - taken)
        return item

    for item in map_tasks(work, range(100), Execution(threads=2)):
        assert item == taken
        taken += 1
    assert taken == 100
    assert ahead <= 2 + 2


def test_threads_must_be_at_least_one():
    with pytest.raises(ParameterError, match=r"threads must be in 1\.\.1024, got 0"):
        Execution.of(threads=0)


def test_progress_is_silent_in_a_pipe_and_drawn_on_request(capsys):
    list(track(range(3), Execution(), "work"))
    assert capsys.readouterr().err == ""
    list(track(range(3), Execution(progress=True), "work"))
    assert "work" in capsys.readouterr().err


def test_partial_functions_carry_parameters():
    scale = partial(lambda block, start, factor: float(block.sum()) * factor, factor=2)
    assert sum(map_blocks(scale, InMemory(np.eye(4), rows=1))) == 8.0
