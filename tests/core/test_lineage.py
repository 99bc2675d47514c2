"""What is stale follows from what was read, however far back; and from nothing else."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.core.history import Step

A = Step("a", 1, {}, ("X", "obs/group"), ("obsm/a",))
B = Step("b", 1, {"p": 1}, ("obsm/a",), ("obs/b", "uns/b"))
C = Step("c", 1, {}, ("obs/b",), ("uns/c",))


@pytest.fixture
def chain(dataset):
    dataset.result(A, lambda: {"obsm/a": np.zeros((600, 2))})
    dataset.result(B, lambda: {"obs/b": np.arange(600), "uns/b": {"x": 1}})
    dataset.result(C, lambda: {"uns/c": {"y": 1}})
    return dataset


def states(ds):
    return ds.history().set_index("step")["state"].to_dict()


def test_all_is_current_after_it_was_made(chain):
    assert set(states(chain).values()) == {"current"}
    assert all(chain.lineage.is_current(step) for step in (A, B, C))


def test_a_change_goes_down_the_whole_chain(chain):
    chain.write({"obs/group": np.arange(600) % 2})
    assert states(chain) == {"read": "current", "quality": "current", "a": "stale", "b": "stale", "c": "stale"}
    assert not any(chain.lineage.is_current(step) for step in (A, B, C))


def test_a_key_is_stale_with_the_step_that_wrote_it(chain):
    chain.write({"obs/mine": np.arange(600)})
    assert not any(map(chain.lineage.is_stale_key, ("obsm/a", "obs/b", "uns/b", "uns/c", "obs/mine", "uns/absent")))
    chain.write({"obs/b": np.arange(600)})
    assert [key for key in ("obsm/a", "obs/b", "uns/b", "uns/c", "obs/mine") if chain.lineage.is_stale_key(key)] == [
        "uns/c"
    ]


def test_writing_the_same_by_hand_changes_nothing_below_but_is_no_longer_the_verbs(dataset):
    dataset.write({"obs/mine": np.arange(600)})
    step = Step("m", 1, {}, ("obs/mine",), ("uns/m",))
    dataset.result(step, lambda: {"uns/m": {"x": 1}})
    dataset.write({"obs/mine": np.arange(600)})
    assert dataset.lineage.is_current(step)


def test_writing_over_a_result_by_hand_takes_its_record_away(chain):
    chain.write({"obs/b": np.arange(600)})
    assert not chain.lineage.is_current(B)
    assert states(chain)["c"] == "stale"
    table = chain.history().set_index("step")
    assert table.loc["b", "results"] == "uns/b"


def test_a_result_that_was_deleted_is_made_again(chain):
    import shutil

    shutil.rmtree(chain.path / "uns/b")
    assert not chain.lineage.is_current(B)
    assert chain.lineage.is_current(A)


def test_another_step_that_writes_one_of_several_outputs_makes_the_first_incomplete(chain):
    chain.result(Step("other", 1, {}, (), ("uns/b",)), lambda: {"uns/b": {"x": 2}})
    assert not chain.lineage.is_current(B)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.arange(4), np.arange(4) + 1),
        (sparse.csr_matrix([[1, 0], [0, 1]]), sparse.csr_matrix([[1, 0], [1, 0]])),
        ({"a": 1, "b": {"c": np.arange(2)}}, {"a": 1, "b": {"c": np.arange(1, 3)}}),
        (pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": ["x", "z"]})),
        ("text", "other"),
    ],
)
def test_what_no_step_wrote_is_known_by_its_content(dataset, first, second):
    found = []
    for value in (first, second, first):
        dataset.write({"uns/value": value})
        found.append(dataset.lineage.identity("uns/value"))
    assert found[0] == found[2] != found[1]


def test_categories_count_by_their_texts(dataset):
    found = []
    for names in (["a", "b"], ["b", "a"]):
        labels = pd.Categorical(np.where(np.arange(600) % 2, "a", "b"), categories=names)
        dataset.write({"obs/label": labels})
        found.append(dataset.lineage.identity("obs/label"))
    assert found[0] == found[1]


def test_what_is_missing_has_no_identity_of_its_own(dataset):
    assert dataset.lineage.identity("obsm/nothing") == "missing"


def test_results_of_one_step_belong_together_until_one_is_replaced(chain):
    assert chain.lineage.belongs("uns/b", "obs/b")
    assert chain.lineage.belongs("uns/c", "obs/b"), "it was read"
    assert not chain.lineage.belongs("uns/c", "obsm/a"), "it was not"
    chain.write({"uns/mine": {"x": 1}})
    assert chain.lineage.belongs("uns/mine", "obs/b"), "nobody knows"
    assert chain.lineage.maker("uns/b").verb == "b"
    assert chain.lineage.maker("obs/nothing") is None
    chain.write({"obs/b": np.arange(600) % 3})
    assert not chain.lineage.belongs("uns/b", "obs/b")
    assert not chain.lineage.belongs("uns/c", "obs/b")
    with pytest.raises(ParameterError, match=r"uns/c was made with another obs/b than there is now: run c\(ds\)"):
        chain.lineage.check_belongs("uns/c", "obs/b", "c(ds)")


def test_a_step_before_does_not_part_what_belongs_together(chain):
    chain.write({"obs/group": np.arange(600) % 2})
    assert chain.lineage.belongs("uns/b", "obs/b")
    assert chain.lineage.belongs("uns/c", "obs/b")
