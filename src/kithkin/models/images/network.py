"""Convolutional autoencoder of thumbnails whose codes do not depend on rotation, and its training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.execute import Execution, track
from kithkin.models.images.rows import MULTIPLE, Pixels
from kithkin.models.nn.batches import Batches

WIDTHS = (16, 32, 64)  # maps after each halving of the sides, which MULTIPLE allows
ANGLES = 32  # directions in which a picture is compared to another
LEAST_RATE = 0.01  # of the learning rate, at the end


class Networks(nn.Module):
    """Encoder and decoder: three convolutions that halve the sides, and their mirror.

    The image is its channels, rows and columns; the latter are multiples of 8.
    """

    def __init__(self, image: tuple[int, ...], n_components: int, seed: int, device: str = "cpu") -> None:
        super().__init__()
        channels, side, _ = image
        self.image, self.device = image, device
        small = side // MULTIPLE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
                layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
            flat = WIDTHS[-1] * small**2
            self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, n_components)).to(device)
            layers = [nn.Linear(n_components, flat), nn.Unflatten(1, (WIDTHS[-1], small, small)), nn.ReLU()]
            for before, after in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True):
                layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
            self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(WIDTHS[0], channels, 4, 2, 1)).to(device)

    def codes(self, x: Tensor) -> Tensor:
        """Return the mean code of the quarter turns of pictures and of their mirror images, without gradient."""
        self.encoder.eval()
        with torch.no_grad():
            total = torch.zeros((), device=x.device)
            for view in (x, x.flip(3)):
                for quarter in range(4):
                    total = total + self.encoder(torch.rot90(view, quarter, (2, 3)))
        return total / 8


def turn(x: Tensor, angles: Tensor, mirrored: Tensor) -> Tensor:
    """Rotate pictures about their centres by angles in radians, and mirror them where that is asked for."""
    cos, sin, sign = angles.cos(), angles.sin(), 1.0 - 2.0 * mirrored.to(angles.dtype)
    zero = torch.zeros_like(cos)
    rows = [torch.stack([cos, -sign * sin, zero], 1), torch.stack([sin, sign * cos, zero], 1)]
    grid = nn.functional.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def align(x: Tensor, y: Tensor) -> Tensor:
    """Rotate and mirror pictures x so that they are most alike y.

    Both are read along circles, where turning is shifting: the fast Fourier transform gives the correlation for all
    angles at once.
    """
    radii = max(2, x.shape[-1] // 3)
    radius = (torch.arange(radii, device=x.device, dtype=x.dtype) + 0.5) / radii
    angle = torch.arange(ANGLES, device=x.device, dtype=x.dtype) * (2 * math.pi / ANGLES)
    grid = torch.stack([radius[:, None] * angle.cos(), radius[:, None] * angle.sin()], 2)
    grid = grid.expand(len(x), *grid.shape)
    polar = [nn.functional.grid_sample(z, grid, align_corners=False) for z in (x, y)]
    first, second = (torch.fft.rfft(z * radius.sqrt()[:, None]) for z in polar)
    both = [(first * other).sum((1, 2)) for other in (second.conj(), second)]
    likeness = torch.cat([torch.fft.irfft(z, n=ANGLES) for z in both], 1)
    best = likeness.argmax(1)
    return turn(x, (best % ANGLES) * (2 * math.pi / ANGLES), best >= ANGLES)


class ImageTraining:
    """Training of encoder and decoder: codes of two random rotations, and a picture of the mean code.

    The loss is the share of the variance of the pictures that the decoder misses, in the direction in which its picture
    and the given one are most alike, and, weighted by `invariance`, the variance of codes between two turns of a cell
    as a share of that between cells.
    """

    def __init__(
        self, networks: Networks, batches: Batches, learning_rate: float, invariance: float, n_epochs: int, seed: int
    ) -> None:
        self.networks, self.batches, self.n_epochs, self.seed = networks, batches, n_epochs, seed
        self.learning_rate, self.invariance = learning_rate, invariance
        self.history: list[dict[str, float]] = []
        self.parameters = list(networks.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        self.generator = torch.Generator()  # on the processor, so that a GPU trains on the same rotations

    def run(self, execution: Execution, after_epoch: Callable[[ImageTraining], None] | None = None) -> None:
        """Train from the current epoch to the end."""
        for epoch in track(range(len(self.history), self.n_epochs), execution, "image encoder", unit="epoch"):
            self._epoch(epoch)
            if after_epoch is not None:
                after_epoch(self)

    def _epoch(self, epoch: int) -> None:
        networks, steps = self.networks, self.batches.n_batches
        seed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0]
        self.generator.manual_seed(int(seed >> 1))
        networks.train()
        total, count = torch.zeros(2, device=networks.device), 0
        for _, rows in self.batches.epoch(epoch):
            done = (epoch * steps + count) / (self.n_epochs * steps)
            for group in self.optimizer.param_groups:
                fall = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
                group["lr"] = self.learning_rate * fall
            parts = self._loss(torch.from_numpy(rows).to(networks.device).reshape(-1, *networks.image))
            self.optimizer.zero_grad(set_to_none=True)
            (parts[0] + self.invariance * parts[1]).backward()
            self.optimizer.step()
            total += parts.detach()
            count += 1
        means = (total / max(count, 1)).tolist()
        self.history.append({"epoch": epoch, "reconstruction": means[0], "invariance": means[1]})

    def _loss(self, x: Tensor) -> Tensor:
        """Return both parts of the loss of a batch."""
        views = torch.cat([self._random_turn(x), self._random_turn(x)])
        first, second = self.networks.encoder(views).chunk(2)
        code = (first + second) / 2
        picture = self.networks.decoder(code)
        with torch.no_grad():
            wanted = align(x, picture)
            variance = (x - x.mean(0)).square().mean() + 1e-8
        missed = (picture - wanted).square().mean() / variance
        within = (first - second).square().sum(1).mean() / 2
        return torch.stack([missed, within / (code.var(0).sum() + 1e-8)])

    def _random_turn(self, x: Tensor) -> Tensor:
        angles = torch.rand(len(x), generator=self.generator) * (2 * math.pi)
        mirrored = torch.rand(len(x), generator=self.generator) < 0.5
        return turn(x, angles.to(x.device), mirrored.to(x.device))


def encode(networks: Networks, view: Pixels, rows: int, execution: Execution) -> Iterator[Array]:
    """Yield the codes of all thumbnails in order, a number of rows at a time that does not depend on the blocks."""
    for start, stop in track(even_ranges(view.shape[0], rows), execution, "image codes"):
        x = torch.from_numpy(view.read(start, stop)).to(networks.device)
        yield networks.codes(x.reshape(-1, *networks.image)).cpu().numpy()
