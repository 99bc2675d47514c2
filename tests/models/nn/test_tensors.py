"""Tensors in files: what is damaged anywhere is refused in a sentence, or reads the same."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from kithkin.core.errors import FormatError, ParameterError  # noqa: E402
from kithkin.models import GatedClustering, ImageEncoder  # noqa: E402
from kithkin.models.nn.tensors import checked_folder, read_tensors, write_tensors  # noqa: E402

SHORT = {"encdec": (4, 2, 4), "gates_hidden_dim": 4, "clustering_hidden_dim": 4, "aux_hidden_dim": 4, "batch_size": 10,
         "start": "kmeans", "gates_by": "classifier", "ae_non_gated_epochs": 0, "ae_pretrain_epochs": 1,
         "start_global_gates_training_on_epoch": 3, "max_epochs": 4}  # fmt: skip


def mutants(whole, step=1):
    """Yield the file with each byte changed, and cut short."""
    for position in range(0, len(whole), step):
        for change in (0x01, 0x20, 0xFF):
            yield whole[:position] + bytes([whole[position] ^ change]) + whole[position + 1 :]
    yield from (whole[:size] for size in range(0, len(whole), max(step, len(whole) // 50)))


def test_each_byte_is_under_the_checksum(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"x": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3), "half": torch.ones(2, dtype=torch.bfloat16)}
    about = {"kind": "model", "numbers": [1, 2.5], "text": "abc"}
    write_tensors(path, tensors, about)
    same, refused = 0, 0
    for mutant in mutants(path.read_bytes()):
        path.write_bytes(mutant)
        try:
            read, metadata = read_tensors(path, "model")
        except FormatError as error:
            refused += "\n" not in str(error)
            continue
        same += 1  # such as another space in the header
        assert metadata == about
        assert read.keys() == tensors.keys()
        assert all(torch.equal(read[name], tensors[name]) and read[name].dtype == tensors[name].dtype for name in read)
    assert same < 20 < refused


def test_files_without_a_checksum_are_read_as_before(tmp_path):
    import json

    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, str(tmp_path / "a"), metadata={"kithkin": json.dumps({"kind": "model"})})
    assert read_tensors(tmp_path / "a", "model")[0]["x"].tolist() == [1.0, 1.0]


def test_damaged_models_and_checkpoints_are_refused(tmp_path):
    X = np.random.default_rng(0).random((30, 4))
    model, state = tmp_path / "model", tmp_path / "state"
    settings = {"config": SHORT | {"keep_checkpoint": True}, "checkpoint": state}
    fitted = GatedClustering(2, **settings).fit(X)
    fitted.save(model)
    for path, use in (
        (model, lambda: GatedClustering.load(model).predict(X)),
        (state, lambda: GatedClustering(2, **settings).fit(X).labels_),
    ):
        whole = path.read_bytes()
        for mutant in mutants(whole, step=len(whole) // 15):
            path.write_bytes(mutant)
            try:
                labels = use()
            except (FormatError, ParameterError):
                continue
            assert np.array_equal(labels, fitted.labels_)


def test_a_model_that_lacks_what_it_announces_is_refused(tmp_path):
    X = np.random.default_rng(0).random((20, 1, 8, 8))
    ImageEncoder(2, n_epochs=1).fit(X).save(tmp_path / "a")
    for missing in ("scale.low", "encoder.0.weight"):
        tensors, metadata = read_tensors(tmp_path / "a", "image encoder")
        del tensors[missing]
        write_tensors(tmp_path / "b", tensors, metadata)
        with pytest.raises(FormatError, match="b does not hold the weights that it announces"):
            ImageEncoder.load(tmp_path / "b")
    with pytest.raises(FormatError, match="does not hold a model"):
        GatedClustering.load(tmp_path / "a")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FormatError, match=f"no such file: {tmp_path / 'a'}"):
        read_tensors(tmp_path / "a", "model")
    with pytest.raises(ParameterError, match=r"the folder .*nowhere does not exist"):
        checked_folder(tmp_path / "nowhere" / "a")
