import pytest

torch = pytest.importorskip("torch")

from kithkin.models.nn.gates import PenaltyWeight, closed_gates, gate_penalty, noisy_gates  # noqa: E402


def test_the_penalty_is_the_chance_of_an_open_gate():
    assert float(gate_penalty(torch.zeros(2, 2))) == pytest.approx(0.6915, abs=1e-4)  # a normal variable above -1/2
    assert gate_penalty(torch.zeros(2, 3), dim=1).shape == (2,)


def test_the_weight_follows_the_number_of_open_gates():
    assert float(PenaltyWeight(1.0, "cpu").follow(torch.tensor(20.0), 10.0)) > 1
    assert float(PenaltyWeight(1.0, "cpu").follow(torch.tensor(5.0), 10.0)) < 1


def test_noise_stays_within_bounds_and_its_absence_keeps_the_strongest():
    assert noisy_gates(torch.full((1, 1), 9.0), torch.Generator()).tolist() == [[1.0]]
    closed = closed_gates(torch.tensor([[-0.9, -0.8, 0.2]]), torch.tensor([[1.0, 2.0, 0.0]]))
    assert closed.ceil().tolist() == [[0.0, 1.0, 1.0]]
