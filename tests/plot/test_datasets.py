"""The figures of a dataset on disk, with results as the steps write them."""

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.errors import MissingResultError


def test_thresholds_of_subset_are_marked(dataset, tmp_path):
    part = kk.subset(dataset, cells="n_genes > 20 and pct_mito < 90", to=tmp_path / "part.zarr")
    figure = kk.plot.quality(part)
    marked = {
        ax.get_title(loc="left"): [float(line.get_ydata()[0]) for line in ax.lines if line.get_linestyle() == "--"]
        for ax in figure.axes
    }
    assert marked["genes per cell"] == [20]
    assert marked["mitochondrial counts (%)"] == [90]


def test_markers_lead_to_dots_and_to_a_heat_map(dataset):
    kk.markers(dataset, by="obs/group")
    figure = kk.plot.dotplot(dataset, by="obs/group", n_genes=2)
    genes = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    marker_of = dataset.var["marker_of"]
    assert np.mean([marker_of[gene] != "" for gene in genes]) > 0.8
    values = kk.plot.heatmap(dataset, by="obs/group", n_genes=2, n_cells=80).axes[0].images[0].get_array()
    assert values.shape == (len(genes), 80)


def test_a_gene_on_the_first_components(dataset):
    kk.pca(dataset, n_components=5)
    gene = str(dataset.var_names[60])
    figure = kk.plot.scatter(dataset, on="obsm/X_pca", color=["group", gene, "obs/n_counts"], dims=(1, 2))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["group", gene, "n_counts"]
    assert figure.axes[0].get_xlabel() == "PC 2"
    assert len(kk.plot.elbow(dataset).axes[0].lines[0].get_xdata()) == 5


def test_what_is_missing_names_its_step(dataset):
    with pytest.raises(MissingResultError, match=r"Run kithkin.umap\(ds\) first"):
        kk.plot.scatter(dataset)
    with pytest.raises(MissingResultError, match=r"Run kithkin.leiden\(ds\) first"):
        kk.plot.dotplot(dataset)
