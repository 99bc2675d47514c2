"""Points of a page: their random order, maps, columns and names."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.execute import map_blocks
from kithkin.core.keys import Key
from kithkin.core.named import columns_of_tables
from kithkin.plot.data import Groups, Numbers, describe, value_range
from kithkin.plot.look.matching import color_together, own_colors
from kithkin.plot.look.palette import to_hexes
from kithkin.reports.encoding import BlockWriter, to_levels, to_places

MOST_POINTS = 10_000_000  # of a page; beyond, a sample
MOST_GROUPS = 65_534  # codes of two bytes
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
        shape: tuple[int, ...] = getattr(ds.blocks(key), "shape", ())
        if len(shape) == 2 and shape[1] >= 2 and (shape[1] <= 3 or name in NAMED or name == "X_latent"):
            found.append(key)
    rank = {f"obsm/{name}": place for place, name in enumerate(FIRST)}
    return sorted(found, key=lambda key: rank.get(key, len(rank)))


def _plane(ds: Dataset, key: str) -> Array:
    """Read the first two columns of a table."""
    return np.concatenate(list(map_blocks(first_two, ds.blocks(key), ds.execution, "map")))


def first_two(block: Array, start: int) -> Array:  # noqa: ARG001  (map_blocks gives it)
    """Take the first two columns of some rows."""
    return np.asarray(block[:, :2], np.float32)


def write_embeddings(ds: Dataset, keys: list[str], order: Array, blocks: BlockWriter) -> list[dict[str, Any]]:
    """Write the maps, and describe them."""
    out = []
    for key in keys:
        raw = key.removeprefix("obsm/")
        name = NAMED.get(raw, raw.removeprefix("X_"))
        xy = _plane(ds, key)[order]
        if raw == "spatial":  # images count rows from the top
            xy = xy * np.array([1, -1], np.float32)
        axes = [f"{name} 1", f"{name} 2"] if raw != "spatial" else ["x", "y"]
        out.append({"key": key, "name": name, "axes": axes, "block": blocks.add(to_places(xy))})
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


def write_columns(ds: Dataset, keys: list[str], order: Array, blocks: BlockWriter) -> list[dict[str, Any]]:
    """Write the columns, groups as codes and numbers as levels, and describe them.

    Clusters that two partitions share have the same colour. Columns of text in which nearly every row is another one
    are names, and left out.
    """
    makers = {key: entry.verb for entry in ds.lineage.entries for key in entry.outputs}
    samples = samples_of_steps(ds)
    found: dict[str, Numbers | Groups] = {}
    for key in keys:
        what = describe(ds, key, name="columns")
        if isinstance(what, Groups) and (len(what.names) > MOST_GROUPS or len(what.names) > max(200, ds.n_obs // 2)):
            continue
        if isinstance(what, Numbers) and not np.isfinite(what.values).any():
            continue
        found[key] = what
    partitions = [key for key in found if isinstance(found[key], Groups) and len(found[key].names) <= 400]  # type: ignore[union-attr]
    partitions.sort(key=lambda key: SECTIONS.get(makers.get(key, ""), "other") != "clusters")
    colored = dict(zip(partitions, color_together([found[key] for key in partitions], dark=True), strict=True))  # type: ignore[misc]
    out: list[dict[str, Any]] = []
    for key, what in found.items():
        parsed = Key.parse(key)
        section = "samples" if key in samples else SECTIONS.get(makers.get(key, ""), "other")
        if parsed.place == "obsm":
            section = "probabilities" if parsed.name.partition("/")[0] in PROBABILITIES else "scores"
        entry: dict[str, Any] = {"key": key, "name": parsed.name if parsed.place == "obs" else what.title}
        entry |= {"section": section}
        if isinstance(what, Groups):
            wide = len(what.names) > 255
            codes = np.where(what.codes < 0, 65_535 if wide else 255, what.codes)[order]
            shades = own_colors(colored.get(key, what), dark=True)
            entry |= {"kind": "groups", "names": what.names, "colors": to_hexes(shades)}
            entry |= {"sizes": what.sizes().tolist(), "bytes": 2 if wide else 1}
            entry["block"] = blocks.add(codes.astype(np.uint16 if wide else np.uint8))
        else:
            finite = what.values[np.isfinite(what.values)]
            low, high = value_range(finite, CLIP)
            entry |= {"kind": "numbers", "low": low, "high": high, "unit": what.unit}
            entry["block"] = blocks.add(
                to_levels(np.where(np.isfinite(what.values), what.values, np.nan), low, high)[order]
            )
        out.append(entry)
    return out


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
