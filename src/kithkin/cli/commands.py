"""List of the commands in groups, each with a line for a newcomer and examples that the tests run."""

from __future__ import annotations

from typing import NamedTuple

from kithkin.core.suggest import suggest


class Listed(NamedTuple):
    """A command in the list: the public name that it calls, its line of the list, and examples."""

    public: str
    line: str
    examples: tuple[str, ...]


class OwnLine(NamedTuple):
    """A command of cut_cells, which has an argument line of its own: command, function and line of the list."""

    command: str
    run: str
    help: str


GROUPS: dict[str, dict[str, Listed]] = {
    "Start here": {
        "run": Listed(
            "run",
            "From a file to clusters, a map and markers",
            ("run cells.h5ad --to cells.zarr --memory 2GB", "run table.csv --to table.zarr --n-neighbors 20"),
        ),
        "demo": Listed("demo", "See it at work on simulated cells and digits", ("demo --to demo",)),
        "convert": Listed(
            "read",
            "Import a file or folder, and compute nothing else",
            (
                "convert cells.h5ad --to raw.zarr",
                "convert first.h5ad second.h5ad --to both.zarr",
            ),
        ),
        "append": Listed("append", "Add further samples to a dataset", ("append both.zarr third.h5ad",)),
    },
    "Look at it": {
        "info": Listed("info", "List what a dataset holds", ("info cells.zarr",)),
        "summary": Listed("summary", "Clusters with their sizes and markers, as text", ("summary cells.zarr",)),
        "report": Listed(
            "report",
            "Write an interactive page of maps and clusters",
            ("report cells.zarr", "report cells.zarr --to page.html --genes MT-1"),
        ),
        "figures": Listed(
            "figures",
            "Draw every figure into a folder",
            ("figures cells.zarr --to figures", "figures cells.zarr --to figures --values n_counts"),
        ),
        "animate": Listed("animate", "Write an animation", ("animate cells.zarr --what umap --to map.gif",)),
        "history": Listed("history", "List the steps done, and which are out of date", ("history cells.zarr",)),
        "check": Listed("check", "Find files that are damaged", ("check cells.zarr",)),
        "verify": Listed(
            "verify",
            "Make results again from their source, and compare",
            ("verify cells.zarr --against cells.h5ad", "verify cells.html --against cells.h5ad"),
        ),
    },
    "Prepare": {
        "quality": Listed("quality", "Counts, genes and mitochondrial share of each cell", ("quality raw.zarr",)),
        "subset": Listed(
            "subset",
            "Keep the cells and genes that meet a condition",
            ('subset raw.zarr --cells "n_genes >= 20 and pct_mito < 20" --genes "n_cells >= 3" --to clean.zarr',),
        ),
        "variable-genes": Listed(
            "variable_genes", "Choose the genes that vary most", ("variable-genes clean.zarr --n-genes 100",)
        ),
        "scale": Listed("scale", "Bring columns of many units to one scale", ("scale table.zarr --method robust",)),
        "doublets": Listed("doublets", "Find cells that are two cells counted as one", ("doublets clean.zarr",)),
        "annotate": Listed(
            "annotate", "Add a column from a file", ("annotate clean.zarr --column donor --values donors.csv",)
        ),
    },
    "Components and maps": {
        "pca": Listed("pca", "Principal components", ("pca clean.zarr --n-components 20",)),
        "latent": Listed(
            "latent",
            "A latent space of the counts",
            ("latent clean.zarr", "neighbors clean.zarr --on obsm/X_latent --key integrated"),
        ),
        "harmonize": Listed(
            "harmonize",
            "Components in which samples mix",
            ("harmonize clean.zarr --batch donor", "neighbors clean.zarr --on obsm/X_harmony --key harmony"),
        ),
        "mixing": Listed(
            "mixing",
            "Do samples mix, and kinds of cells stay apart?",
            ("mixing clean.zarr --batch donor --labels obs/leiden",),
        ),
        "neighbors": Listed("neighbors", "Nearest neighbours of each cell", ("neighbors clean.zarr --n-neighbors 15",)),
        "umap": Listed("umap", "Map the cells to two dimensions", ("umap clean.zarr --min-dist 0.3",)),
        "reference": Listed(
            "reference",
            "Make a small file onto which other cells are mapped",
            ("reference clean.zarr --labels obs/leiden --to cells.kin",),
        ),
        "map-to": Listed(
            "map_to",
            "Labels and places of cells by a reference",
            ("map-to clean.zarr --reference cells.kin",),
        ),
        "diffusion-map": Listed(
            "diffusion_map", "Components that follow gradual change", ("diffusion-map clean.zarr --n-components 10",)
        ),
        "pseudotime": Listed(
            "pseudotime", "Order the cells by distance from a root", ("pseudotime clean.zarr --root 0",)
        ),
    },
    "Clusters": {
        "leiden": Listed(
            "leiden",
            "Clusters of the neighbour graph",
            ("leiden clean.zarr --resolution 0.5", "leiden clean.zarr --resolution 2 --key obs/fine"),
        ),
        "paris": Listed(
            "paris", "A tree of clusters, cut at any number of clusters", ("paris clean.zarr --n-clusters 4",)
        ),
        "kmeans": Listed("kmeans", "Clusters around k means", ("kmeans clean.zarr --n-clusters 4",)),
        "count-mixture": Listed(
            "count_mixture", "Clusters by a model of the counts", ("count-mixture clean.zarr --n-clusters 4",)
        ),
        "latent-clusters": Listed(
            "latent_clusters",
            "Clusters in a latent space of the counts",
            ("latent-clusters clean.zarr --n-clusters 4",),
        ),
        "deep-clusters": Listed(
            "deep_clusters",
            "Clusters, each with the few features that define it",
            ("deep-clusters clean.zarr --n-clusters 4",),
        ),
        "topics": Listed("topics", "Each cell as a mixture of a few topics", ("topics clean.zarr --n-topics 4",)),
        "propagate": Listed(
            "propagate", "Spread labels of a few cells to all", ("propagate clean.zarr --seeds \"leiden == '0'\"",)
        ),
        "split": Listed("split", "Split one cluster", ("split clean.zarr --by obs/fine --cluster 0",)),
        "merge-labels": Listed(
            "merge_labels", "Merge clusters", ('merge-labels clean.zarr --on obs/kmeans --groups "both=0,1"',)
        ),
        "relabel": Listed(
            "relabel", "Name clusters by the most common label", ("relabel clean.zarr --on obs/paris --by obs/leiden",)
        ),
    },
    "Why these clusters": {
        "markers": Listed(
            "markers",
            "Genes that tell each cluster from the rest",
            (
                "markers clean.zarr --by obs/leiden",
                "markers clean.zarr --by obs/leiden --format csv > markers.csv",
            ),
        ),
        "support": Listed(
            "support",
            "Are the clusters told apart by held-out counts?",
            ("support clean.zarr --by obs/leiden",),
        ),
        "describe": Listed(
            "describe",
            "Sentences that say in what each cluster differs",
            ("describe clean.zarr --by obs/leiden", "describe table.zarr --by obs/leiden --columns kind --format csv"),
        ),
        "explain": Listed(
            "explain",
            "Features that define each cluster, or its modality",
            (
                "explain clean.zarr --by obs/leiden --output why.tsv",
                "explain tissue.zarr --by obs/kmeans --on X --on obsm/thumbnails --on obsm/features",
            ),
        ),
        "card": Listed(
            "card",
            "A rule of a few features for each cluster, to carry",
            ("card clean.zarr --by obs/leiden --to card.json",),
        ),
        "apply": Listed("apply", "Label cells by the rules of a card", ("apply clean.zarr card.json",)),
        "score": Listed(
            "score",
            "Scores of gene sets in each cell",
            (
                "score clean.zarr --sets sets.gmt",
                'score clean.zarr --sets "first=GENE1,GENE2" --sets "second=GENE3,GENE4" --method mean --key few',
            ),
        ),
        "cell-cycle": Listed(
            "cell_cycle",
            "Phase of the cell cycle of each cell",
            ('cell-cycle clean.zarr --sets "S=GENE1,GENE2" --sets "G2M=GENE3,GENE4"',),
        ),
        "enrich": Listed(
            "enrich",
            "Gene sets that the markers of clusters are rich in",
            ("enrich clean.zarr --by obs/leiden --sets sets.gmt",),
        ),
        "compare": Listed(
            "compare", "Agreement of two partitions", ("compare clean.zarr --on obs/leiden --to obs/paris",)
        ),
        "means": Listed(
            "means",
            "Mean of each gene, or pixel, in each group",
            ("means clean.zarr --by obs/leiden", "means clean.zarr --by obs/leiden --format csv > means.csv"),
        ),
        "smooth": Listed(
            "smooth", "Smooth genes or scores over neighbours", ("smooth clean.zarr --values obs/n_counts",)
        ),
        "graph-score": Listed(
            "graph_score", "Do values follow the neighbour graph?", ("graph-score clean.zarr --values obs/n_counts",)
        ),
    },
    "Between samples": {
        "contrast": Listed(
            "contrast",
            "Genes that differ between conditions, over samples",
            ('contrast clean.zarr --by condition --sample sample --within kmeans --design "~ batch + condition"',),
        ),
        "composition": Listed(
            "composition",
            "Clusters that change their share between conditions",
            ("composition clean.zarr --by condition --sample sample --on kmeans",),
        ),
        "pseudobulk": Listed(
            "pseudobulk",
            "Sum the counts of each sample and cluster",
            ("pseudobulk clean.zarr --by donor --by leiden --to pseudobulk.h5ad",),
        ),
    },
    "Images": {
        "read-image": Listed(
            "read_image",
            "Import an image and the mask of its cells",
            ("read-image image.tif mask.tif --to tissue.zarr --window-size 12",),
        ),
        "features": Listed("features", "Shape, intensity and texture of each cell", ("features tissue.zarr",)),
        "image-embedding": Listed(
            "image_embedding", "Components of the thumbnails", ("image-embedding tissue.zarr --n-components 4",)
        ),
        "spatial-neighbors": Listed(
            "spatial_neighbors", "Join cells that lie side by side", ("spatial-neighbors tissue.zarr",)
        ),
        "neighborhood-enrichment": Listed(
            "neighborhood_enrichment",
            "Which clusters lie beside each other",
            ("neighborhood-enrichment tissue.zarr --by obs/kmeans",),
        ),
    },
    "Write out": {
        "export": Listed(
            "export",
            "Write a file for scanpy, a table, or a folder for R",
            ("export clean.zarr --to clean.h5ad", "export clean.zarr --to markers.csv --what markers"),
        ),
        "publish": Listed(
            "publish",
            "Write a copy for a web server or a bucket",
            ("publish clean.zarr --to public.zarr", "publish clean.zarr --to public.zarr.zip"),
        ),
    },
}
CUT = "kithkin.cli.cut_cells"  # imported when it is used: it also runs as a module
OTHERS = {
    "cut": OwnLine("CUT_CELLS", "main", "Cut thumbnails of cells out of an image"),
    "cut-tiles": OwnLine("CUT_TILES", "main_tiles", "Cut an image into tiles"),
}
LISTED = {command: listed for commands in GROUPS.values() for command, listed in commands.items()}
COMMANDS = {command: listed.public for command, listed in LISTED.items()}  # to public names

