import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.shared_neighbors import jaccard_of_links


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("rows", [(0, 40), (7, 23), (5, 5)])
def test_it_is_the_jaccard_index_of_the_neighbourhoods(rows, loops):
    rng = np.random.default_rng(0)
    links = np.triu(rng.random((40, 40)) < 0.2, 0 if loops else 1)
    dense = links | links.T
    graph = sparse.csr_matrix(dense)
    start, stop = rows
    out = np.empty(graph.indptr[stop] - graph.indptr[start], np.float32)
    jaccard_of_links(graph.indptr, graph.indices, start, stop, out)
    sets = [set(np.flatnonzero(row).tolist()) | {i} for i, row in enumerate(dense)]
    ends = [(i, j) for i in range(start, stop) for j in np.flatnonzero(dense[i])]
    assert np.allclose(out, [len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in ends])
