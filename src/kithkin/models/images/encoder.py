"""Rotation-invariant codes of thumbnails by a small convolutional autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, check, check_range
from kithkin.core.execute import Execution
from kithkin.models.estimator import Estimator
from kithkin.models.images.pixels import Images, PixelScale
from kithkin.models.images.rows import MULTIPLE, Pixels
from kithkin.models.nn.batches import Batches, Scale
from kithkin.optional import need

if TYPE_CHECKING:
    from kithkin.models.images.network import Networks

STEPS = 1000  # of gradient, in a training whose length is not given ...
FEWEST, MOST = 3, 400  # ... though so many passes over the cells
ENCODED = 1 << 21  # values that are encoded at a time
KIND = "image encoder"
SCALE = ("low", "high", "deviation")


class ImageEncoder(Estimator):
    r"""Embedding of cells by an autoencoder that is trained on rotated and mirrored thumbnails.

    Channels are scaled as in `ImagePCA`; thumbnails are brought to at most `size` pixels a side by averages, and what
    is outside the circle in them is hidden. Each step takes two random turns of a batch of cells, :math:`a` and
    :math:`b`, with codes :math:`z_a` and :math:`z_b`. The decoder makes one picture of their mean. It is compared to
    the given one in the direction, out of 32 and their mirror images, in which both are most alike: so the code has no
    need to tell how a cell lies, and the decoder chooses how to draw it. To the fraction of the variance that is missed
    comes `invariance` times :math:`\frac{1}{2} E |z_a - z_b|^2` in units of the variance of codes between cells.
    A code given out is the mean over the four quarter turns of a thumbnail and of its mirror image: turned by 90
    degrees or mirrored, a square thumbnail has the same code up to rounding.

    On a CPU the same seed gives the same codes bit for bit, whatever the budget, the blocks and the executor, with as
    many threads of torch. Memory: a pool of about 64 MB of prepared thumbnails, twice while it is filled, and a batch.

    Parameters
    ----------
    n_components
        Length of a code.
    n_epochs
        Number of passes over all cells; None: about 1,000 steps, 3 to 400 passes.
    batch_size, learning_rate
        Cells of a step, and the initial learning rate of Adam, which falls along a cosine.
    size
        Most pixels a side that the network sees; sides are rounded up to multiples of 8.
    invariance
        Weight of the second part of the loss.
    clip, scale
        As in `ImagePCA`.
    device
        "auto": a GPU if there is one; "cpu" or "cuda".
    torch_threads
        Number of threads within a product.
    checkpoint
        File to which the training is written now and then, and from which it goes on; it is removed at the end.
    seed
        Seed of the initial weights, of the order of the cells and of the rotations.

    Attributes
    ----------
    history_
        For each epoch `reconstruction`, the fraction of the variance that is missed, and `invariance`.
    scale_
        PixelScale of the channels.
    networks_
        Trained networks, a torch.nn.Module.

    References
    ----------
    Matsuo, Fukuhara and Shimada, Transform invariant auto-encoder (2017), arXiv:1709.03754.

    Examples
    --------
    >>> ImageEncoder(n_components=0).fit(np.zeros((3, 1, 8, 8)))
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: n_components must be in 1..10000, got 0
    """

    history_: list[dict[str, float]]
    scale_: PixelScale
    networks_: Networks

    def __init__(
        self,
        n_components: int = 32,
        *,
        n_epochs: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        size: int = 32,
        invariance: float = 0.3,
        clip: float | None = 0.999,
        scale: bool = True,
        device: str = "auto",
        torch_threads: int = 1,
        checkpoint: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        self.n_components, self.n_epochs, self.batch_size = n_components, n_epochs, batch_size
        self.learning_rate, self.size, self.invariance = learning_rate, size, invariance
        self.clip, self.scale, self.device, self.torch_threads = clip, scale, device, torch_threads
        self.checkpoint, self.seed = checkpoint, seed

    def fit(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> Self:
        """Train.

        Parameters
        ----------
        pixels
            n x channels x rows x columns, of any type of numbers: an array, or row blocks of one.
        masks
            n x rows x columns of bool, likewise; None: all pixels belong to the cell.
        execution
            Threads and progress.

        Raises
        ------
        ParameterError
            If a setting is out of range, values are not finite or all the same, or the checkpoint is another's.
        KithkinError
            If torch is not installed.
        """
        check(isinstance(self.n_components, (int, np.integer)), f"n_components must be whole, got {self.n_components}")
        check_range("n_components", self.n_components, 1, 10**4)
        if self.n_epochs is not None:
            check_range("n_epochs", self.n_epochs, 1, 10**6)
        check_range("batch_size", self.batch_size, 2, 10**6)
        check_range("learning_rate", self.learning_rate, 1e-8, 10.0)
        check_range("size", self.size, MULTIPLE, 1024)
        check_range("invariance", self.invariance, 0.0, 1e6)
        check_range("seed", self.seed, 0, 2**31 - 1)
        images = Images(pixels, masks)
        n = images.shape[0]
        check(n >= 2, f"thumbnails of two cells at least are needed, got {n}")
        need("torch", "deep", "ImageEncoder")
        from kithkin.models.images.network import ImageTraining, Networks
        from kithkin.models.nn.device import choose_device, torch_settings

        execution = Execution() if execution is None else execution
        self.scale_ = PixelScale.of(images, self.clip, self.scale, execution)
        whole = min(max(images.shape[2:]), self.size)
        view = Pixels(images, self.scale_, side=-(-whole // MULTIPLE) * MULTIPLE)
        batch, empty = min(self.batch_size, n), np.zeros(0, np.float32)
        batches = Batches(view, Scale("none", empty, empty), batch, self.seed)
        self.n_epochs_ = self.n_epochs or min(MOST, max(FEWEST, round(STEPS / batches.n_batches)))
        device = choose_device(self.device)
        with torch_settings(device, self.torch_threads), execution.kept_heap():
            self.networks_ = Networks(view.image, self.n_components, self.seed, device)
            training = ImageTraining(
                self.networks_, batches, self.learning_rate, self.invariance, self.n_epochs_, self.seed
            )
            state = None
            if self.checkpoint is not None:
                need("safetensors", "deep", "ImageEncoder")
                from kithkin.models.images.store import Checkpoint

                numbers = [self.n_components, self.n_epochs_, batch, self.learning_rate, self.invariance, self.seed]
                scale = str([getattr(self.scale_, name).tolist() for name in SCALE])
                about = {"image": list(view.image), "rows": n, "settings": numbers, "scale": scale}
                state = Checkpoint(Path(self.checkpoint), about)
                state.resume(training)
            training.run(execution, state)
        if state is not None:
            state.path.unlink(missing_ok=True)
        self.history_ = training.history
        return self

    def transform(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> Array:
        """Return the codes of thumbnails with the same channels as in fit, n x d, float32.

        Raises
        ------
        ParameterError
            If they have other channels, values are not finite, or nothing is fitted.
        """
        check(hasattr(self, "networks_"), "fit or load the model first")
        from kithkin.models.images.network import encode
        from kithkin.models.nn.device import torch_settings

        execution = Execution() if execution is None else execution
        images, image = Images(pixels, masks), self.networks_.image
        view = Pixels(images, self.scale_, side=image[-1])
        rows = max(1, ENCODED // int(max(np.prod(images.shape[1:]), np.prod(image))))
        with torch_settings(self.networks_.device, self.torch_threads):
            parts = list(encode(self.networks_, view, rows, execution))
        return np.concatenate([np.zeros((0, self.n_components), np.float32), *parts])

    def fit_transform(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> Array:
        """Train, and return the codes of the same thumbnails."""
        return self.fit(pixels, masks, execution).transform(pixels, masks, execution)

    def save(self, path: str | Path) -> None:
        """Write the fitted networks and the scale of the channels to a safetensors file."""
        check(hasattr(self, "networks_"), "fit or load the model first")
        need("safetensors", "deep", "saving a model")
        import torch

        from kithkin.models.nn.tensors import write_tensors

        scale = {f"scale.{name}": torch.from_numpy(getattr(self.scale_, name)) for name in SCALE}
        metadata = {"kind": KIND, "image": list(self.networks_.image), "n_components": self.n_components}
        write_tensors(Path(path), self.networks_.state_dict() | scale, metadata | {"history": self.history_})

    @staticmethod
    def load(path: str | Path, device: str = "auto") -> ImageEncoder:
        """Read a model that was saved, ready for transform.

        Raises
        ------
        FormatError
            If the file is none, or is damaged.
        """
        need("torch", "deep", "ImageEncoder")
        need("safetensors", "deep", "loading a model")
        from kithkin.models.images.network import Networks
        from kithkin.models.nn.device import choose_device
        from kithkin.models.nn.tensors import read_tensors

        tensors, metadata = read_tensors(Path(path), KIND)
        device_ = choose_device(device)
        try:
            model = ImageEncoder(metadata["n_components"], device=device)
            model.scale_ = PixelScale(*(tensors.pop(f"scale.{name}").numpy() for name in SCALE))
            model.networks_ = Networks(tuple(metadata["image"]), metadata["n_components"], 0, device_)
            model.networks_.load_state_dict(tensors)
            model.history_ = metadata["history"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FormatError(f"{Path(path).name} does not hold the weights that it announces") from error
        return model
