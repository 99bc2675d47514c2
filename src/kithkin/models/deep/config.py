"""Settings of gated deep clustering, under the names of the published configuration files and under our own."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import FormatError, ParameterError, check, check_choice, check_range
from kithkin.optional import need

SCALES = ("auto", "none", "minmax", "standard", "log1p")
STARTS = ("map", "kmeans", "none")
PRECISIONS = ("auto", "float32", "mixed")
SCALERS = {"MinMaxScaler": "minmax", "StandardScaler": "standard", None: "none"}
DATA = ("filepath_samples", "dataset", "data_dir")
RENAMED = {
    "num_clusters": "n_clusters",
    "use_gating": "gates",
    "gtcr_loss": "coding_rate",
    "seeds": "n_starts",
    "validate": "validate",
    "save_seed_checkpoints": "keep_checkpoint",
}
NESTED = {
    "lr": {"pretrain": "lr_pretrain", "clustering": "lr_clustering", "aux_classifier": "lr_aux_classifier"},
    "sched": {"pretrain_min_lr": "min_lr_pretrain", "clustering_min_lr": "min_lr_clustering"},
    "trainer": {
        "max_epochs": "max_epochs",
        "accelerator": "device",
        "devices": "devices",
        "deterministic": "deterministic",
        "logger": "tensorboard",
        "log_every_n_steps": "log_every_n_steps",
        "check_val_every_n_epoch": "validate_every",
        "enable_checkpointing": "keep_checkpoint",
        "num_sanity_val_steps": "sanity_steps",
    },
}


@dataclass(frozen=True)
class DeepConfig:
    """Everything that gated clustering can be told.

    Epochs and widths that are None are chosen from the size of the table: see `resolved`.

    Attributes
    ----------
    n_clusters
        Clusters.
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
        What trains them. "scores": each cluster scores all rows through its own gates (LabelGates), when all else is
        done. "classifier": one classifier sees each row through the gates of its own cluster, in epochs after the head,
        as published; that which gates are open then tells the cluster too.
    scale
        "log1p": log1p(10,000 count / total of the row). "minmax", "standard": by column. "none". "auto": log1p for
        sparse counts, else minmax.
    start
        What the head learns first. "map": of Gaussian mixtures on several UMAPs of the leading components of the table,
        and of communities of its graph of neighbours merged to as many clusters, those that part the graph best (few
        links cut, sizes not too uneven). "kmeans": k-means of these components. "none": nothing, the coding
        rate alone finds the clusters, as published.
    guide
        Weight with which gates and encoder learn to tell the clusters of the start, beside the reconstruction. 0: they
        only reconstruct, as published.
    focus
        How far the error of a column counts, while gates are trained, by the share of its variance that the clusters of
        the start explain: 0, all columns alike, as published; 1, in proportion. Else a column of noise is worth an open
        gate as much as one that tells clusters apart.
    settle
        Whether rows take the shares of their neighbours in the embedding of the gated rows before the head learns them.
    refine
        Whether the head goes on by the coding rate after its start.
    batch_size
        Rows of a step.
    n_starts
        Trainings from different random numbers, of which the one whose labels fit the graph of neighbours best stays.
    ae_non_gated_epochs, ae_pretrain_epochs, start_global_gates_training_on_epoch, max_epochs
        Numbers of the last epoch without gates, of the last epoch of the autoencoder, of the first epoch of the
        classifier of the cluster gates (without one the head goes on), and how many epochs there are: absolute, counted
        from 0, as published. They are all given or none.
    mask_percentage
        Share of the values that is hidden from the autoencoder that must fill them in.
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
        At the end of their cosine schedules (`sched`).
    device, devices
        "auto", "cpu", "cuda" or "gpu"; and how many, of which one is used.
    precision
        "mixed": products in half the bits. "auto": where the device computes them faster.
    torch_threads
        Threads within a product: results differ by rounding between numbers of them, and repeat for each.
    deterministic
        Whether a device is held to algorithms that repeat.
    validate, validate_every
        Whether indices of the embedding are computed in training, and every how many epochs.
    tensorboard
        Whether to write event files, and to which folder.
    log_every_n_steps
        Steps between two values in them.
    sanity_steps
        Batches of the table that are passed through the networks before training starts, which must give numbers.
    checkpoint_seconds
        Least time between two writings of the state of training.
    frames
        Snapshots of the embedding of up to 2,000 rows that are kept of the training, for an animation; 0: none.
    keep_checkpoint
        Whether the state of training stays after a fit with a checkpoint; without one it has no effect.
    tolerance, patience
        A phase ends when its loss has not fallen by this share for so many epochs. 0: never.
    source
        Where a published file says that the rows come from; kept, for the reader.

    Examples
    --------
    >>> DeepConfig(n_clusters=10).batch_size
    128
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
        check_range("n_clusters", self.n_clusters, 1, 10**6)
        check_choice("scale", self.scale, SCALES)
        check_choice("start", self.start, STARTS)
        check_choice("gates_by", self.gates_by, ("scores", "classifier"))
        check_choice("gtcr_of", self.gtcr_of, ("used", "open"))
        check_choice("precision", self.precision, PRECISIONS)
        if isinstance(self.n_features, str):
            check_choice("n_features", self.n_features, ("auto",))
        elif self.n_features is not None:
            check_range("n_features", self.n_features, 0.1, 1e9)
            check(self.gates, "n_features needs gates=True")
        for name, low, high in RANGES:
            if getattr(self, name) is not None or name not in OPTIONAL:
                check_range(name, getattr(self, name), low, high)
        check(self.refine or self.start != "none", "start='none' needs refine=True: nothing else finds clusters")
        epochs = self.epochs_given()
        check(None not in epochs or set(epochs) == {None}, f"{', '.join(EPOCHS)} must all be given, or none of them")
        if None not in epochs:
            check(list(epochs) == sorted(epochs), f"{', '.join(EPOCHS)} must ascend, got {epochs}")  # type: ignore[type-var]
        if self.encdec is not None:
            for width in self.encdec:
                check_range("encdec", width, 1, 10**6)
            check(len(self.encdec) % 2 == 1, f"encdec must have an odd number of widths, got {len(self.encdec)}")

    def epochs_given(self) -> tuple[int | None, ...]:
        """The four numbers of epochs, absolute."""
        return tuple(getattr(self, name) for name in EPOCHS)

    def resolved(self, n_rows: int, n_columns: int) -> DeepConfig:
        """The same with what was left open chosen for a table.

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
        """Epochs of each phase of a resolved configuration: autoencoder, gates, head, classifier."""
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
        """Whether gates of clusters are trained after all epochs."""
        return self.classifier and self.gates_by == "scores"

    def to_dict(self) -> dict[str, Any]:
        """As a mapping that JSON can hold."""
        return asdict(self)

    @staticmethod
    def of(values: dict[str, Any]) -> DeepConfig:
        """From our own names; unknown ones are refused.

        Raises
        ------
        ParameterError
            Naming what is unknown.
        """
        known = {field.name for field in fields(DeepConfig)}
        unknown = sorted(set(values) - known)
        check(not unknown, f"unknown settings: {', '.join(unknown)}")
        return DeepConfig(**{name: _of_kind(name, value) for name, value in values.items()})

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
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            where = source.name if isinstance(source, Path) else "the configuration"
            raise FormatError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
        check(isinstance(found, dict), "the configuration must be a mapping of names to values")
        return DeepConfig.of(translated(found) | changes)


WIDE = 2000  # columns above which the layer of the gate network is kept narrow
EPOCHS = ("ae_non_gated_epochs", "ae_pretrain_epochs", "start_global_gates_training_on_epoch", "max_epochs")
RANGES = (
    ("batch_size", 2, 10**6),
    ("n_starts", 1, 1000),
    ("guide", 0.0, 1e6),
    ("focus", 0.0, 1.0),
    ("mask_percentage", 0.0, 1.0),
    ("latent_noise_std", 0.0, 10.0),
    ("gtcr_lambda", 0.0, 1e6),
    ("gtcr_eps", 1e-6, 1e6),
    ("eps", 1e-6, 1e6),
    ("tau", 1e-3, 1e6),
    ("local_gates_lambda", 0.0, 1e9),
    ("global_gates_lambda", 0.0, 1e9),
    ("lr_pretrain", 1e-9, 10.0),
    ("lr_clustering", 1e-9, 10.0),
    ("lr_aux_classifier", 1e-9, 10.0),
    ("tolerance", 0.0, 1.0),
    ("patience", 1, 10**6),
    ("torch_threads", 1, 1024),
    ("checkpoint_seconds", 0.0, 1e9),
    ("validate_every", 1, 10**6),
    ("log_every_n_steps", 1, 10**6),
    ("sanity_steps", 0, 10**6),
    ("frames", 0, 1000),
    ("n_global_features", 0.0, 1e9),
    ("gates_hidden_dim", 1, 10**6),
    ("clustering_hidden_dim", 1, 10**6),
    ("aux_hidden_dim", 1, 10**6),
    ("gtcr_projection_dim", 1, 10**6),
    ("init_std", 1e-12, 1e3),
    ("min_lr_pretrain", 0.0, 10.0),
    ("min_lr_clustering", 0.0, 10.0),
    *((name, 0, 10**6) for name in EPOCHS),
)
OPTIONAL = ("n_global_features", "gates_hidden_dim", "gtcr_projection_dim", "init_std", *EPOCHS)


def _of_kind(name: str, value: Any) -> Any:
    """A setting as its field has it: whole numbers may come as 1e2, lists stand for tuples."""
    kind = next(field.type for field in fields(DeepConfig) if field.name == name)
    if name == "encdec" and value is not None:
        check(isinstance(value, (list, tuple)), f"encdec must be a list of widths, got {value!r}")
        return tuple(_whole(name, width) for width in value)
    if str(kind) == "bool":
        check(isinstance(value, (bool, np.bool_)), f"{name} must be true or false, got {value!r}")
        return bool(value)
    if str(kind).startswith("int") and value is not None and name != "devices":
        return _whole(name, value)
    if str(kind) == "str":
        check(isinstance(value, str), f"{name} must be a text, got {value!r}")
    return value


def _whole(name: str, value: Any) -> int:
    whole = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and float(value).is_integer()
    check(whole, f"{name} must be a whole number, got {value!r}")
    return int(value)


def translated(published: dict[str, Any]) -> dict[str, Any]:
    """Settings under the names of the published files, as those of DeepConfig; our own names pass.

    A file with a published key gets the published behaviour where it is silent: no start, the coding rate alone.

    Raises
    ------
    ParameterError
        If a key is unknown.

    Examples
    --------
    >>> found = translated({"num_clusters": 3, "lr": {"pretrain": "1e-3"}, "trainer": {"max_epochs": 20}})
    >>> found["n_clusters"], found["lr_pretrain"], found["max_epochs"]
    (3, 0.001, 20)
    """
    known = {field.name for field in fields(DeepConfig)}
    theirs = {*RENAMED, *NESTED, *DATA, "epochs", "scaler", "clustering_head", "aux_classifier"}
    unknown = sorted(set(published) - known - theirs)
    check(not unknown, f"unknown settings: {', '.join(unknown)}")
    out: dict[str, Any] = {}
    kept = published.get("save_seed_checkpoints"), (published.get("trainer") or {}).get("enable_checkpointing")
    if set(published) & (theirs - known):
        out |= {"start": "none", "refine": True, "mask_percentage": 0.9, "init_std": 0.001, "tolerance": 0.0}
        out |= {
            "n_features": None,
            "guide": 0.0,
            "focus": 0.0,
            "gates_by": "classifier",
            "settle": False,
            "n_global_features": 0.0,
            "clustering_hidden_dim": 2048,
            "aux_hidden_dim": 2048,
        }
    out |= {"max_epochs": published["epochs"]} if published.get("epochs") is not None else {}
    for key, value in published.items():
        if key in NESTED:
            out |= _nested(key, value)
        elif key not in {*DATA, "epochs", "scaler", "clustering_head", "aux_classifier"}:
            out[RENAMED.get(key, key)] = _number(value)
    out |= _reshaped(published)
    out |= {"keep_checkpoint": any(kept)} if kept != (None, None) else {}
    given = [str(published[key]) for key in DATA if published.get(key) is not None]
    return out | ({"source": " ".join(given)} if given else {})


def _nested(key: str, block: Any) -> dict[str, Any]:
    check(isinstance(block, dict), f"{key} must be a mapping, got {block!r}")
    unknown = sorted(set(block) - set(NESTED[key]))
    check(not unknown, f"unknown settings: {', '.join(f'{key}.{name}' for name in unknown)}")
    return {NESTED[key][name]: _number(value) for name, value in block.items()}


def _reshaped(published: dict[str, Any]) -> dict[str, Any]:
    """What the published files write in another form: the scaler by its class, heads as lists of widths."""
    out: dict[str, Any] = {}
    if "scaler" in published:
        check_choice("scaler", published["scaler"], tuple(SCALERS))
        out["scale"] = SCALERS[published["scaler"]]
    head = published.get("clustering_head")
    if head is not None:
        check(isinstance(head, list) and len(head) == 2, f"clustering_head must be two widths, got {head!r}")
        widths: Any = published.get("encdec")
        check(isinstance(widths, list) and len(widths) > 0, "clustering_head needs encdec, whose middle it begins with")
        middle = widths[len(widths) // 2]
        check(middle == head[0], f"clustering_head must begin with the width of the embedding, {middle}, got {head[0]}")
        out["clustering_hidden_dim"] = head[1]
    if published.get("aux_classifier") is not None:
        width = published["aux_classifier"]
        one = not isinstance(width, list) or len(width) == 1
        check(one, f"aux_classifier must be one width, got {width!r}")
        out["aux_hidden_dim"] = width[0] if isinstance(width, list) else width
    return out


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-3 for text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def checked_config(config: DeepConfig | dict[str, Any] | str | Path | None, **changes: Any) -> DeepConfig:
    """A configuration from whatever form it is given in, with changes on top.

    Raises
    ------
    ParameterError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> checked_config({"n_clusters": 3}, n_features=15).n_features
    15
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if config is None or isinstance(config, dict):
        return DeepConfig.of(translated(config or {}) | changes)
    if isinstance(config, DeepConfig):
        return DeepConfig.of(config.to_dict() | changes)
    path = Path(config)
    if not path.is_file():
        raise ParameterError(f"no such configuration file: {path}")
    return DeepConfig.from_yaml(path, **changes)
