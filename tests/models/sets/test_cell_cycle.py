import numpy as np

from kithkin.models.sets.cell_cycle import FORMER, GENES, PHASES, assign_phases


def test_phases_are_those_of_the_higher_score():
    s, g2m = np.array([0.2, -0.2, -0.1, 0.1, 0.0]), np.array([0.1, -0.1, 0.3, 0.1, -0.2])
    assert [PHASES[one] for one in assign_phases(s, g2m)] == ["S", "G1", "G2M", "S", "S"]


def test_the_sets_of_the_paper_are_whole():
    assert {name: len(set(genes)) for name, genes in GENES.items()} == {"S": 43, "G2M": 54}
    assert not set(GENES["S"]) & set(GENES["G2M"])
    assert set(FORMER) <= set(GENES["S"] + GENES["G2M"])
