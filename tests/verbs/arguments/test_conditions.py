"""The refusal of a condition that nothing meets says what each part keeps, and proposes one that keeps most."""

import numpy as np
import pandas as pd
import pytest

from kithkin.core.query import select
from kithkin.verbs.arguments.conditions import why_nothing

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "n_genes": RNG.integers(20, 50, 1000),
        "pct_mito": RNG.uniform(0, 30, 1000),
        "tiny": RNG.uniform(0, 1e-3, 1000),
        "below": -RNG.uniform(5, 9, 1000),
        "cell type": pd.Categorical(["T", "B"] * 500),
    }
)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("n_genes >= 200", 'n_genes >= 200 keeps 0 of 1,000 cells; the median is 35: cells="n_genes >= 20"'),
        ("pct_mito < 0", 'pct_mito < 0 keeps 0 of 1,000 cells; the median is 14.91: cells="pct_mito <= 30"'),
        ("tiny > 1", 'tiny > 1 keeps 0 of 1,000 cells; the median is 0.0004576: cells="tiny >= 8e-05"'),
        ("below > 0", 'below > 0 keeps 0 of 1,000 cells; the median is -6.96: cells="below >= -9"'),
        (
            "n_genes > 200 and pct_mito < 40",
            'pct_mito < 40 keeps 1,000; the median is 14.91: cells="n_genes >= 20 and pct',
        ),
        ("`cell type` == 'NK'", "`cell type` == 'NK' keeps 0 of 1,000 cells; cell type holds B, T, so that no cells"),
        ("n_genes - pct_mito > 99", "n_genes - pct_mito > 99 keeps 0 of 1,000 cells, so that no cells are left"),
    ],
)
def test_each_part_is_counted_and_a_limit_proposed(condition, said):
    message = why_nothing(FRAME, condition, "cells")
    assert said in message
    if "cells=" in message:
        kept = select(FRAME, message.rpartition('cells="')[2][:-1])
        assert 0.85 <= kept.mean() <= 1
