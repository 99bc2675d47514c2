"""A design is read from a formula, and what cannot be compared is refused with the reason."""

import re

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.arguments.design import design_of, terms_of


@pytest.fixture
def cells(made):
    """Four cells of each of eight samples: two batches, four donors with both conditions, and ages."""
    sample = np.repeat(np.arange(8), 4)
    ds = made(
        sample=[f"s{k}" for k in sample],
        condition=np.array(["none", "drug"])[sample % 2],
        donor=[f"d{k // 2}" for k in sample],
        batch=np.array(["b0", "b1"])[sample // 4],
        run=np.array(["r1", "r2"])[sample % 2],
        side=np.array(["left", "right"])[np.arange(32) % 2],
    )
    ds["obs/age"] = 30.5 + (sample * 7) % 11
    return ds


def test_columns_are_intercept_covariates_and_conditions(cells):
    design = design_of(cells, "condition", "sample", "~ batch + age + condition", "none")
    assert design.levels == ["none", "drug"]
    assert design.formula == "~ batch + age + condition"
    columns = design.columns(np.ones(8, bool))
    assert columns[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert columns[:, 2].mean() == pytest.approx(0)
    assert np.corrcoef(columns[:, 2], (np.arange(8) * 7) % 11)[0, 1] == pytest.approx(1)
    assert columns[:, 3].tolist() == [0, 1] * 4


def test_the_first_label_is_the_reference_unless_another_is_named(cells):
    assert design_of(cells, "condition", "sample", None, None).levels == ["drug", "none"]
    with pytest.raises(kk.ParameterError, match=r"has no label 'nona'\. Did you mean 'none'"):
        design_of(cells, "condition", "sample", None, "nona")


def test_samples_with_few_cells_leave_labels_behind(cells):
    design = design_of(cells, "condition", "sample", "~ donor + condition", "none")
    used = np.array([True] * 6 + [False] * 2)
    kept, reason = design.testable(used)
    assert not reason
    assert design.columns(kept).shape == (6, 4)
    kept, reason = design.testable(np.arange(8) < 3)
    assert reason == "2 samples of none, and 1 of drug, where two of each are needed"
    _, reason = design.testable(np.arange(8) < 4)
    assert not reason
    alone = np.array([1, 0, 0, 1, 1, 0, 0, 1], bool)
    assert "cannot be told from obs/donor" in design.testable(alone)[1]
    full = design_of(cells, "condition", "sample", "~ donor + age + condition", "none")
    assert "has 4 coefficients for 4 samples" in full.testable(np.isin(np.arange(8), [0, 1, 4, 5]))[1]


def test_formulas_are_lists_of_columns(cells):
    for text in ("~ donor + condition", "donor+condition", "~ 1 + obs/donor + condition", "~ `donor` + condition"):
        assert terms_of(cells, text, "obs/condition") == ["obs/donor", "obs/condition"]
    for text in (
        "~ donor * condition",
        "~ donor:condition",
        "",
        "~",
        "~ donor + + condition",
        "~ log(age) + condition",
    ):
        with pytest.raises(kk.ParameterError, match=r"design must be columns of obs joined by \+, such as"):
            terms_of(cells, text, "obs/condition")
    with pytest.raises(kk.ParameterError, match="the intercept stays"):
        terms_of(cells, "~ 0 + condition", "obs/condition")
    with pytest.raises(kk.ParameterError, match=r"design must name condition, .* such as '~ donor \+ condition'"):
        terms_of(cells, "~ donor", "obs/condition")
    with pytest.raises(kk.MissingResultError, match=r"obs/doner is not in made\.zarr\. Did you mean 'obs/donor'"):
        terms_of(cells, "~ doner + condition", "obs/condition")


WRONG = {
    "confounded": (("condition", "sample", "~ run + condition"), "cannot be told from obs/run, which determines it"),
    "nested": (("condition", "sample", "~ sample + condition"), "cannot be told from obs/sample, which determines it"),
    "saturated": (("batch", "sample", "~ donor + condition + batch"), "cannot be told from obs/donor"),
    "within": (
        ("condition", "sample", "~ side + condition"),
        "do not change within a sample, and obs/side does",
    ),
    "mixed": (("condition", "donor", None), "sample must name samples of one condition each, but d0 has drug, none"),
    "itself": (("sample", "sample", None), "by must name a condition that several samples share"),
    "one condition": (("condition", "side", None), "sample must name samples of one condition each, but left has"),
    "replicates": (("donor", "sample", None), None),
    "exchanged": (("sample", "condition", None), "by='obs/condition' and sample='obs/sample' may be what is meant"),
    "numbers": (("age", "sample", None), "by must name labels such as obs/leiden, but obs/age holds numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_compared_is_refused(cells, name):
    (by, sample, design), said = WRONG[name]
    if said is None:
        assert design_of(cells, by, sample, design, None).levels == ["d0", "d1", "d2", "d3"]
        return
    with pytest.raises(kk.ParameterError, match=said) as caught:
        design_of(cells, by, sample, design, None)
    assert len(str(caught.value)) < 300


def test_one_sample_a_side_is_refused_with_what_to_do(made):
    ds = made(condition=list("aaabbb"), sample=list("uuuvvv"))
    with pytest.raises(kk.ParameterError, match=r"1 sample of a, and 1 of b, where two of each are needed") as caught:
        design_of(ds, "condition", "sample", None, None)
    assert "kithkin.markers(ds, by='obs/condition'), or add samples" in str(caught.value)


def test_cells_without_a_sample_or_condition_are_left_out(made, caplog):
    ds = made(condition=["a", "a", "b", "b", None, "b"], sample=["1", "2", "3", "4", "4", None])
    design = design_of(ds, "condition", "sample", None, None)
    assert design.samples.codes.tolist() == [0, 1, 2, 3, -1, -1]
    assert "1 row without a label in obs/condition left out" in caplog.text


def test_a_condition_with_one_sample_is_left_out_beside_others(made, caplog):
    ds = made(condition=list("aabbc"), sample=list("12345"))
    design = design_of(ds, "condition", "sample", None, None)
    kept, _ = design.testable(np.ones(5, bool))
    assert kept.tolist() == [True] * 4 + [False]
    assert "conditions with one sample are left out: 2 samples of a, and 2 of b, 1 of c" in caplog.text


def test_a_covariate_must_not_be_missing(cells):
    donor = cells["obs/donor"].astype(object)
    donor.iloc[3] = None
    cells["obs/partly"] = donor
    with pytest.raises(kk.ParameterError, match="obs/partly is missing in s0, which is compared: leave obs/partly out"):
        design_of(cells, "condition", "sample", "~ partly + condition", None)


def test_numbers_are_covariates_whole_or_not_and_categories_are_labels(cells, caplog):
    sample = np.repeat(np.arange(8), 4)
    years = 20 + (sample * 7) % 11
    cells["obs/whole"], cells["obs/halves"] = years, years.astype(float)
    cells["obs/lane"], cells["obs/fresh"] = pd.Categorical(sample // 4), sample // 4 == 1
    used = np.ones(8, bool)
    whole, halves = (
        design_of(cells, "condition", "sample", f"~ {name} + condition", "none").columns(used)
        for name in ("whole", "halves")
    )
    np.testing.assert_array_equal(whole, halves)
    assert np.corrcoef(whole[:, 1], years[::4])[0, 1] == pytest.approx(1)
    assert "the whole numbers of obs/whole are a covariate: make it a categorical column to take labels" in caplog.text
    caplog.clear()
    for name in ("lane", "fresh"):
        columns = design_of(cells, "condition", "sample", f"~ {name} + condition", "none").columns(used)
        assert columns[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert "covariate" not in caplog.text


def test_a_covariate_must_be_finite_and_a_constant_one_is_named(cells, caplog):
    age = cells["obs/age"].to_numpy().copy()
    age[8:12] = np.inf
    cells["obs/endless"], cells["obs/same"], cells["obs/site"] = age, np.full(32, 0.1), ["x"] * 32
    with pytest.raises(kk.ParameterError, match="obs/endless is infinite in s2, which is compared: leave obs/endless"):
        design_of(cells, "condition", "sample", "~ endless + condition", None)
    design = design_of(cells, "condition", "sample", "~ same + site + condition", None)
    assert design.columns(np.ones(8, bool)).shape == (8, 2)
    for key in ("obs/same", "obs/site"):
        assert f"{key} is the same in all samples, and is left out of the design" in caplog.text


def test_a_text_without_letters_is_no_covariate(cells):
    donor = cells["obs/donor"].astype(object)
    donor.iloc[13] = ""
    cells["obs/partly"] = donor
    with pytest.raises(kk.ParameterError, match="obs/partly is missing in s3"):
        design_of(cells, "condition", "sample", "~ partly + condition", None)


def test_numbers_within_a_sample_are_named_briefly(cells):
    cells["obs/noise"] = np.random.default_rng(0).normal(size=32)
    with pytest.raises(kk.ParameterError, match="obs/noise does, but s0 has ") as caught:
        design_of(cells, "condition", "sample", "~ noise + condition", None)
    assert not re.search(r"\d{8}", str(caught.value))


@pytest.mark.parametrize("reference", [1, True, np.int64(1), 1.0, "1"])
def test_a_reference_may_be_a_number_or_a_boolean(cells, reference):
    number = (cells["obs/condition"] == "drug").to_numpy()
    cells["obs/given"] = number if reference is True else number.astype(int)
    levels = design_of(cells, "given", "sample", None, reference).levels
    assert levels == (["True", "False"] if reference is True else ["1", "0"])
    with pytest.raises(kk.ParameterError, match="reference: obs/given has no label '7'"):
        design_of(cells, "given", "sample", None, 7)


def test_what_is_no_column_in_a_formula_is_explained(cells):
    cells["obs/my col"], cells["obs/a+b"] = cells["obs/donor"].to_numpy(), cells["obs/donor"].to_numpy()
    assert terms_of(cells, "~ `my col` + `a+b` + condition", "obs/condition") == [
        "obs/my col", "obs/a+b", "obs/condition",
    ]  # fmt: skip
    for text, why in {
        "~ my col + condition": "put `my col` into backticks",
        "~ donor * condition": "interactions, such as \\*, are not possible",
        "~ C(donor) + condition": r"functions, such as C\(\), are not possible; a categorical",
        "~ `my col + condition": "joined by",
    }.items():
        with pytest.raises(kk.ParameterError, match=why):
            terms_of(cells, text, "obs/condition")
    with pytest.raises(kk.ParameterError, match="such as '~ donor \\+ `my col`'"):
        terms_of(cells, "~ donor", "obs/my col")
