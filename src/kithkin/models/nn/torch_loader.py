"""Mini-batches of a table on disk as an iterable dataset of torch, shared out among workers and ranks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from scipy import sparse
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from kithkin.core.errors import check, check_range
from kithkin.core.loader import Batch, Loader

BETA = "Sparse CSR tensor support is in beta"  # of every process, once


class TorchLoader(IterableDataset[Batch]):
    """Mini-batches of tensors: X, rows (int64), and the chosen columns of obs.

    Pools of rows are shared out among workers, so that the batches are the same for any number of them, in another
    order. Each worker holds a pool of its own. Epochs differ as they do in torch: where `set_epoch` was not called,
    each pass in this process is the next epoch, and workers take the number that torch draws for them, which follows
    from `torch.manual_seed`.

    Parameters
    ----------
    loader
        Batches of arrays.

    Attributes
    ----------
    loader
        Batches of arrays.
    rank
        Number of this process in a distributed training, and the number of processes.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        groups = torch.distributed
        many = groups.is_available() and groups.is_initialized()
        self.rank = (groups.get_rank(), groups.get_world_size()) if many else (0, 1)
        self._epoch = torch.full((1,), -1, dtype=torch.int64).share_memory_()  # workers that stay see it change
        self._passes = 0

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Names of the codes of each column of categories or texts."""
        return self.loader.categories

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, on which the order depends beside the seed: call it before each epoch."""
        check_range("epoch", epoch, 0, 2**32 - 1)
        self._epoch[0] = int(epoch)

    def __len__(self) -> int:
        """Number of batches of an epoch, of this rank and all its workers."""
        return self.loader.order.n_batches(self.rank)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch: in a worker, its own."""
        chosen, info = int(self._epoch[0]), get_worker_info()
        epoch = [self._passes if chosen < 0 else chosen]
        self._passes += 1
        if info is not None and chosen < 0:
            alone = self.rank[1] == 1 or not self.loader.order.shuffle
            check(alone, "ranks with workers must agree on the order: call set_epoch(epoch) before each epoch")
            epoch.append(info.seed - info.id)  # the same in all workers
        worker = (0, 1) if info is None else (info.id, info.num_workers)
        for batch in self.loader.batches(epoch, worker, self.rank):
            obs = {name: torch.from_numpy(values) for name, values in batch.obs.items()}
            yield Batch(as_tensor(batch.X), torch.from_numpy(batch.rows), obs)


def as_tensor(X: Any) -> Tensor:
    """Return an array, or a SciPy CSR matrix, as a tensor of the same values.

    Examples
    --------
    >>> as_tensor(sparse.csr_matrix([[0, 3], [1, 0]])).to_dense().tolist()
    [[0, 3], [1, 0]]
    """
    if not sparse.issparse(X):
        return torch.from_numpy(X)
    starts, columns, values = (torch.from_numpy(part) for part in (X.indptr, X.indices, X.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=BETA, category=UserWarning)
        return torch.sparse_csr_tensor(starts, columns, values, X.shape, check_invariants=False)
