import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.heap import KeptHeap

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from kithkin.models.deep.gated_clustering import GatedClustering  # noqa: E402
from kithkin.models.deep.networks import cluster_coding_rate, gate_coding_rate  # noqa: E402
from kithkin.models.deep.training import Training  # noqa: E402
from kithkin.models.nn.batches import Scale  # noqa: E402
from kithkin.models.nn.gates import closed_gates  # noqa: E402
from kithkin.models.nn.layers import Layers  # noqa: E402

QUICK = {
    "encdec": (16, 8, 16),
    "gates_hidden_dim": 16,
    "clustering_hidden_dim": 16,
    "aux_hidden_dim": 16,
    "start": "kmeans",
    "gates_by": "classifier",
    "batch_size": 60,
    "ae_non_gated_epochs": 9,
    "ae_pretrain_epochs": 79,
    "start_global_gates_training_on_epoch": 100,
    "max_epochs": 110,
}


def blobs(n=120, seed=0):
    """Three groups in the first three of ten columns; the others are noise."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(3), n // 3))
    X = rng.normal(0, 0.05, (n, 10))
    X[:, :3] += np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])[truth]
    return X, truth


@pytest.fixture(scope="module")
def fitted():
    X, truth = blobs()
    return GatedClustering(3, n_features=3, config=QUICK).fit(X), X, truth


def test_groups_and_gates_are_found(fitted):
    model, X, truth = fitted
    assert all(len(np.unique(model.labels_[truth == k])) == 1 for k in range(3))
    assert model.gates_.shape == X.shape
    assert set(model.feature_counts_) == {"soft", "open", "open_nonzero", "union"}
    assert 1 <= model.feature_counts_["open"] <= 6
    assert np.diff(model.gates_.indptr).min() >= 1
    assert model.global_gates_.shape == (3, 10)
    assert [row["phase"] for row in model.history_][::40] == ["autoencoder", "gates", "head"]


def test_gates_of_clusters_by_their_own_scores():
    X, truth = blobs(150)
    settings = {"config": QUICK | {"gates_by": "scores"}, "n_features": 3}
    model, again = (GatedClustering(3, **settings).fit(InMemory(X, rows=rows)) for rows in (150, 17))
    assert [row["epoch"] for row in model.history_] == list(range(110)), "the head goes on to the last epoch"
    assert len({(a, b) for a, b in zip(model.labels_, truth, strict=True)}) == 3
    opened = model.global_gates_ > 0.55
    assert opened.any(1).all()
    assert not opened[:, 3:].any()
    assert model.gates_accuracy_ > 0.95
    assert np.array_equal(model.labels_, again.labels_)
    assert np.array_equal(model.global_gates_, again.global_gates_)


def test_gates_of_clusters_are_saved_and_a_lone_cluster_has_none(tmp_path):
    X, _ = blobs()
    quick = QUICK | {"gates_by": "scores", "ae_non_gated_epochs": 1, "ae_pretrain_epochs": 5}
    quick |= {"start_global_gates_training_on_epoch": 8, "max_epochs": 10}
    model = GatedClustering(3, config=quick).fit(X)
    model.save(tmp_path / "a.safetensors")
    assert np.allclose(GatedClustering.load(tmp_path / "a.safetensors").global_gates_, model.global_gates_, atol=1e-5)
    alone = GatedClustering(1, config=quick).fit(X)
    assert np.isnan(alone.gates_accuracy_)
    assert np.isnan(alone.global_gates_).all()


def test_a_fit_is_what_the_methods_give(fitted):
    model, X, _ = fitted
    assert np.array_equal(model.predict(X), model.labels_)
    assert np.allclose(model.transform(X), model.embedding_, atol=1e-5)
    assert np.allclose(model.soft_labels(X), model.soft_labels_, atol=1e-5)
    assert abs(model.local_gates(InMemory(X, rows=7)) - model.gates_).max() < 1e-5
    assert model.predict(X[:0]).shape == (0,)


def test_the_same_seed_twice_bit_for_bit(fitted):
    model, X, _ = fitted
    again = GatedClustering(3, n_features=3, config=QUICK).fit(InMemory(X, rows=11))
    assert np.array_equal(again.labels_, model.labels_)
    assert np.array_equal(again.global_gates_, model.global_gates_)
    assert np.array_equal(again.gates_.data, model.gates_.data)
    other = GatedClustering(3, n_features=3, config=QUICK, seed=1).fit(X)
    assert not np.array_equal(other.global_gates_, model.global_gates_)


def test_saved_and_loaded(fitted, tmp_path):
    model, X, _ = fitted
    model.save(tmp_path / "model.safetensors")
    loaded = GatedClustering.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(X), model.labels_)
    assert np.array_equal(loaded.global_gates_, model.global_gates_)
    assert abs(loaded.local_gates(X) - model.local_gates(X)).max() == 0
    (tmp_path / "no").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="not a safetensors file"):
        GatedClustering.load(tmp_path / "no")


@pytest.mark.parametrize("stop", [3, 85, 105])  # in each phase
def test_interrupted_training_goes_on_to_the_same_end(fitted, tmp_path, monkeypatch, stop):
    model, X, _ = fitted
    path = tmp_path / "state"
    config = QUICK | {"checkpoint_seconds": 0.0}
    epoch = Training.run_epoch

    def interrupted(self, phase, number):
        if len(self.history) == stop:
            raise KeyboardInterrupt
        epoch(self, phase, number)

    monkeypatch.setattr(Training, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GatedClustering(3, n_features=3, config=config, checkpoint=path).fit(X)
    assert path.is_file()
    monkeypatch.undo()
    found = GatedClustering(3, n_features=3, config=config, checkpoint=path).fit(X)
    assert len(found.history_) == len(model.history_)
    assert np.array_equal(found.embedding_, model.embedding_)
    assert np.array_equal(found.global_gates_, model.global_gates_)
    assert not path.exists()


SHORT = QUICK | {"ae_non_gated_epochs": 1, "ae_pretrain_epochs": 5, "start_global_gates_training_on_epoch": 8}
SHORT |= {"max_epochs": 10}


def test_a_checkpoint_of_another_table_of_the_same_shape_is_refused(tmp_path):
    X, _ = blobs()
    settings = {"config": SHORT | {"keep_checkpoint": True}, "checkpoint": tmp_path / "a"}
    GatedClustering(3, **settings).fit(X)
    GatedClustering(3, **settings).fit(InMemory(X, rows=7))
    with pytest.raises(ParameterError, match="a is the checkpoint of another table"):
        GatedClustering(3, **settings).fit(X + np.eye(*X.shape))
    with pytest.raises(ParameterError, match=r"the folder .* does not exist"):
        GatedClustering(3, config=SHORT, checkpoint=tmp_path / "b" / "a").fit(X)


def test_the_state_is_written_after_the_first_epoch(tmp_path, monkeypatch):
    X, _ = blobs()
    step = Training.run_epoch

    def interrupted(training, phase, number):
        if number == 1:
            raise KeyboardInterrupt
        step(training, phase, number)

    monkeypatch.setattr(Training, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GatedClustering(3, config=SHORT, checkpoint=tmp_path / "a").fit(X)
    assert (tmp_path / "a").is_file()


@pytest.mark.parametrize("name", ["none", "minmax", "standard", "log1p"])
def test_scales_do_not_depend_on_blocks(name):
    X = np.random.default_rng(0).gamma(2.0, 1.0, (300, 9))
    whole, cut = (Scale.of(InMemory(X, rows=rows), name) for rows in (300, 7))
    assert np.array_equal(whole.dense(X), cut.dense(X))


def test_rows_without_counts_pass():
    X = np.random.default_rng(0).poisson(1.0, (90, 30))
    X[-40:] = 0
    model = GatedClustering(2, config=SHORT).fit(sparse.csr_matrix(X))
    assert np.isfinite(model.embedding_).all()


@pytest.mark.parametrize("shape", [(40, 1), (3, 5), (2, 4)])
def test_the_smallest_tables_pass(shape):
    X = np.random.default_rng(0).random(shape)
    config = SHORT | {"start": "map", "gates_by": "scores"}
    assert len(GatedClustering(2, config=config).fit(X).labels_) == len(X)


def test_a_constant_table_passes():
    model = GatedClustering(2, config=SHORT | {"start": "map"}).fit(np.ones((60, 4)))
    assert np.isfinite(model.soft_labels_).all()


def test_new_rows_must_be_finite(fitted):
    model, X, _ = fitted
    with pytest.raises(ParameterError, match="X must be finite"):
        model.predict(np.where(np.eye(*X.shape) > 0, np.nan, X))


def test_a_head_that_turns_to_the_coding_rate_does_so(fitted):
    _, X, _ = fitted
    config = QUICK | {"refine": True, "tolerance": 0.5, "patience": 2, "max_epochs": 101}
    model = GatedClustering(3, config=config).fit(X)
    assert any(row["compression"] != 0 for row in model.history_ if row["phase"] == "head")


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    X, _ = blobs(60)
    config = SHORT | {"keep_checkpoint": True}
    GatedClustering(3, config=config, checkpoint=tmp_path / "state").fit(X)
    with pytest.raises(ParameterError, match="another table, seed or configuration"):
        GatedClustering(3, config=config, checkpoint=tmp_path / "state", seed=1).fit(X)


def test_the_coding_rate_of_used_gates_opens_none_where_nothing_is():
    X, _ = blobs()
    X = np.hstack([np.abs(X), np.zeros((len(X), 10))])
    empty = {}
    for what in ("open", "used"):
        config = QUICK | {"batch_size": 30, "classifier": False, "gtcr_lambda": 0.3, "gtcr_of": what}
        model = GatedClustering(3, n_features=4, scale="none", config=config).fit(X)
        empty[what] = model.gates_[:, 10:].nnz / len(X)
    assert empty["used"] < 0.01 < 0.1 < empty["open"]


def test_only_shifts_that_have_an_effect_are_trained():
    layers = Layers((3, 4, 2))
    assert [layer.bias.requires_grad for layer in layers.layers] == [False, True]
    assert layers.layers[0].offset.requires_grad


def test_training_holds_the_heap(monkeypatch):
    seen = []
    entered = KeptHeap.__enter__
    monkeypatch.setattr(KeptHeap, "__enter__", lambda self: seen.append(1) or entered(self))
    model = GatedClustering(3, config=QUICK | {"ae_pretrain_epochs": 11, "max_epochs": 101}).fit(blobs()[0])
    held = len(seen)
    assert held >= 1
    model.predict(blobs()[0])
    assert len(seen) == held


def test_each_phase_can_be_left_out():
    X, truth = blobs(60)
    plain = GatedClustering(3, gates=False, config=QUICK).fit(X)
    assert plain.gates_ is None
    assert plain.local_gates(X).nnz == X.size
    assert all(len(np.unique(plain.labels_[truth == k])) == 1 for k in range(3))
    without = GatedClustering(3, config=QUICK | {"classifier": False, "coding_rate": False}).fit(X)
    assert np.isnan(without.global_gates_).all()
    assert "classifier" not in {row["phase"] for row in without.history_}
    assert max(row.get("coding_rate", 0) for row in without.history_) == 0


def test_the_published_head_by_coding_rate_alone():
    X, _ = blobs(60)
    model = GatedClustering(3, config=QUICK | {"start": "none", "refine": True, "gtcr_projection_dim": 4}).fit(X)
    rows = [row for row in model.history_ if row["phase"] == "head"]
    assert rows[0]["compression"] > 0
    assert rows[0]["start"] == 0


def test_of_several_starts_the_best_by_the_graph_stays():
    X, _ = blobs(60)
    model = GatedClustering(3, n_starts=2, config=SHORT).fit(X)
    alone = [GatedClustering(3, config=SHORT, seed=seed).fit(X) for seed in (0, 1_000_003)]
    assert len(model.criteria_) == 2
    assert np.array_equal(model.embedding_, alone[int(np.argmax(model.criteria_))].embedding_)


def test_labels_are_only_looked_at(fitted):
    model, X, truth = fitted
    looked = GatedClustering(3, n_features=3, config=QUICK | {"validate": True, "validate_every": 5}).fit(
        X, labels=np.array(list("abc"))[truth]
    )
    assert np.array_equal(looked.labels_, model.labels_)
    last = [row for row in looked.history_ if "accuracy" in row][-1]
    assert {"silhouette", "davies_bouldin", "nmi", "ari"} < set(last)
    assert last["accuracy"] > 0.9


def test_a_phase_that_has_converged_ends():
    X, _ = blobs(60)
    quick = GatedClustering(3, config=QUICK | {"tolerance": 0.9, "patience": 2}).fit(X)
    assert len(quick.history_) < 60


def test_sparse_counts_and_chosen_columns():
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(1.0, (60, 30)))
    model = GatedClustering(2, n_features=5, config=QUICK).fit(X, columns=np.arange(20))
    assert model.scale_.name == "log1p"
    assert model.gates_.shape == (60, 20)
    assert np.array_equal(model.predict(X), model.labels_)
    with pytest.raises(ParameterError, match="X must have 30 columns as in fit, got 20"):
        model.predict(X[:, :20])


def test_what_is_impossible_is_named():
    X, _ = blobs(60)
    for settings, words in (
        ({"n_clusters": 61}, "n_clusters must be in"),
        ({"n_features": 11}, "n_features must be in"),
        ({"device": "tpu"}, "device must be"),
    ):
        with pytest.raises(ParameterError, match=words):
            GatedClustering(**({"n_clusters": 3} | settings)).fit(X)
    with pytest.raises(ParameterError, match="fit or load"):
        GatedClustering(3).predict(X)


def test_versions_of_a_batch_go_through_as_if_alone():
    layers = Layers((5, 7, 6, 3), generator=torch.Generator().manual_seed(0))
    a, b = torch.randn(8, 5), 3 * torch.randn(8, 5)
    both = layers(torch.stack([a, b], 1).reshape(-1, 5), groups=2).reshape(8, 2, 3)
    assert torch.allclose(both[:, 0], layers(a), atol=1e-5)
    assert torch.allclose(both[:, 1], layers(b), atol=1e-5)


def test_coding_rates_are_those_of_the_definition():
    z = torch.rand(6, 9, dtype=torch.float64)
    W = z.T
    expected = torch.logdet(torch.eye(9) + 9 / (6 * 0.5) * W @ W.T) / 12
    assert torch.allclose(gate_coding_rate(z, 0.5).double(), expected, atol=1e-5)
    h, shares = torch.randn(6, 4), torch.rand(6, 3).softmax(1)
    w = torch.nn.functional.normalize(h, dim=1).T
    total = 0
    for k in range(3):
        P = torch.diag(shares[:, k])
        total += P.trace() / 12 * torch.logdet(torch.eye(4) + 4 / (P.trace() * 0.1) * w @ P @ w.T)
    assert torch.allclose(cluster_coding_rate(h, shares, 0.1), total / 4, atol=1e-4)


def test_no_row_is_without_an_open_gate_on_a_value():
    mu = torch.tensor([[-0.9, -0.7, 0.5], [-0.9, -0.7, -0.5]])
    x = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert closed_gates(mu, x).tolist() == [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]


def test_snapshots_follow_the_training_and_change_nothing(fitted):
    model, X, _ = fitted
    again = GatedClustering(3, n_features=3, config=QUICK | {"frames": 6}).fit(X)
    assert np.array_equal(again.embedding_, model.embedding_)
    assert model.frames_ is None
    frames = again.frames_
    assert frames["coords"].shape == (6, 120, 2)
    assert np.array_equal(frames["rows"], np.arange(120))
    assert np.array_equal(frames["labels"][-1], again.labels_)
    assert (frames["labels"][-2] == again.labels_).mean() > 0.9
    assert frames["epoch"][[0, -2]].tolist() == [0, 99]
    assert list(dict.fromkeys(frames["phase"])) == ["autoencoder", "gates", "head", "end"]
    steps = np.linalg.norm(np.diff(frames["coords"], axis=0), axis=2).mean(1)
    assert np.isfinite(frames["coords"]).all()
    assert steps[-1] < 0.1


def test_snapshots_are_those_of_the_training_that_was_chosen():
    X, _ = blobs()
    quick = QUICK | {"ae_non_gated_epochs": 1, "ae_pretrain_epochs": 5}
    quick |= {"start_global_gates_training_on_epoch": 8, "max_epochs": 10, "frames": 6}
    model = GatedClustering(3, n_starts=2, config=quick).fit(X)
    assert np.array_equal(model.frames_["labels"][-1], model.labels_)


def test_event_files_hold_losses_and_indices(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    X, truth = blobs()
    quick = QUICK | {"tensorboard": str(tmp_path), "log_every_n_steps": 4, "validate": True}
    GatedClustering(3, config=quick).fit(X, labels=truth)
    events = EventAccumulator(str(tmp_path / "0"), size_guidance={"images": 0})
    events.Reload()
    assert {"autoencoder/plain", "gates/gated", "val/silhouette", "val/ari"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("gates/gated")] == list(range(24, 161, 4))
    rates = {name: [event.value for event in events.Scalars(f"lr/{name}")] for name in RATES}
    assert all(np.all(np.diff(values) <= 0) and values[0] > values[-1] for values in rates.values())
    assert rates["pretrain"][0] == pytest.approx(1e-3, rel=0.01)
    pictures = events.Images("val/embedding")
    assert [picture.step for picture in pictures] == list(range(0, 110, 10))
    assert (pictures[0].width, pictures[0].height) == (480, 480)


RATES = ("pretrain", "clustering", "aux_classifier")


def test_a_state_that_is_to_be_kept_is_written_without_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, _ = blobs()
    published = {"save_seed_checkpoints": True, "num_clusters": 3} | SHORT | {"start": "kmeans"}
    for table in (X, X + 1):  # and it is no reason to refuse another table
        GatedClustering(n_starts=2, config=published).fit(table)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "seed_0.safetensors",
        "seed_1000003.safetensors",
    ]


def test_a_gpu_that_is_not_there_is_answered_with_what_goes_before_the_file(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    X, _ = blobs()
    published = {"num_clusters": 3, "trainer": {"accelerator": "gpu"}} | SHORT | {"start": "kmeans"}
    with pytest.raises(ParameterError, match="use device='cpu' or 'auto', which goes before the configuration"):
        GatedClustering(config=published).fit(X)
    assert GatedClustering(config=published, device="cpu").fit(X).device_ == "cpu"


def test_a_published_file_trains_through_all_phases():
    X, _ = blobs()
    published = {
        "num_clusters": 3,
        "batch_size": 60,
        "ae_non_gated_epochs": 1,
        "ae_pretrain_epochs": 5,
        "start_global_gates_training_on_epoch": 8,
        "encdec": [16, 8, 16],
        "clustering_head": [8, 16],
        "aux_classifier": [16],
        "gates_hidden_dim": 16,
        "gtcr_projection_dim": 4,
        "local_gates_lambda": 1,
        "trainer": {"max_epochs": 10, "accelerator": "cpu"},
    }
    model = GatedClustering(config=published).fit(X)
    assert [row["phase"] for row in model.history_].count("classifier") == 2
    assert model.networks_.classifier is not None


def test_a_classifier_that_is_not_trained_takes_no_memory(fitted, tmp_path):
    X, _ = blobs()
    model = GatedClustering(3, config=SHORT | {"gates_by": "scores"}).fit(X)
    assert model.networks_.classifier is None
    model.save(tmp_path / "a")
    assert np.array_equal(GatedClustering.load(tmp_path / "a").predict(X), model.labels_)
    assert fitted[0].networks_.classifier is not None


def test_a_model_of_counts_is_saved_and_loaded(tmp_path):
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (60, 30)))
    model = GatedClustering(2, config=SHORT).fit(X)
    model.save(tmp_path / "a")
    loaded = GatedClustering.load(tmp_path / "a")
    assert loaded.scale_.name == "log1p"
    assert np.array_equal(loaded.predict(X), model.labels_)
