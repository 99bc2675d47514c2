"""Figures of a page are those that a dataset can give."""

import numpy as np
import pandas as pd
import pytest

from kithkin.reports.pictures import makers_of, pictures_of


@pytest.mark.parametrize(("p", "shown"), [(0.2, []), (1e-9, ["Enriched sets of genes"])])
def test_sets_are_drawn_where_one_is_enriched(dataset, p, shown):
    dataset["obs/mine"] = np.where(np.arange(dataset.n_obs) % 2, "a", "b")
    found = pd.DataFrame(
        {"group": ["a", "b"], "set": ["T cells", "B cells"], "ratio": [3.0, 2.0], "pval_adj": [p, 0.9]}
    )
    dataset["uns/mine_enrichment"] = found
    assert [title for _, title, _, _ in makers_of(dataset, None, {})] == shown
    assert [picture["title"] for picture in pictures_of(dataset, None, {})] == shown
