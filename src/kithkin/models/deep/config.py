"""Settings of gated deep clustering."""

# Long: each of the 60 settings is a line of the class, a line of its range and a sentence of its docstring

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import FormatError, ParameterError, brief, check, check_choice, check_range
from kithkin.models.deep.published import translate
from kithkin.models.nn.batches import SCALES
from kithkin.optional import need

WIDE = 2000  # columns above which the layer of the gate network is kept narrow
EPOCHS = ("ae_non_gated_epochs", "ae_pretrain_epochs", "start_global_gates_training_on_epoch", "max_epochs")
CHOICES = {
    "scale": SCALES,
    "start": ("map", "kmeans", "none"),
    "gates_by": ("scores", "classifier"),
    "gtcr_of": ("used", "open"),
    "precision": ("auto", "float32", "mixed"),
}
RANGES: dict[str, tuple[float, float]] = {
    "n_clusters": (1, 10**6),
    "n_features": (0.1, 1e9),
    "encdec": (1, 10**6),
    "batch_size": (2, 10**6),
    "n_starts": (1, 1000),
    "guide": (0.0, 1e6),
    "focus": (0.0, 1.0),
    "mask_percentage": (0.0, 1.0),
    "latent_noise_std": (0.0, 10.0),
    "gtcr_lambda": (0.0, 1e6),
    "gtcr_eps": (1e-6, 1e6),
    "eps": (1e-6, 1e6),
    "tau": (1e-3, 1e6),
    "local_gates_lambda": (0.0, 1e9),
    "global_gates_lambda": (0.0, 1e9),
    "lr_pretrain": (1e-9, 10.0),
    "lr_clustering": (1e-9, 10.0),
    "lr_aux_classifier": (1e-9, 10.0),
    "tolerance": (0.0, 1.0),
    "patience": (1, 10**6),
    "torch_threads": (1, 1024),
    "checkpoint_seconds": (0.0, 1e9),
    "validate_every": (1, 10**6),
    "log_every_n_steps": (1, 10**6),
    "sanity_steps": (0, 10**6),
    "frames": (0, 1000),
    "n_global_features": (0.0, 1e9),
    "gates_hidden_dim": (1, 10**6),
    "clustering_hidden_dim": (1, 10**6),
    "aux_hidden_dim": (1, 10**6),
    "gtcr_projection_dim": (1, 10**6),
    "init_std": (1e-12, 1e3),
    "min_lr_pretrain": (0.0, 10.0),
    "min_lr_clustering": (0.0, 10.0),
    **dict.fromkeys(EPOCHS, (0, 10**6)),
}


