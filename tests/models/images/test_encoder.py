import numpy as np
import pytest

from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from kithkin.models.images import store  # noqa: E402
from kithkin.models.images.encoder import ImageEncoder  # noqa: E402
from kithkin.models.images.network import ImageTraining, align, turn  # noqa: E402
from kithkin.models.images.pca import ImagePCA  # noqa: E402
from kithkin.models.nn import batches  # noqa: E402

N, SIDE = 120, 24
QUICK = {"n_components": 6, "n_epochs": 20, "batch_size": 40, "learning_rate": 4e-3}
SHORT = {"n_components": 3, "n_epochs": 3, "batch_size": 16, "size": 16}


def cells(turn=0.0, seed=0):
    """Discs with a ring, ellipses with a bar, and discs with two spots, lying in random directions, turned further."""
    rng = np.random.default_rng(seed)
    kind, angle = rng.integers(0, 3, N), rng.uniform(0, 2 * np.pi, N) + turn
    size, bright = rng.uniform(0.85, 1.15, (N, 1, 1)), rng.uniform(0.7, 1.3, (N, 2, 1, 1))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = (cos * x + sin * y) / size, (cos * y - sin * x) / size
    bar = (kind == 1)[:, None, None]
    body = soft(8.5 - np.hypot(u, np.where(bar, 1.6, 1.0) * v))
    spots = soft(2.5 - np.hypot(u - 4, v)) + soft(2 - np.hypot(u + 4, v - 1))
    ring = soft(2 - abs(np.hypot(u, v) - 6))
    marker = np.where(bar, soft(2 - abs(v)), np.where((kind == 0)[:, None, None], ring, spots)) * body
    pixels = 100 * bright * np.stack([body, marker], 1)
    return pixels + np.random.default_rng(int(turn * 1000)).normal(0, 4, pixels.shape), kind


def soft(distance):
    return 1 / (1 + np.exp(-3 * distance))


def moved(model, pixels, again):
    """How far turning moves a cell, in units of the distance between two cells."""
    codes, others = model.transform(pixels), model.transform(again)
    between = np.linalg.norm(codes[:, None] - codes[None], axis=2)
    return np.linalg.norm(codes - others, axis=1).mean() / between[np.triu_indices(N, 1)].mean()


class Rows:
    """An array as blocks of some rows, which notes how many are read at a time."""

    is_sparse = False

    def __init__(self, X, rows):
        self.X, self.shape, self.dtype, self.longest = X, X.shape, X.dtype, 0
        self.ranges = [(start, min(start + rows, len(X))) for start in range(0, len(X), rows)]

    def read(self, start, stop):
        self.longest = max(self.longest, stop - start)
        return self.X[start:stop]


@pytest.fixture(scope="module")
def fitted():
    pixels, kind = cells()
    return ImageEncoder(**QUICK).fit(pixels), pixels, kind


def test_turned_cells_have_nearly_the_same_code(fitted):
    model, pixels, _ = fitted
    again, _ = cells(turn=0.9)
    learnt, linear = moved(model, pixels, again), moved(ImagePCA(6).fit(pixels), pixels, again)
    assert learnt < 0.15
    assert learnt < linear / 4


def test_kinds_are_told_apart(fitted):
    model, pixels, kind = fitted
    codes, others = model.transform(pixels), model.transform(cells(seed=7)[0])
    nearest = np.linalg.norm(others[:, None] - codes[None], axis=2).argmin(axis=1)
    assert (kind[nearest] == cells(seed=7)[1]).mean() > 0.95
    assert model.history_[-1]["reconstruction"] < 0.5 < model.history_[0]["reconstruction"]


@pytest.mark.parametrize("side", [24, 23])
def test_quarter_turns_and_mirror_images_have_the_same_code(fitted, side):
    model, pixels, _ = fitted
    pixels = pixels[:20, :, :side, :side]
    codes = model.transform(pixels)
    for quarter in range(4):
        for other in (pixels, pixels[..., ::-1]):
            found = model.transform(np.rot90(other, quarter, (2, 3)))
            np.testing.assert_allclose(found, codes, atol=1e-5 * np.abs(codes).max())


def test_the_same_seed_twice_bit_for_bit(monkeypatch):
    pixels, _ = cells()
    masks = pixels[:, 0] > 20
    monkeypatch.setattr(batches, "POOL", 40 * 2 * 16 * 16 * 4)
    codes = ImageEncoder(**SHORT).fit_transform(pixels, masks)
    for rows, execution in ((7, Execution(memory=50 * 10**6, threads=1)), (50, Execution(threads=3))):
        again = ImageEncoder(**SHORT).fit_transform(Rows(pixels, rows), Rows(masks, rows), execution)
        assert np.array_equal(again, codes)
    assert not np.array_equal(ImageEncoder(**SHORT, seed=1).fit_transform(pixels, masks), codes)


