"""A convolutional autoencoder of thumbnails that does not see which way they are turned."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.execute import Execution, track
from kithkin.models.images.rows import Pixels
from kithkin.models.nn.batches import Batches
from kithkin.models.nn.torch import Tensor, torch

WIDTHS = (16, 32, 64)  # maps after each halving of the sides
HALVINGS = 2 ** len(WIDTHS)  # the side must be a multiple
ANGLES = 32  # directions in which a picture is compared to another
LEAST_RATE = 0.01  # of the learning rate, at the end


class Networks:
    """Encoder and decoder: three convolutions that halve the sides, and their mirror.

    Parameters
    ----------
    image
        Channels, rows and columns; the latter multiples of 8.
    n_components
        Numbers in a code.
    seed
        Of the first weights.
    device
        Where they are.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> networks = Networks((2, 16, 16), 3, 0)
    >>> codes = networks.encoder(torch.zeros(5, 2, 16, 16))
    >>> tuple(codes.shape), tuple(networks.decoder(codes).shape)
    ((5, 3), (5, 2, 16, 16))
    """

    def __init__(self, image: tuple[int, ...], n_components: int, seed: int, device: str = "cpu") -> None:
        channels, side, _ = image
        self.image, self.device = image, device
        small = side // HALVINGS
        nn = torch.nn
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[Any] = []
            for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
                layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
            flat = WIDTHS[-1] * small**2
            self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, n_components)).to(device)
            layers = [nn.Linear(n_components, flat), nn.Unflatten(1, (WIDTHS[-1], small, small)), nn.ReLU()]
            for before, after in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True):
                layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
            self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(WIDTHS[0], channels, 4, 2, 1)).to(device)

    def state(self) -> dict[str, Tensor]:
        """Weights and statistics by name."""
        parts = {"encoder": self.encoder, "decoder": self.decoder}
        return {f"{part}.{name}": value for part, net in parts.items() for name, value in net.state_dict().items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over weights that `state` gave."""
        for part, net in {"encoder": self.encoder, "decoder": self.decoder}.items():
            prefix = f"{part}."
            found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            net.load_state_dict(found)

    def codes(self, x: Tensor) -> Tensor:
        """Mean code of the four quarter turns of pictures and of their mirror images, without gradient."""
        self.encoder.eval()
        with torch.no_grad():
            both = (x, x.flip(3))
            total = sum(self.encoder(torch.rot90(way, turn, (2, 3))) for way in both for turn in range(4))
        return total / 8


def turned(x: Tensor, angles: Tensor, mirrored: Tensor) -> Tensor:
    """Pictures turned about their centres, and mirrored where that is asked for.

    Parameters
    ----------
    x
        B x channels x side x side.
    angles
        B, radians.
    mirrored
        B, bool.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> turned(x, torch.tensor([math.pi / 2]), torch.tensor([False])).round().tolist()
    [[[[2.0, 4.0], [1.0, 3.0]]]]
    """
    cos, sin, sign = angles.cos(), angles.sin(), 1.0 - 2.0 * mirrored.to(angles.dtype)
    zero = torch.zeros_like(cos)
    rows = [torch.stack([cos, -sign * sin, zero], 1), torch.stack([sin, sign * cos, zero], 1)]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    out: Tensor = torch.nn.functional.grid_sample(x, grid, align_corners=False)
    return out


