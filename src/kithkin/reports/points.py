"""Points of a page: their random order, maps, columns and names."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import KithkinError, check
from kithkin.core.execute import map_blocks
from kithkin.core.keys import Key
from kithkin.core.named import columns_of_tables
from kithkin.plot.data import Groups, Numbers, describe, value_range
from kithkin.plot.look.matching import color_together, own_colors
from kithkin.plot.look.palette import to_hexes
from kithkin.reports.encoding import MISSING, NOWHERE, BlockWriter, to_levels, to_places

log = logging.getLogger("kithkin")

MOST_POINTS = 10_000_000  # of a page; beyond, a sample
MOST_GROUPS = 65_534  # codes of two bytes
MOST_MATCHED = 400  # groups that take colours from each other
MOST_COLUMNS = 60  # of one table in obsm
CLIP = (0.2, 99.8)  # percentiles that are the ends of a scale
NAMES = 16_384  # names in a block: the page reads those of a part when one is asked for
GRID = 512  # cells of the map on a side, in which the density is counted for a sample
NAMED = {"X_umap": "UMAP", "X_tsne": "t-SNE", "X_pca": "PCA", "X_harmony": "Harmony", "X_diffmap": "Diffusion map"}
FIRST = ("X_umap", "X_tsne", "spatial")  # maps that are made to be looked at
# verb that made a column -> section of the list in which it is found
SECTIONS = {
    **dict.fromkeys(("quality", "doublets", "cell_cycle"), "quality"),
    **dict.fromkeys(("leiden", "paris", "kmeans", "count_mixture", "deep_clusters", "topics", "propagate"), "clusters"),
    **dict.fromkeys(("support", "relabel", "merge_labels", "split", "map_to", "apply"), "clusters"),
}
PROBABILITIES = ("mixture_probability", "deep_probability", "topics", "propagated")


def order_of(ds: Dataset, embedding: str | None, most: int, seed: int) -> Array:
    """Choose the random order of the points, row numbers in int64; of more than `most` rows a sample.

    A sample takes rows from dense places of the map less often than from sparse ones, by the square root of the
    density, so that small clusters stay.
    """
    random = np.random.default_rng(seed)
    if ds.n_obs <= most:
        return random.permutation(ds.n_obs)
    weights = np.ones(ds.n_obs)
    if embedding is not None:
        places = to_places(_plane(ds, embedding)).astype(np.int64) * GRID // 65_536
        tiles = places[:, 0] * GRID + places[:, 1]
        weights = 1 / np.sqrt(np.bincount(tiles)[tiles])
    # the largest of u ** (1 / w) are a sample with chances w: Efraimidis and Spirakis 2006,
    # doi:10.1016/j.ipl.2005.11.003
    keys = np.log(random.random(ds.n_obs)) / weights
    chosen = np.argpartition(keys, -most)[-most:]
    return random.permutation(chosen)


def embeddings_of(ds: Dataset) -> list[str]:
    """List the keys of tables in obsm that can be drawn as a map, those made to be looked at first."""
    found = []
    for key in ds.keys():  # noqa: SIM118
        name = key.removeprefix("obsm/")
        if not key.startswith("obsm/") or not (name.startswith("X_") or name == "spatial"):
            continue
        table = ds.blocks(key)
        shape: tuple[int, ...] = () if table.is_sparse else table.shape
        if len(shape) == 2 and shape[1] >= 2 and (shape[1] <= 3 or name in NAMED or name == "X_latent"):
            found.append(key)
    rank = {f"obsm/{name}": place for place, name in enumerate(FIRST)}
    return sorted(found, key=lambda key: rank.get(key, len(rank)))


def _plane(ds: Dataset, key: str) -> Array:
    """Read the first two columns of a table."""
    return np.concatenate(list(map_blocks(first_two, ds.blocks(key), ds.execution, "map")))


def first_two(block: Array, start: int) -> Array:  # noqa: ARG001  (map_blocks gives it)
    """Take the first two columns of some rows."""
    return np.asarray(block[:, :2], np.float64)  # places far from 0 need all of it


def write_embeddings(ds: Dataset, keys: list[str], order: Array, blocks: BlockWriter) -> list[dict[str, Any]]:
    """Write the maps, and describe them."""
    out = []
    for key in keys:
        raw = key.removeprefix("obsm/")
        name = NAMED.get(raw, raw.removeprefix("X_"))
        xy = _plane(ds, key)[order]
        if raw == "spatial":  # images count rows from the top
            xy = xy * np.array([1.0, -1.0])
        axes = [f"{name} 1", f"{name} 2"] if raw != "spatial" else ["x", "y"]
        entry = {"key": key, "name": name, "axes": axes, "block": blocks.add(to_places(xy))}
        out.append(entry | stale_mark(ds, key))
    return out


def columns_to_show(ds: Dataset) -> list[str]:
    """List the columns of obs, and those of tables in obsm that are scores or probabilities."""
    tables: dict[str, list[str]] = {}
    for name in columns_of_tables(ds):
        tables.setdefault(name.rpartition("/")[0], []).append(name)
    for key in ds.keys():  # noqa: SIM118
        if key.removeprefix("obsm/") in PROBABILITIES and key not in tables:
            width = ds.blocks(key).shape[1] if len(getattr(ds.blocks(key), "shape", ())) == 2 else 0
            tables[key] = [f"{key}/{k}" for k in range(width)]
    few = [name for names in tables.values() if len(names) <= MOST_COLUMNS for name in names]
    return [*(f"obs/{name}" for name in ds.obs.columns), *few]


def write_columns(
    ds: Dataset, keys: list[str], order: Array, blocks: BlockWriter, by: str | None, *, asked: bool
) -> list[dict[str, Any]]:
    """Write the columns, groups as codes and numbers as levels, and describe them.

    Groups that a column shares with the clusters of the page have their colours. Columns of text in which nearly every
    row is another one are names; these, columns without values and what cannot be read are left out, and a note says
    which.

    Parameters
    ----------
    by
        Clusters that the page opens with.
    asked
        Whether the columns were named, so that none may be left out.

    Raises
    ------
    ParameterError
        If a column that was named cannot be shown.
    """
    makers = {key: entry.verb for entry in ds.lineage.entries for key in entry.outputs}
    samples, out, left = samples_of_steps(ds), list[dict[str, Any]](), list[str]()
    reference = describe(ds, by) if by is not None else None
    for key in keys:
        try:
            what = describe(ds, key, name="columns")
            reason = unshowable(what, ds.n_obs)
        except KithkinError as error:  # a column of another program, of a kind that is not read
            if asked:
                raise
            what, reason = None, str(error)
        if what is None or reason:
            check(not asked, f"columns: {key} cannot be shown: {reason}")
            left.append(key)
            continue
        if isinstance(what, Groups) and reference is None:
            reference = what
        parsed = Key.parse(key)
        section = "samples" if key in samples else SECTIONS.get(makers.get(key, ""), "other")
        if parsed.place == "obsm":
            section = "probabilities" if parsed.name.partition("/")[0] in PROBABILITIES else "scores"
        entry = {"key": key, "name": parsed.name if parsed.place == "obs" else what.title, "section": section}
        values = groups_entry(what, reference, order, blocks) if isinstance(what, Groups) else None
        out.append(entry | (values or numbers_entry(what, order, blocks)) | stale_mark(ds, key))  # type: ignore[arg-type]
    if left:
        log.info("not on the page, as they are names, or hold no values that can be shown: %s", ", ".join(left))
    return out


def unshowable(what: Numbers | Groups, n_obs: int) -> str:
    """Say why a column cannot be shown; "" if it can."""
    if isinstance(what, Numbers):
        return "" if np.isfinite(what.values).any() else "it holds no finite number"
    if len(what.names) > min(MOST_GROUPS, max(200, n_obs // 2)):
        return f"it holds {len(what.names):,} different values, which are names and no groups"
    return ""


def stale_mark(ds: Dataset, key: str) -> dict[str, bool]:
    """Mark what is out of date; a column of a table as the table."""
    whole = "/".join(key.split("/")[:2])
    return {"stale": True} if ds.lineage.is_stale_key(whole) else {}


def groups_entry(what: Groups, reference: Any, order: Array, blocks: BlockWriter) -> dict[str, Any]:
    """Write the codes of groups, and describe them with their colours."""
    few = isinstance(reference, Groups) and max(len(what.names), len(reference.names)) <= MOST_MATCHED
    colored = color_together([reference, what], dark=True)[1] if few and what.title != reference.title else what
    wide = len(what.names) > MISSING
    codes = np.where(what.codes < 0, NOWHERE if wide else MISSING, what.codes)[order]
    entry = {"kind": "groups", "names": what.names, "colors": to_hexes(own_colors(colored, dark=True))}
    block = blocks.add(codes.astype(np.uint16 if wide else np.uint8))
    return entry | {"sizes": what.sizes().tolist(), "bytes": 2 if wide else 1, "block": block}


def numbers_entry(what: Numbers, order: Array, blocks: BlockWriter) -> dict[str, Any]:
    """Write the levels of numbers, and describe their scale."""
    scale = scale_of(what.values)
    values = np.where(np.isnan(what.values), np.nan, np.clip(what.values, scale["low"], scale["high"]))[order]
    block = blocks.add(to_levels(values, scale["low"], scale["high"]))
    return {"kind": "numbers", "unit": what.unit, **scale, "block": block}


def scale_of(values: Array) -> dict[str, Any]:
    """Choose the ends of a scale, and say at which of them values lie beyond.

    Examples
    --------
    >>> scale_of(np.array([1.0, 2.0, np.nan]))
    {'low': 1.002, 'high': 1.998, 'clipped': [True, True]}
    """
    finite = values[np.isfinite(values)]
    low, high = value_range(finite, CLIP)
    beyond = [bool(finite.min() < low), bool(finite.max() > high)] if len(finite) else [False, False]
    return {"low": float(low), "high": float(high), "clipped": beyond}


def samples_of_steps(ds: Dataset) -> set[str]:
    """List the columns that steps took for samples, batches or conditions."""
    parameters = [entry.parameters for entry in ds.lineage.entries if entry.verb not in SECTIONS]
    named = {str(one[word]) for one in parameters for word in ("sample", "batch") if isinstance(one.get(word), str)}
    named |= {str(one["by"]) for one in parameters if "sample" in one and isinstance(one.get("by"), str)}
    return {key if "/" in key else f"obs/{key}" for key in named}


def write_names(ds: Dataset, order: Array, blocks: BlockWriter) -> dict[str, Any]:
    """Write the names of the points in parts; where names are but the numbers of the rows, these."""
    names = ds.obs_names
    if names.equals(names.__class__(np.arange(len(names)).astype(str), dtype=object)):
        return {"row_block": blocks.add(order.astype(np.uint32))}
    parts = [names[order[start : start + NAMES]].tolist() for start in range(0, len(order), NAMES)]
    texts = (json.dumps([str(name) for name in part]) for part in parts)
    return {"size": NAMES, "blocks": [blocks.add(text.encode("ascii")) for text in texts]}