def test_a_pool_of_rows_is_read_at_a_time(monkeypatch):
    pixels = np.random.default_rng(0).random((400, 1, 24, 24)).astype(np.float32)
    monkeypatch.setattr(batches, "POOL", 1)
    blocks = Rows(pixels, 50)
    settings = SHORT | {"n_epochs": 1, "size": 24}
    model = ImageEncoder(**settings).fit(blocks)
    assert blocks.longest == 64  # a run of rows, of which two make a pool
    assert len(model.transform(Rows(pixels, 50))) == 400


def test_saved_and_loaded(fitted, tmp_path):
    model, pixels, _ = fitted
    model.save(tmp_path / "image.safetensors")
    loaded = ImageEncoder.load(tmp_path / "image.safetensors")
    assert np.array_equal(loaded.transform(pixels), model.transform(pixels))
    assert loaded.history_ == model.history_
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(FormatError):
        ImageEncoder.load(tmp_path / "other.safetensors")


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    pixels, _ = cells()
    whole = ImageEncoder(**SHORT).fit_transform(pixels)
    monkeypatch.setattr(store, "CHECKPOINT_SECONDS", 0.0)
    original = ImageTraining._epoch

    def interrupted(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        original(self, epoch)

    monkeypatch.setattr(ImageTraining, "_epoch", interrupted)
    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        ImageEncoder(**SHORT, checkpoint=state).fit(pixels)
    monkeypatch.setattr(ImageTraining, "_epoch", original)
    with pytest.raises(ParameterError, match="checkpoint of other thumbnails or settings"):
        ImageEncoder(**SHORT, checkpoint=state, seed=1).fit(pixels)
    with pytest.raises(ParameterError, match="checkpoint of other thumbnails or settings"):
        ImageEncoder(**SHORT, checkpoint=state).fit(2 * pixels)
    resumed = ImageEncoder(**SHORT, checkpoint=state).fit_transform(pixels)
    assert np.array_equal(resumed, whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(9, 5, 5), (9, 3, 40, 31), (9, 1, 8, 70), (2, 1, 1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_thumbnails_of_any_shape(shape, dtype):
    pixels = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    codes = ImageEncoder(**(SHORT | {"n_epochs": 1})).fit_transform(pixels)
    assert codes.shape == (len(pixels), 3)
    assert codes.dtype == np.float32
    assert np.isfinite(codes).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_finds_its_direction(mirrored):
    x = torch.from_numpy(cells()[0][:10].astype(np.float32))
    angles = torch.arange(10) * 0.6
    y = turn(x, angles, torch.full((10,), mirrored))
    before, after = ((z - y).square().mean((1, 2, 3)) for z in (x, align(x, y)))
    assert float(after.mean()) < 0.2 * float(before.mean())


def test_turning_by_quarters_is_exact():
    x = torch.from_numpy(cells()[0][:3].astype(np.float32))
    quarter = turn(x, torch.full((3,), np.pi / 2), torch.zeros(3, dtype=torch.bool))
    torch.testing.assert_close(quarter, torch.rot90(x, 1, (2, 3)), atol=1e-2, rtol=0)
    mirror = turn(x, torch.zeros(3), torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(mirror, x.flip(2), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("settings", "pixels", "message"),
    [
        ({"n_epochs": 0}, np.eye(4)[None].repeat(3, 0), "n_epochs must be in 1"),
        ({"batch_size": 1}, np.eye(4)[None].repeat(3, 0), "batch_size must be in 2"),
        ({"size": 4}, np.eye(4)[None].repeat(3, 0), "size must be in 8"),
        ({"device": "tpu"}, np.eye(4)[None].repeat(3, 0), "device must be"),
        ({}, np.eye(4)[None], "two cells"),
        ({}, np.ones((3, 4, 4)), "the same everywhere"),
        ({}, np.full((3, 4, 4), np.inf), "finite"),
    ],
)
def test_what_is_refused(settings, pixels, message):
    with pytest.raises(ParameterError, match=message):
        ImageEncoder(2, **settings).fit(pixels)


def test_what_does_not_fit(fitted):
    model, pixels, _ = fitted
    with pytest.raises(ParameterError, match="2 channels as in fit, got 1"):
        model.transform(pixels[:, :1])
    with pytest.raises(ParameterError, match="finite"):
        model.transform(np.where(pixels > 90, np.nan, pixels))
    with pytest.raises(ParameterError, match="fit or load"):
        ImageEncoder().transform(pixels)