def towards(x: Tensor, y: Tensor) -> Tensor:
    """Pictures x turned and mirrored so that they are as like y as they can be.

    Both are read along circles, where turning is shifting: the fast Fourier transform gives the correlation for all
    angles at once.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> y = torch.zeros(1, 1, 16, 16)
    >>> y[0, 0, 7:9, 8:14] = 1.0
    >>> x = torch.rot90(y, 1, (2, 3))
    >>> bool((towards(x, y) - y).abs().max() < 1e-4)
    True
    """
    radii = max(2, x.shape[-1] // 3)
    radius = (torch.arange(radii, device=x.device, dtype=x.dtype) + 0.5) / radii
    angle = torch.arange(ANGLES, device=x.device, dtype=x.dtype) * (2 * math.pi / ANGLES)
    grid = torch.stack([radius[:, None] * angle.cos(), radius[:, None] * angle.sin()], 2)
    grid = grid.expand(len(x), *grid.shape)
    found = [torch.nn.functional.grid_sample(z, grid, align_corners=False) for z in (x, y)]
    first, second = (torch.fft.rfft(z * radius.sqrt()[:, None]) for z in found)
    both = [(first * other).sum((1, 2)) for other in (second.conj(), second)]
    likeness = torch.cat([torch.fft.irfft(z, n=ANGLES) for z in both], 1)
    best = likeness.argmax(1)
    return turned(x, (best % ANGLES) * (2 * math.pi / ANGLES), best >= ANGLES)


class ImageTraining:
    """Training of encoder and decoder: code of two random turns, and a picture of the mean code.

    The loss is the share of the variance of the pictures that the decoder misses, in the direction in which its picture
    and the given one are most alike, and the variance of codes between two turns of a cell as a share of that between
    cells.

    Parameters
    ----------
    networks
        Encoder and decoder.
    batches
        Of prepared thumbnails.
    rates
        First learning rate, and the weight of the second part of the loss.
    n_epochs
        Passes over all cells.
    seed
        Of the turns.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.nn.batches import Scale
    >>> X = np.random.default_rng(0).random((8, 256), np.float32)
    >>> batches = Batches(InMemory(X), Scale.of(X, "none"), 4)
    >>> training = ImageTraining(Networks((1, 16, 16), 2, 0), batches, (1e-3, 1.0), 1, 0)
    >>> training.run(Execution(progress=False))
    >>> list(training.history[0])
    ['epoch', 'reconstruction', 'invariance']
    """

    def __init__(
        self, networks: Networks, batches: Batches, rates: tuple[float, float], n_epochs: int, seed: int
    ) -> None:
        self.networks, self.batches, self.rates, self.n_epochs, self.seed = networks, batches, rates, n_epochs, seed
        self.history: list[dict[str, float]] = []
        self.parameters = [*networks.encoder.parameters(), *networks.decoder.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=rates[0], fused=True)
        self.generator = torch.Generator()  # on the processor, so that a GPU trains on the same turns

    def run(self, execution: Execution, after_epoch: Callable[[ImageTraining], None] | None = None) -> None:
        """Train from where it stands to the end."""
        for epoch in track(range(len(self.history), self.n_epochs), execution, "image encoder", unit="epoch"):
            self._epoch(epoch)
            if after_epoch is not None:
                after_epoch(self)

    def _epoch(self, epoch: int) -> None:
        networks, steps = self.networks, self.batches.n_batches
        mixed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
        self.generator.manual_seed(mixed)
        networks.encoder.train()
        networks.decoder.train()
        total, count = torch.zeros(2, device=networks.device), 0
        for _, rows in self.batches.epoch(epoch):
            share = (epoch * steps + count) / (self.n_epochs * steps)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rates[0] * (LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * share)))
            parts = self._parts(torch.from_numpy(rows).to(networks.device).reshape(-1, *networks.image))
            self.optimizer.zero_grad(set_to_none=True)
            (parts[0] + self.rates[1] * parts[1]).backward()
            self.optimizer.step()
            total += parts.detach()
            count += 1
        means = (total / max(count, 1)).tolist()
        self.history.append({"epoch": epoch, "reconstruction": means[0], "invariance": means[1]})

    def _parts(self, x: Tensor) -> Tensor:
        views = torch.cat([self._any_turn(x), self._any_turn(x)])
        first, second = self.networks.encoder(views).chunk(2)
        code = (first + second) / 2
        picture = self.networks.decoder(code)
        with torch.no_grad():
            wanted = towards(x, picture)
            variance = (x - x.mean(0)).square().mean() + 1e-8
        missed = (picture - wanted).square().mean() / variance
        within = (first - second).square().sum(1).mean() / 2
        return torch.stack([missed, within / (code.var(0).sum() + 1e-8)])

    def _any_turn(self, x: Tensor) -> Tensor:
        angles = torch.rand(len(x), generator=self.generator) * (2 * math.pi)
        mirrored = torch.rand(len(x), generator=self.generator) < 0.5
        return turned(x, angles.to(x.device), mirrored.to(x.device))


def encoded(networks: Networks, view: Pixels, rows: int, execution: Execution) -> Iterator[Array]:
    """Codes of all thumbnails in order, a number of rows at a time that does not depend on the blocks.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> from kithkin.models.images.pixels import Images, PixelScale
    >>> images = Images(np.random.default_rng(0).random((5, 9, 9)))
    >>> view = Pixels(images, PixelScale.of(images), 16)
    >>> [len(part) for part in encoded(Networks((1, 16, 16), 2, 0), view, 3, Execution())]
    [3, 2]
    """
    for start, stop in track(even_ranges(view.shape[0], rows), execution, "image codes"):
        x = torch.from_numpy(view.read(start, stop)).to(networks.device)
        yield networks.codes(x.reshape(-1, *networks.image)).cpu().numpy()
