import numpy as np
import pytest
from scipy import sparse


@pytest.fixture
def batch_of():
    """Return a function that makes a mini-batch of a table of counts, of one batch and without labels."""
    torch = pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")
    from kithkin.models.latent.likelihood import CountBatch

    def make(X):
        rows = sparse.csr_matrix(X)
        parts = rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data.astype(np.float32)
        size = torch.tensor(np.asarray(X).sum(1), dtype=torch.float32)
        zeros = torch.zeros(len(size), dtype=torch.int64)
        return CountBatch(*map(torch.from_numpy, parts), size, zeros, zeros - 1)

    return make
