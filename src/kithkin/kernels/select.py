"""Selection of rows and columns of compressed rows."""

import numba as nb


@nb.njit(cache=True, nogil=True)
def select_entries(data, indices, indptr, keep, position, out_data, out_indices, out_indptr):
    """Copy the entries of kept rows and columns; returns how many there are.

    data, indices, indptr: compressed rows.
    keep: one boolean per row.
    position: for each column its place in the output, ascending, or -1.
    out_data, out_indices: as long as data.
    out_indptr: int64, one more than rows kept.
    """
    used, row = 0, 0
    out_indptr[0] = 0
    for i in range(len(indptr) - 1):
        if not keep[i]:
            continue
        for k in range(indptr[i], indptr[i + 1]):
            j = position[indices[k]]
            if j >= 0:
                out_data[used] = data[k]
                out_indices[used] = j
                used += 1
        row += 1
        out_indptr[row] = used
    return used
