"""Labels and scores spread from a few cells to where they belong, however the cells are named."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.models import Propagation
from kithkin.verbs.propagate import propagate


@pytest.fixture
def groups(finished):
    return finished.read("obs/group")


def sample(groups, every=20):
    return groups.where(np.arange(len(groups)) % every == 0)


def test_a_few_labels_reach_all_cells_of_their_groups(finished, groups):
    finished.write({"obs/some": sample(groups)})
    found = propagate(finished, "obs/some", alpha=0.95)
    assert (found == groups).mean() > 0.98
    pd.testing.assert_series_equal(found, finished.read("obs/propagated"))
    probability, entropy = (finished.read(f"obs/propagated_{name}") for name in ("probability", "entropy"))
    assert ((probability > 0.25) & (probability <= 1)).all()
    assert ((entropy >= 0) & (entropy <= np.log(4) + 1e-6)).all()
    F, about = finished.read("obsm/propagated"), finished.read("uns/propagated")
    assert F.shape == (600, 4)
    np.testing.assert_array_equal(np.asarray(about["classes"])[F.argmax(axis=1)], found.astype(str))
    powers = F.astype(float) ** (1 / about["temperature"])
    np.testing.assert_allclose(powers.max(axis=1) / powers.sum(axis=1), probability, rtol=1e-4)
    assert len(about["residuals"]) == about["n_iterations"].max()


def test_calling_again_is_a_look_up_and_a_change_makes_it_stale(finished, groups, listing, states):
    finished.write({"obs/some": sample(groups)})
    first = propagate(finished, "some")
    before = listing(finished)
    pd.testing.assert_series_equal(propagate(finished, "some"), first)
    pd.testing.assert_series_equal(propagate(finished, "some", key=None), first)
    assert listing(finished) == before
    finished.write({"obs/some": sample(groups, 30)})
    assert states(finished)["propagate"] == "stale"


def test_alpha_follows_what_is_spread(finished, groups):
    finished.write({"obs/some": sample(groups)})
    for seeds, alpha in (("obs/some", 0.7), ("group == '1'", 0.9)):
        pd.testing.assert_series_equal(
            propagate(finished, seeds, key=None), propagate(finished, seeds, alpha=alpha, key=None)
        )
        propagate(finished, seeds)
        assert finished.read("uns/propagated")["params"]["alpha"] == alpha


def test_probabilities_are_those_of_labels_that_were_held_out(finished, groups, caplog):
    rng = np.random.default_rng(0)
    noisy = groups.astype(str).where(rng.random(600) < 0.8, rng.integers(0, 4, 600).astype(str))
    with caplog.at_level(logging.INFO, "kithkin"):
        propagate(finished, sample(noisy, 2), alpha=0.95, key="some")
    about = finished.read("uns/some")
    assert about["n_held_out"] == 300
    assert 0.75 < about["held_out_accuracy"] < 0.95
    assert about["calibration_error"] < 0.06
    assert "300 labels were held out" in caplog.text
    probability, known = finished.read("obs/some_probability"), np.arange(600) % 2 == 0
    right = (finished.read("obs/some").astype(str) == noisy).to_numpy()
    assert kk.metrics.calibration.expected_calibration_error(probability[~known], right[~known]) < 0.06


def test_one_cell_of_each_label_is_enough_and_not_calibrated(finished, groups, caplog):
    one = groups.where(~groups.duplicated())
    with caplog.at_level(logging.INFO, "kithkin"):
        propagate(finished, one, key="one")
    about = finished.read("uns/one")
    assert about["temperature"] == 1
    assert about["n_held_out"] == 0
    assert np.isnan(about["calibration_error"])
    assert "too few labels to hold some out" in caplog.text


def test_one_set_is_named_in_many_ways_and_gives_the_same(finished, groups):
    mask = (groups == "1").to_numpy()
    finished.write({"obs/chosen": pd.Series(mask, index=finished.obs_names)})
    scores = propagate(finished, "group == '1'")
    assert scores.name == "propagated"
    assert scores.dtype == np.float32
    names = finished.obs_names[mask]
    for seeds in (mask, list(names), names, set(names), mask.astype(float), mask.astype(int), "obs/chosen", "chosen"):
        np.testing.assert_array_equal(propagate(finished, seeds, key=None), scores)
    expected = Propagation().fit(finished.read("obsp/connectivities"), mask).scores_[:, 0]
    np.testing.assert_array_equal(scores, expected)
    one = propagate(finished, finished.obs_names[5], alpha=0.99, key=None)
    assert one.argmax() == 5
    assert groups[one > one.median()].value_counts().idxmax() == groups.iloc[5]


def test_labels_are_named_in_many_ways_and_give_the_same(finished, groups):
    some = sample(groups)
    found = propagate(finished, some, key=None)
    shuffled = some.sample(frac=1, random_state=0)
    texts = some.astype(object)
    for seeds in (some.to_numpy(object), texts, pd.Categorical(some), shuffled, some.set_axis(finished.obs_names)):
        pd.testing.assert_series_equal(propagate(finished, seeds, key=None), found)
    every = [str(label) for label in groups]
    assert (propagate(finished, every, alpha=0.5, key=None) == groups).mean() > 0.98


def test_several_sets_are_a_table(finished, groups):
    table = np.column_stack([groups == "0", groups == "2"])
    F = propagate(finished, table, key="both")
    assert F.shape == (600, 2)
    np.testing.assert_array_equal(F, finished.read("obsm/both"))
    np.testing.assert_array_equal(F[:, 1], propagate(finished, "group == '2'", key=None))
    assert "obs/both" not in finished
    finished.write({"obsm/sets": table.astype(np.float32)})
    np.testing.assert_array_equal(propagate(finished, "obsm/sets", key=None), F)


def test_clusters_are_cleaned_up_unless_they_are_clamped(finished, groups):
    wrong = groups.to_numpy(str).copy()
    flipped = np.random.default_rng(0).choice(600, 60, replace=False)
    wrong[flipped] = [str((int(label) + 1) % 4) for label in wrong[flipped]]
    finished.write({"obs/noisy": pd.Categorical(wrong)})
    clean = propagate(finished, "noisy", alpha=0.8, key="clean")
    assert (clean == groups).mean() > 0.98
    kept = propagate(finished, "noisy", alpha=0.8, clamp=True, key=None)
    assert (kept.to_numpy(str) == wrong).all()


def test_history_is_stored_for_animation(finished):
    scores = propagate(finished, "group == '1'", method="iterative", history=True, alpha=0.999)
    history, about = finished.read("uns/propagated_history"), finished.read("uns/propagated")
    assert history.shape == (1 + about["n_iterations"][0], 600, 1)
    np.testing.assert_array_equal(history[-1][:, 0], scores)
    assert about["residuals"][-1, 0] <= 0.01
    assert about["converged"].all()


def test_parts_without_a_seed_get_nothing_and_a_note(finished, groups, caplog):
    graph = finished.read("obsp/connectivities").tolil()
    graph[:50], graph[:, :50] = 0, 0
    finished.write({"obsp/cut": sparse.csr_matrix(graph)})
    some = sample(groups)
    some.iloc[:50] = None
    with caplog.at_level(logging.WARNING, "kithkin"):
        labels = propagate(finished, some, on="obsp/cut", key=None)
    assert labels[:50].isna().all()
    assert labels[50:].notna().all()
    assert "50 of 600 cells have no score: 50 parts of the graph have no seed" in caplog.text
    caplog.clear()
    table = np.zeros((600, 2), bool)
    table[0, 0] = table[100, 1] = True
    propagate(finished, table, on="obsp/cut", key=None)
    assert "600 of 600 cells have no score of some set" in caplog.text
    caplog.clear()
    propagate(finished, "group == '1'", max_iter=2, key=None)
    assert "changed still after 2 steps" in caplog.text


@pytest.mark.parametrize(
    ("seeds", "settings", "message"),
    [
        ("group == '1'", {"alpha": 1.5}, "alpha must be above 0 and below 1"),
        ("group == '9'", {}, "no observation of cells.zarr meets"),
        ("nothing > 3", {}, "seeds: there is no column 'nothing'"),
        (["nobody"], {}, "1 names of seeds are not in obs of cells.zarr: nobody"),
        ([], {}, "seeds must name at least one"),
        (np.zeros(600, bool), {}, "set 0 has none"),
        (np.ones(599, bool), {}, "seeds must have 600 rows"),
        (pd.Series(["a"] * 599), {}, "seeds must have 600 values, one for each observation, got 599"),
        (pd.Series([None] * 600, dtype=object), {}, "all are missing"),
        ("var/highly_variable", {}, "seeds must lie in obs or obsm"),
        ("group == '1'", {"history": True}, "history needs method='iterative'"),
        ("group == '1'", {"n_neighbors": 5}, "n_neighbors has an effect with a reference only"),
        (np.ones(600), {"reference": "x.zarr"}, "seeds must be a column of the reference"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(finished, seeds, settings, message):
    with pytest.raises(kk.ParameterError, match=message):
        propagate(finished, seeds, **settings)


def test_what_is_missing_is_said(finished):
    with pytest.raises(kk.MissingResultError, match="obs/celltype is not in"):
        propagate(finished, "obs/celltype")
    with pytest.raises(kk.MissingResultError, match="obsp/other_connectivities is not in"):
        propagate(finished, "group == '1'", on="obsp/other_connectivities")


@pytest.mark.parametrize("given", ["path", "dataset"])
def test_labels_of_a_reference_are_carried_over(tmp_path, given):
    counts = kk.datasets.simulate_counts(n_cells=700, n_genes=400, n_groups=4, seed=3)
    reference = kk.read(counts[:400].copy(), to=tmp_path / "reference.zarr")
    query = kk.read(counts[400:, np.random.default_rng(0).permutation(400)[:350]].copy(), to=tmp_path / "query.zarr")
    kk.pca(reference, 10)
    kk.pca(query, 10)
    kk.neighbors(query)
    found = propagate(query, "group", reference=str(reference.path) if given == "path" else reference, alpha=0.5)
    assert (found.astype(str) == query.read("obs/group").astype(str)).mean() > 0.95
    again = propagate(query, "group", reference=reference, alpha=0.5)
    pd.testing.assert_series_equal(found, again)
    parameters = query.history().set_index("step").loc["propagate", "parameters"]
    assert "reference.zarr" in parameters
    with pytest.raises(kk.MissingResultError, match="obs/nothing"):
        propagate(query, "nothing", reference=reference)
    about = query.read("uns/propagated")
    assert about["n_held_out"] == 200
    assert about["held_out_accuracy"] > 0.9
    other = kk.read(np.random.default_rng(0).poisson(1, (50, 30)), to=tmp_path / "other.zarr")
    with pytest.raises(kk.ParameterError, match="share"):
        propagate(other, "group", reference=reference)


def test_labels_of_a_reference_that_nothing_votes_for_score_zero(tmp_path):
    counts = kk.datasets.simulate_counts(n_cells=700, n_genes=400, n_groups=4, seed=3)
    reference = kk.read(counts[:400].copy(), to=tmp_path / "reference.zarr")
    query = kk.read(counts[400:][counts.obs["group"][400:] != "2"].copy(), to=tmp_path / "query.zarr")
    kk.pca(reference, 10)
    kk.pca(query, 10)
    kk.neighbors(query)
    found = propagate(query, "group", reference=reference, method="iterative", history=True)
    assert (found.astype(str) == query.read("obs/group").astype(str)).mean() > 0.95
    F, about = query.read("obsm/propagated"), query.read("uns/propagated")
    assert list(about["classes"]) == ["0", "1", "2", "3"]
    assert F.shape == (query.n_obs, 4)
    assert (F[:, 2] == 0).all()
    assert query.read("uns/propagated_history").shape[2] == 4
    assert about["n_iterations"][2] == 0


def test_threads_and_budget_change_nothing(finished):
    other = kk.open(finished.path, threads=3, memory="50MB")
    np.testing.assert_array_equal(propagate(finished, "obs/group", key=None), propagate(other, "obs/group", key=None))


def test_sparse_tables_and_frames_are_taken_and_tables_of_texts_refused(finished, groups):
    table = np.column_stack([groups == "0", groups == "2"])
    F = propagate(finished, table, key="obsm/sets")
    np.testing.assert_array_equal(propagate(finished, sparse.csr_matrix(table.astype(int)), key=None), F)
    np.testing.assert_array_equal(propagate(finished, pd.DataFrame(table), key=None), F)
    assert "obsm/sets" in finished
    with pytest.raises(kk.ParameterError, match="one column of labels"):
        propagate(finished, np.full((600, 2), "a"))
    with pytest.raises(kk.ParameterError, match="key must lie in obs"):
        propagate(finished, table, key="uns/sets")


def test_row_numbers_are_seeds(finished):
    rows = [5, 0, 411]
    found = propagate(finished, rows, key=None)
    np.testing.assert_array_equal(found, propagate(finished, finished.obs_names[rows].tolist(), key=None))
    for form in (np.array(rows), np.array(rows, np.uint16), tuple(rows)):
        np.testing.assert_array_equal(propagate(finished, form, key=None), found)
    graph = finished.read("obsp/connectivities")
    np.testing.assert_array_equal(Propagation(0.9).fit(graph, rows).scores_[:, 0], found)
    weights = np.zeros(600, int)
    weights[rows] = 1
    np.testing.assert_array_equal(propagate(finished, weights, key=None), found)
    for bad in ([600], [-1], [3, 3], [0.5]):
        with pytest.raises(kk.ParameterError, match="seeds must have 600 rows, one for each vertex, got"):
            propagate(finished, bad, key=None)


@pytest.mark.parametrize("settings", [{}, {"method": "iterative"}], ids=["exact", "iterative"])
def test_convergence_is_said_on_request(finished, capsys, settings):
    said, again, steps = [], [], []
    propagate(finished, "group == '1'", **settings, say=said.append)
    propagate(finished, "group == '1'", **settings, say=again.append)
    residuals = finished["uns/propagated"]["residuals"]
    assert said == again == [f"step {k}: relative change {change:.3g}" for k, (change,) in enumerate(residuals, 1)]
    seeds = (finished.obs["group"] == "1").to_numpy()
    model = Propagation(0.9, **settings)
    model.fit(finished.read("obsp/connectivities"), seeds, callback=lambda *step: steps.append(step))
    np.testing.assert_allclose([change for _, change in steps], model.residuals_[:, 0])
    assert [number for number, _ in steps] == list(range(1, 1 + model.n_iter_[0]))
    propagate(finished, "group == '2'", **settings)
    assert capsys.readouterr().out == "", "a verb does not print"


def test_the_command_says_it_on_request(finished, capsys):
    from kithkin.cli.main import main

    line = ["propagate", str(finished.path), "--seeds", "group == '1'"]
    assert main(line) == 0
    assert "step 1" not in "".join(capsys.readouterr())
    assert main([*line, "--say"]) == 0
    out, err = capsys.readouterr()
    assert "step 1: relative change" in err
    assert "step 1" not in out
