"""Interpretable deep clustering of a dataset."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.elements import columns_of
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_key
from kithkin.models.deep.config import DeepConfig, checked_config
from kithkin.models.deep.gated_clustering import GatedClustering
from kithkin.models.table.columns import choose
from kithkin.verbs.arguments.labels import label_column

log = logging.getLogger("kithkin")
UNSEEN = ("device", "devices", "tensorboard", "log_every_n_steps", "checkpoint_seconds", "keep_checkpoint", "source")


def deep_clusters(
    ds: Dataset,
    n_clusters: int | None = None,
    *,
    n_features: float | str | None = None,
    features: str | None = None,
    gates: bool | None = None,
    scale: Literal["auto", "none", "minmax", "standard", "log1p"] | None = None,
    n_starts: int | None = None,
    config: DeepConfig | dict[str, Any] | str | Path | None = None,
    labels: str | None = None,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    on: str = "X",
    key: str | None = "obs/deep",
    seed: int = 0,
) -> pd.Series[Any]:
    """Interpretable deep clustering: clusters, and the features that define each cell and cluster.

    Parameters
    ----------
    ds
        The dataset.
    n_clusters
        Number of clusters; by default that of the configuration, or 8.
    n_features
        Number of open features wanted in a row, such as 15; by default that of the configuration, or chosen by the
        width of the table.
    features
        Boolean column of var that chooses features; all features by default.
    gates
        Let gates choose features; without them, as an ablation, every row sees all features.
    scale
        "log1p": log1p(10,000 count / total of the row). "minmax", "standard": by column. "auto": log1p for counts,
        else minmax. X holds counts if its kind is counts (`kithkin info`) and its values are like those of counts,
        another table if its values are, whether it is stored sparse or dense.
    n_starts
        Number of trainings, of which the one whose labels fit the graph of neighbours best stays.
    config
        Settings for everything else: a YAML file with the published keys or our own. In Python also a mapping.
    labels
        Column of obs with known classes, for monitoring only: with the key validate in the configuration the history
        tells how the clusters agree with them. Without it they have no effect.
    device
        Device for torch: "auto", "cpu" or "cuda".
    checkpoint
        File to which the training is saved, and from which an interrupted one goes on. Where the dataset holds the
        result already, nothing is trained and neither this nor event files are written; without a key it trains again.
    on
        Table to read: X, a layer, or a table in obsm.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the random numbers.

    Returns
    -------
    Series
        n labels "0", "1", ... by descending size, categorical. Also stored under the same name: obsm/deep_probability
        (n x K), obsm/X_deep (embedding), uns/deep (history, counts of features, params, the scale
        that was chosen; snapshots of the training if the configuration asks for `frames`, for kithkin.animate), and for
        a table of features layers/gates (n x p, gates of each row, sparse; layers/<name>_gates for another key; empty,
        and "gates_kept" in uns/deep false, if they were too many to keep) and varm/deep_gates (p x K, gates of each
        cluster).

    Raises
    ------
    KithkinError
        If torch is not installed.
    ParameterError
        If a setting is unknown or out of range.

    References
    ----------
    Svirsky and Lindenbaum 2024, doi:10.48550/arXiv.2306.04785.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.deep_clusters(ds, 2, n_features=20).nunique()  # doctest: +SKIP
    2
    """
    # Long: the outputs depend on the table and the settings
    target = Key.of(key, "obs/deep")
    features = None if features is None else str(Key.parse(features, "var", option="features"))
    changes = {"n_clusters": n_clusters, "n_features": n_features, "gates": gates, "scale": scale}
    settings = checked_config(config, **changes, n_starts=n_starts, device=device)
    given = {name: value for name, value in settings.to_dict().items() if value is not None and name not in UNSEEN}
    classes = None if labels is None or not settings.validate else str(Key.parse(labels, "obs", option="labels"))
    if labels is not None and classes is None:
        log.warning('labels=%r has no effect without config={"validate": True}', labels)
    parameters = given | {"features": features, "on": on, "seed": seed}
    parameters |= {} if classes is None else {"labels": classes}
    outputs = {str(target): "labels", str(target.beside("obsm", "_probability")): "probability"}
    outputs |= {f"obsm/X_{target.name}": "embedding", str(target.beside("uns")): "info"}
    of_variables = Key.parse(on, option="on").place in ("X", "layers")
    if of_variables and settings.gates:
        outputs["layers/gates" if target.name == "deep" else str(target.beside("layers", "_gates"))] = "gates"
    if of_variables and settings.classifier:
        outputs[str(target.beside("varm", "_gates"))] = "global"
    used = settings
    if settings.scale == "auto" and on == "X" and ds.stores_kind and ds.kind != "counts":
        used = replace(settings, scale="minmax")  # a format that holds counts is no evidence: their values must say so
    inputs = (on, *(column for column in (features, classes) if column is not None))

    def compute() -> dict[str, Any]:
        mask = None if features is None else ds.read(features).to_numpy().astype(bool)
        columns = choose(mask, ds.blocks(on).shape[1])
        known = None if classes is None else ds.read(classes).astype(str).to_numpy()
        model = GatedClustering(config=used, checkpoint=checkpoint, seed=seed)
        stored = totals_key(ds, on) if ds.blocks(on).dtype.kind in "ui" else None  # sums of others depend on the order
        totals = None if stored is None else ds.read(stored).to_numpy()
        model.fit(ds.blocks(on), mask, known, ds.execution, totals)
        results = _results(ds, model, columns, str(target), parameters)
        return {output: results[kind] for output, kind in outputs.items()}

    step = Step("deep_clusters", 3, parameters, inputs, tuple(outputs))
    if key is not None and ds.lineage.is_current(step) and (settings.tensorboard or settings.keep_checkpoint):
        wanted = "event files" if settings.tensorboard else "checkpoint"
        log.warning("%s is there already, so nothing is trained and no %s written: key=None trains", target, wanted)
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def _results(
    ds: Dataset, model: GatedClustering, columns: Array, key: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return all results as they are stored, by kind."""
    K, gates = model.soft_labels_.shape[1], model.gates_
    given = {name: value for name, value in parameters.items() if value is not None}
    info: dict[str, Any] = {
        "params": {name: np.array(value) if isinstance(value, tuple) else value for name, value in given.items()},
        "history": columns_of(model.history_),
        "feature_counts": model.feature_counts_,
        "criteria": np.array(model.criteria_),
        "gates_accuracy": model.gates_accuracy_,
        "scale": model.scale_.name,
    }
    info |= {"gates_kept": gates is not None} if model.config_.gates else {}
    info |= {"frames": model.frames_} if model.frames_ is not None else {}
    results = {
        "labels": label_column(ds, key, model.labels_, range(K)),
        "probability": model.soft_labels_,
        "embedding": model.embedding_,
        "info": info,
    }
    if len(columns) <= ds.n_vars:
        everywhere = np.full((ds.n_vars, K), np.nan, np.float32)
        everywhere[columns] = model.global_gates_.T
        results["global"] = everywhere
        # an empty matrix where there were too many gates to keep
        results["gates"] = sparse.csr_matrix(ds.shape, dtype=np.float32)
        if gates is not None:
            results["gates"] = sparse.csr_matrix((gates.data, columns[gates.indices], gates.indptr), shape=ds.shape)
    return results
