"""Parts come back as they went in, from memory and from the file."""

import numpy as np
import pytest

from kithkin.io.cutting.pending import Part, Pending


@pytest.mark.parametrize("limit", [0, 300, 10**6])
@pytest.mark.parametrize("masked", [False, True])
def test_parts_come_back(tmp_path, limit, masked):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 9, (2, 3, 10, 10)).astype(np.uint16)
    masks = rng.random((3, 10, 10)) < 0.5
    pending = Pending(np.full(4, 6), limit, tmp_path / "parts")
    for chunk in range(4):
        given = None
        for cell in range(3):
            for rows in ((0, 4), (4, 10)):
                assert given is None
                part = Part(
                    cell,
                    (0, 2),
                    (rows[0], 0),
                    pixels[:, cell, slice(*rows)] + chunk,
                    masks[cell, slice(*rows)] if masked else None,
                )
                given = pending.add(chunk, part)
        out, found = np.zeros_like(pixels), np.zeros_like(masks)
        for one in given:
            one().put(out, found)
        assert np.array_equal(out, pixels + chunk)
        assert np.array_equal(found, masks & masked)
    assert (tmp_path / "parts").exists() == (limit < 10**6)
    pending.close()
    assert not (tmp_path / "parts").exists()
