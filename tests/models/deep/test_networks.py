import pytest

torch = pytest.importorskip("torch")

from kithkin.models.deep.config import DeepConfig  # noqa: E402
from kithkin.models.deep.networks import Networks, gumbel_softmax  # noqa: E402
from kithkin.models.deep.phase import cosine_rate  # noqa: E402
from kithkin.models.deep.published import brief  # noqa: E402


def test_widths_follow_the_table():
    assert Networks(DeepConfig(2).resolved(100, 5), 5, 0, "cpu").encoder.sizes == (5, 256, 256, 512, 10)


def test_the_softmax_of_a_clear_winner_is_one():
    assert gumbel_softmax(torch.tensor([[99.0, 0.0]]), 1.0, torch.Generator()).round().tolist() == [[1.0, 0.0]]


def test_rates_fall_along_a_cosine_and_stay():
    rates = [round(cosine_rate(1.0, 0.2, progress), 3) for progress in (0.0, 0.5, 1.0, 2.0)]
    assert rates == [1.0, 0.6, 0.2, 0.2]


def test_long_values_are_cut_in_messages():
    assert [brief([1] * 1000), brief(1 << 20_000)] == ["[1, 1, 1, 1, 1, 1, ...]", "a number of too many digits"]
