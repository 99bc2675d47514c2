"""Words of other programs lead to names that there are."""

import kithkin as kk
from kithkin.core.words import MODELS


def test_models_of_verbs_are_there():
    assert set(MODELS) <= set(kk.__all__)
    assert set(MODELS.values()) <= set(kk.models.__all__)