FIRST_EXAMPLES = (
    "demo",
    "run filtered_feature_bc_matrix.h5 --to pbmc.zarr",
    "markers pbmc.zarr --by obs/leiden > markers.tsv",
)
# words of other programs -> the command, and the option, that does the same here
OTHER_WORDS = {
    "add": "append",
    "cluster": "leiden",
    "concat": "convert",
    "filter": "subset",
    "highly-variable-genes": "variable-genes",
    "hvg": "variable-genes",
    "harmony": "harmonize",
    "deseq2": "contrast",
    "import": "convert",
    "integrate": "harmonize",
    "ingest": "map-to",
    "symphony": "map-to",
    "lisi": "mixing",
    "louvain": "leiden",
    "plot": "figures",
    "rank-genes-groups": "markers",
    "score-genes": "score",
    "read": "convert",
    "scrublet": "doublets",
    "tsne": "umap",
}
OTHER_OPTIONS = {
    "--groupby": "--by",
    "--groups": "--by",
    "--key-added": "--key",
    "--sample-col": "--sample",
    "--n-comps": "--n-components",
    "--n-jobs": "--threads",
    "--n-pcs": "--n-components",
    "--n-top-genes": "--n-genes",
    "--out": "--to",
    "--res": "--resolution",
    "--use-rep": "--on",
    "-k": "--n-neighbors",
    "-o": "--to",
}


def suggestion(word: str, there: list[str], other_words: dict[str, str]) -> str:
    """Ask for the nearest of the words that are there: ": did you mean leiden?"; nothing where none is near.

    Examples
    --------
    >>> suggestion("leyden", ["leiden", "umap"], {}), suggestion("tsne", ["leiden", "umap"], {"tsne": "umap"})
    (': did you mean leiden?', ': did you mean umap?')
    >>> suggestion("xyz", ["leiden", "umap"], {})
    ''
    """
    near = [other_words[word]] if other_words.get(word) in there else suggest(word, there, 1)
    return f": did you mean {near[0]}?" if near else ""
