import numpy as np  # noqa: F401  (loads a BLAS)
from threadpoolctl import threadpool_info, threadpool_limits

from kithkin.models.table.blas import single_threaded


def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_limit_holds_until_the_last_leaves():
    with threadpool_limits(2, user_api="blas"):
        outer, inner = single_threaded(), single_threaded()
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        assert set(threads()) == {1}
        inner.__exit__(None, None, None)
        assert set(threads()) == {2}