@dataclass(frozen=True)
class DeepConfig:
    """Settings of gated deep clustering, under our own names; see `from_yaml` for published files.

    Epochs and widths that are None are chosen from the size of the table: see `resolved`.

    Attributes
    ----------
    n_clusters
        Number of clusters.
    n_features
        Open features wanted in a row, to which the weight of the sparsity penalty adapts. "auto": three for each
        doubling of the number of columns, a third of these at most. None: the weight is `local_gates_lambda`.
    gates
        Whether rows choose features; False is the ablation.
    coding_rate
        Whether the coding rate of the gates is raised, so that rows use different features.
    classifier
        Whether the gates of whole clusters are trained.
    gates_by
        Training of these gates. "scores": each cluster scores all rows through its own gates (LabelGates), when all
        else is done. "classifier": one classifier sees each row through the gates of its own cluster, in epochs after
        the head, as published; the open gates themselves then tell the cluster too.
    scale
        "log1p": log1p(10,000 count / total of the row). "minmax", "standard": by column. "none". "auto": log1p for
        counts, else minmax. The values decide, in the same way stored sparse or dense: whole numbers are counts if 1 is
        the most frequent above zero (at least a tenth of these), zero at least half as frequent, and some value above
        2. Pixels and codes are not.
    start
        Partition that the head learns first. "map": of Gaussian mixtures on several UMAPs of the leading components of
        the table, and of communities of its graph of neighbours merged to as many clusters, those that part the graph
        best (few links cut, sizes not too uneven). "kmeans": k-means of these components. "none": nothing, the coding
        rate alone finds the clusters, as published.
    guide
        Weight with which gates and encoder learn to tell the clusters of the start, beside the reconstruction. 0: they
        only reconstruct, as published.
    focus
        Influence on the weight of a column's error, while gates are trained, of the fraction of its variance that the
        clusters of the start explain: 0, all columns alike, as published; 1, in proportion. Else a column of noise is
        worth an open gate as much as one that tells clusters apart.
    settle
        Whether responsibilities are averaged over neighbours in the embedding of gated rows before the head learns
        them.
    refine
        Whether the head goes on by the coding rate after its start.
    batch_size
        Number of rows of a step.
    n_starts
        Number of trainings from different seeds, of which the one whose labels fit the graph of neighbours best stays.
    ae_non_gated_epochs, ae_pretrain_epochs, start_global_gates_training_on_epoch, max_epochs
        Numbers of the last epoch without gates, of the last epoch of the autoencoder, of the first epoch of the
        classifier of the cluster gates (without one the head goes on), and the number of all epochs: absolute, counted
        from 0, as published. They are all given or none.
    mask_percentage
        Fraction of the values that is hidden from the autoencoder that must fill them in.
    latent_noise_std
        Standard deviation of the noise by which the embedding is multiplied.
    gtcr_lambda, gtcr_eps, gtcr_projection_dim
        Weight and precision of the coding rate of the gates, and the width to which gates are projected for it. None:
        no projection, which the B x B form makes unnecessary. With a weight of 0.2 nearly every row has features of its
        own, but many of them lie in columns of noise, if there are any.
    gtcr_of
        "open": all gates count in the coding rate, as published. "used": those on values that are zero after scaling do
        not; else a large weight opens gates there, to be unlike others.
    eps, tau
        Precision of the coding rate of the clusters, and temperature of their Gumbel softmax.
    encdec
        Widths of the layers of the autoencoder, embedding in the middle.
    gates_hidden_dim
        Width of the layer of the gate network.
    clustering_hidden_dim, aux_hidden_dim
        Widths of the hidden layers of the head and of the classifier (second of `clustering_head`, and
        `aux_classifier`, of the published files).
    local_gates_lambda, global_gates_lambda
        Weights of the sparsity penalties; the first has no effect where n_features is given, the second, as
        `lr_aux_classifier` and `aux_hidden_dim`, only where gates_by is "classifier".
    n_global_features
        Open features wanted in a cluster, to which the second weight adapts; None: as many as rows of it have, but
        8 % of all, or 3, at most. 0: with the published classifier the weight stays.
    init_std
        Standard deviation of the first weights; None: uniform by the width of the layer.
    lr_pretrain, lr_clustering, lr_aux_classifier
        Learning rates (`lr` of the published files).
    min_lr_pretrain, min_lr_clustering
        Learning rates at the end of the cosine schedules (`sched`).
    device, devices
        "auto", "cpu", "cuda" or "gpu"; and the number of devices, which must be 1.
    precision
        "float32", or "mixed" precision. "auto": mixed where the device computes so faster.
    torch_threads
        Number of threads within a product: results differ by rounding between numbers of them, and repeat for each.
    deterministic
        Whether a device is held to algorithms that repeat.
    validate, validate_every
        Whether indices of the embedding are computed in training, and the number of epochs between two of them. In a
        mapping or a file, that number alone asks for them, too (`check_val_every_n_epoch` of the published files).
    tensorboard
        Whether event files are written, with losses, learning rates, indices, and a picture of the embedding each time
        these are computed; or the folder for them, "runs" by default. Nothing is written where a dataset holds the
        result already: kithkin.deep_clusters says so.
    log_every_n_steps
        Number of steps between two values in event files.
    sanity_steps
        Number of batches that are passed through the networks before training starts, which must give numbers.
    checkpoint_seconds
        Least time between two writings of a checkpoint, in seconds.
    frames
        Number of snapshots of the embedding of up to 2,000 rows that are kept for an animation; 0: none.
    keep_checkpoint
        Whether the state of training stays after a fit (`save_seed_checkpoints` of the published files). Without a
        checkpoint it is written to checkpoints/seed_0.safetensors, with the seed of the training, in the current
        folder, over what is there; a training goes on from a checkpoint only if that is named.
    tolerance, patience
        A phase ends when its loss has not fallen by this fraction for so many epochs. 0: never.
    source
        Origin of the rows, as a published file names it; kept for the reader.

    Examples
    --------
    >>> config = DeepConfig(n_clusters=10).resolved(n_rows=1000, n_columns=64)
    >>> config.n_features, config.phases()["gates"]
    (18.0, 343)
    """

    n_clusters: int = 8
    n_features: float | str | None = "auto"
    gates: bool = True
    coding_rate: bool = True
    classifier: bool = True
    gates_by: str = "scores"
    scale: str = "auto"
    start: str = "map"
    guide: float = 0.1
    focus: float = 0.8
    settle: bool = True
    refine: bool = False
    batch_size: int = 128
    n_starts: int = 1
    ae_non_gated_epochs: int | None = None
    ae_pretrain_epochs: int | None = None
    start_global_gates_training_on_epoch: int | None = None
    max_epochs: int | None = None
    mask_percentage: float = 0.5
    latent_noise_std: float = 0.01
    gtcr_lambda: float = 0.01
    gtcr_eps: float = 1.0
    gtcr_projection_dim: int | None = None
    gtcr_of: str = "open"
    eps: float = 0.1
    tau: float = 100.0
    encdec: tuple[int, ...] | None = None
    gates_hidden_dim: int | None = None
    clustering_hidden_dim: int = 512
    aux_hidden_dim: int = 512
    local_gates_lambda: float = 1.0
    global_gates_lambda: float = 0.1
    n_global_features: float | None = None
    init_std: float | None = None
    lr_pretrain: float = 1e-3
    lr_clustering: float = 1e-3
    lr_aux_classifier: float = 1e-2
    min_lr_pretrain: float = 1e-5
    min_lr_clustering: float = 1e-5
    device: str = "auto"
    devices: int | str = 1
    precision: str = "auto"
    torch_threads: int = 1
    deterministic: bool = True
    validate: bool = False
    validate_every: int = 10
    tensorboard: bool | str = False
    log_every_n_steps: int = 10
    sanity_steps: int = 0
    checkpoint_seconds: float = 30.0
    frames: int = 0
    keep_checkpoint: bool = False
    tolerance: float = 0.0
    patience: int = 10
    source: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked(field.name, str(field.type), getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check(self.n_features in (None, "auto") or self.gates, "n_features needs gates=True")
        check(self.refine or self.start != "none", "start='none' needs refine=True: nothing else finds clusters")
        epochs = self.epochs_given()
        check(None not in epochs or set(epochs) == {None}, f"{', '.join(EPOCHS)} must all be given, or none of them")
        given = [number for number in epochs if number is not None]
        check(given == sorted(given), f"{', '.join(EPOCHS)} must ascend, got {epochs}")
        if self.encdec is not None:
            check(len(self.encdec) % 2 == 1, f"encdec must have an odd number of widths, got {len(self.encdec)}")

    def epochs_given(self) -> tuple[int | None, ...]:
        """Return the four numbers of epochs, absolute."""
        return tuple(getattr(self, name) for name in EPOCHS)

    def resolved(self, n_rows: int, n_columns: int) -> DeepConfig:
        """Return the configuration with what was left open chosen for a table.

        Small tables get many epochs and large ones few: about 600 steps without gates, 2,400 with gates, and 600
        steps each for the head and a classifier, though 3, 6, 3 and 3 epochs at least; up to four times fewer where
        there are more than 1,000 columns, as steps are dearer and such tables have fewer rows.
        """
        batch = min(n_rows, self.batch_size)
        steps = max(1, n_rows // batch)
        chosen: dict[str, Any] = {"batch_size": batch}
        wide = min(1.0, max(0.25, (1000 / n_columns) ** 0.5))
        if self.max_epochs is None:
            first, second, third, fourth = (
                max(least, round(wanted * wide / steps)) for wanted, least in ((600, 3), (2400, 6), (600, 3), (600, 3))
            )
            fourth = fourth if self.classifier and self.gates_by == "classifier" else 0
            ends = (first - 1, first + second - 1, first + second + third, first + second + third + fourth)
            chosen |= dict(zip(EPOCHS, ends, strict=True))
        if self.encdec is None:
            width = max(10, min(128, 2 * self.n_clusters))
            chosen["encdec"] = (256, 256, 512, width, 512, 256, 256)
        if self.gates_hidden_dim is None:
            chosen["gates_hidden_dim"] = int(min(256 if n_columns > WIDE else 1024, max(64, n_columns)))
        if self.n_features == "auto":
            chosen["n_features"] = (
                max(1.0, min(3 * math.log2(max(n_columns, 2)), n_columns / 3)) if self.gates else None
            )
        return replace(self, **chosen)

    def phases(self) -> dict[str, int]:
        """Return the number of epochs of each phase of a resolved configuration."""
        last_plain, last_auto, first_cluster, total = (int(value or 0) for value in self.epochs_given())
        last = max(0, total - max(first_cluster, last_auto + 1))
        follows = self.classifier and self.gates_by == "classifier"
        return {
            "autoencoder": last_plain + 1,
            "gates": last_auto - last_plain,
            "head": max(0, first_cluster - last_auto - 1) + (0 if follows else last),
            "classifier": last if follows else 0,
        }

    def scored(self) -> bool:
        """Tell whether gates of clusters are trained after all epochs."""
        return self.classifier and self.gates_by == "scores"

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping that JSON can hold."""
        return asdict(self)

    @staticmethod
    def of(values: dict[str, Any]) -> DeepConfig:
        """Return a configuration from a mapping of our own names; unknown ones are refused.

        Raises
        ------
        ParameterError
            If a name is unknown, or a value not of its kind or out of range.
        """
        unknown = sorted(str(name) for name in set(values) - NAMES)
        check(not unknown, f"unknown settings: {', '.join(unknown)}")
        return DeepConfig(**values)

    @staticmethod
    def from_yaml(source: str | Path, **changes: Any) -> DeepConfig:
        """Read a published configuration file, or one with our own names.

        Raises
        ------
        ParameterError
            If a key is unknown, or a value not of its kind.
        FormatError
            If it is not YAML.
        """
        yaml = need("yaml", "deep", "a configuration file")
        what = source.name if isinstance(source, Path) else "the configuration"
        try:
            text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
            values = yaml.safe_load(text)
        except OSError as error:
            raise FormatError(f"{what} cannot be read: {error.strerror}") from error
        except Exception as error:  # PyYAML lets KeyError, AttributeError, RecursionError ... of odd scalars pass
            raise FormatError(f"{what} is not YAML: {' '.join(str(error).split())[:300]}") from error
        check(isinstance(values, dict), "the configuration must be a mapping of names to values")
        return DeepConfig.of(translate(values, NAMES) | changes)


NAMES = {field.name for field in fields(DeepConfig)}


def _checked(name: str, kind: str, value: Any) -> Any:
    """Return a setting as its field has it: numbers may come as text, whole ones as 1e2, tuples as lists."""
    if kind.startswith("tuple") and value is not None:
        check(isinstance(value, (list, tuple)), f"encdec must be a list of widths, got {brief(value)}")
        return tuple(_checked(name, "int", width) for width in value)
    if name == "devices":
        check(isinstance(value, (int, str)) or value == [0], f"devices must be 1, got {brief(value)}")
        return value
    text = isinstance(value, str) and (value == "auto" if name == "n_features" else "str" in kind)
    if text or (value is None and "None" in kind):
        return value
    if "bool" in kind:
        check(isinstance(value, (bool, np.bool_)), f"{name} must be true or false, got {brief(value)}")
        return bool(value)
    check(kind not in ("str", "str | None"), f"{name} must be a text, got {brief(value)}")
    whole = kind.startswith("int")
    message = f"{name} must be a {'whole ' if whole else ''}number, got {brief(value)}"
    try:
        number = float(value) if isinstance(value, (str, int, float, np.number)) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    check(not isinstance(value, bool) and (number.is_integer() if whole else not math.isnan(number)), message)
    value = int(value if isinstance(value, int) else number) if whole else number if isinstance(value, str) else value
    check_range(name, value, *RANGES[name])
    return value


def checked_config(config: DeepConfig | dict[str, Any] | str | Path | None, **changes: Any) -> DeepConfig:
    """Return a configuration from whatever form it is given in, with changes on top.

    Raises
    ------
    ParameterError
        If a setting is unknown or out of range.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if config is None or isinstance(config, dict):
        return DeepConfig.of(translate(config or {}, NAMES) | changes)
    if isinstance(config, DeepConfig):
        return replace(config, **changes)
    path = Path(config)
    if not path.is_file():
        raise ParameterError(f"no such configuration file: {path}")
    return DeepConfig.from_yaml(path, **changes)
