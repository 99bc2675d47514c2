import pytest

torch = pytest.importorskip("torch")

from kithkin.core.errors import ParameterError  # noqa: E402
from kithkin.models.nn.device import choose_device, torch_settings, uses_mixed_precision  # noqa: E402


def test_devices_are_known_by_name():
    assert choose_device("cpu") == "cpu"
    with pytest.raises(ParameterError, match="device must be"):
        choose_device("tpu")
    with pytest.raises(ParameterError, match="devices must be 1, got 2"):
        choose_device("cpu", 2)


def test_precision_is_mixed_where_asked_for_and_on_a_gpu():
    assert [uses_mixed_precision("float32", "cpu"), uses_mixed_precision("auto", "cuda")] == [False, True]
    assert uses_mixed_precision("mixed", "cpu")


def test_settings_of_the_process_come_back():
    before = torch.get_num_threads()
    with torch_settings("cpu", threads=before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
