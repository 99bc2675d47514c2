"""Data to try things on: simulated counts with known groups, small real images, and MNIST for who has a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.errors import FormatError, KithkinError, check_choice, check_range, check_seed
from kithkin.door import guard
from kithkin.optional import need

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["digits", "mnist", "simulate_counts"]

MITOCHONDRIAL, RIBOSOMAL = 13, 40
ROWS = 2000  # cells drawn at a time, so that the dense draw stays small

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
TIMEOUT = 30.0  # seconds without an answer
MNIST = {  # part -> images, labels; each a name and its SHA-256
    "train": (
        ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    ),
    "test": (
        ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
}


def __dir__() -> list[str]:
    return __all__


def simulate_counts(n_cells: int = 2000, n_genes: int = 2000, n_groups: int = 6, seed: int = 0) -> AnnData:
    """Draw counts of cells that fall into known groups, from a negative-binomial mixture.

    Each group raises its own marker genes four- to sixteenfold; each cell has a log-normal number of molecules.
    Thirteen genes are mitochondrial (MT-), forty ribosomal (RPL, RPS).

    Parameters
    ----------
    n_cells
        Number of cells, at least 10.
    n_genes
        Number of genes, at least 60.
    n_groups
        Number of groups, of unequal sizes.
    seed
        The same seed gives the same counts.

    Returns
    -------
    AnnData
        X is CSR int32, cells x genes; obs["group"] is the truth, var["marker_of"] the group that a gene marks.

    Raises
    ------
    ParameterError
        If a number is out of its range.

    Examples
    --------
    >>> cells = simulate_counts(100, 300, n_groups=3)
    >>> cells.shape, cells.obs["group"].nunique(), int(cells.X.min())
    ((100, 300), 3, 0)
    """
    from anndata import AnnData

    check_range("n_cells", n_cells, 10, 10**8)
    check_range("n_genes", n_genes, 60, 30_000)
    check_range("n_groups", n_groups, 1, min(n_cells, (n_genes - MITOCHONDRIAL - RIBOSOMAL) // 2))
    check_seed(seed)
    rng = np.random.default_rng(seed)
    names = [f"MT-{i + 1}" for i in range(MITOCHONDRIAL)]
    names += [f"RP{'LS'[i % 2]}{i // 2 + 1}" for i in range(RIBOSOMAL)]
    names += [f"GENE{i + 1}" for i in range(n_genes - MITOCHONDRIAL - RIBOSOMAL)]
    profiles, marker_of = _profiles(n_genes, n_groups, rng)
    shares = rng.dirichlet(np.full(n_groups, 5.0))
    group = np.concatenate([np.arange(n_groups), rng.choice(n_groups, n_cells - n_groups, p=shares)])
    rng.shuffle(group)
    molecules = np.exp(rng.normal(np.log(n_genes), 0.35, n_cells))
    dispersion = rng.gamma(4.0, 1.0, n_genes) + 1.0
    # Poisson around gamma-distributed means is the negative binomial with these dispersions
    parts = []
    for start in range(0, n_cells, ROWS):
        some = slice(start, start + ROWS)
        mean = profiles[group[some]] * molecules[some, None]
        counts = rng.poisson(mean * rng.gamma(dispersion, 1.0 / dispersion, mean.shape))
        parts.append(sparse.csr_matrix(counts, dtype=np.int32))
    X = sparse.vstack(parts, format="csr")
    obs = pd.DataFrame({"group": pd.Categorical(group.astype(str))}, index=[f"cell{i}" for i in range(n_cells)])
    var = pd.DataFrame({"marker_of": pd.Categorical(marker_of)}, index=names)
    return AnnData(X, obs=obs, var=var)


def digits() -> AnnData:
    """Load 1,797 real handwritten digits of 8 x 8 pixels, as they ship with scikit-learn.

    Returns
    -------
    AnnData
        X is dense float32, images x 64 pixels, values 0 to 16; obs["digit"] is what was written,
        var["row"] and var["column"] say where a pixel is.

    Notes
    -----
    The test set of E. Alpaydin and C. Kaynak, "Cascading classifiers", Kybernetika 34 (1998) 369-374.

    Examples
    --------
    >>> digits().shape
    (1797, 64)
    """
    from anndata import AnnData
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    row, column = np.divmod(np.arange(64), 8)
    obs = pd.DataFrame(
        {"digit": pd.Categorical(data.target.astype(str))}, index=[f"image{i}" for i in range(len(data.target))]
    )
    var = pd.DataFrame(
        {"row": row, "column": column}, index=[f"pixel_{r}_{c}" for r, c in zip(row, column, strict=True)]
    )
    return AnnData(data.data.astype(np.float32), obs=obs, var=var)


def mnist(part: str = "train", cache: str | Path | None = None) -> Path:
    """Download MNIST, real handwritten digits of 28 x 28 pixels, unless it is in the cache already.

    Parameters
    ----------
    part
        "train" for the 60,000 images, "test" for the other 10,000.
    cache
        Folder that keeps the files; the folder for caches of the system when None.

    Returns
    -------
    Path
        The file of the images, with its labels beside it, for `kithkin.read`: X is dense uint8, images x 784 pixels,
        0 to 255; obs["label"] is what was written, var["row"] and var["column"] say where a pixel is.

    Raises
    ------
    ParameterError
        If there is no such part.
    FormatError
        If what is served is not MNIST, by its checksum.
    KithkinError
        If pooch is not installed, there is no network, or the cache cannot be written.

    Notes
    -----
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86 (1998) 2278-2324, doi:10.1109/5.726791.

    Examples
    --------
    >>> import kithkin as kk
    >>> ds = kk.read(kk.datasets.mnist(), to="mnist.zarr")  # doctest: +SKIP
    >>> mnist("valid")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: part must be one of 'train', 'test', got 'valid'
    """
    check_choice("part", part, tuple(MNIST))
    pooch = need("pooch", "download", "kithkin.datasets.mnist")
    folder = Path(pooch.os_cache("kithkin")) / "mnist" if cache is None else Path(cache).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KithkinError(f"{folder} cannot keep MNIST: {_reason(error)}") from error
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # what is fetched is shown as progress, on a terminal only
    try:
        images, _ = [_download(pooch, name, checksum, folder) for name, checksum in MNIST[part]]
    finally:
        logger.setLevel(level)
    return images


def _download(pooch: Any, name: str, checksum: str, folder: Path) -> Path:
    """One file, from the cache or the first mirror that serves it whole."""
    failures, kind = [], KithkinError
    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    for mirror in MIRRORS:
        try:
            return Path(pooch.retrieve(mirror + name, f"sha256:{checksum}", name, folder, downloader=fetch))
        except OSError as error:
            failures.append(f"{mirror} ({_reason(error)})")
        except ValueError:  # pooch's word for a checksum that differs
            failures.append(f"{mirror} (another file is there, by its SHA-256)")
            kind = FormatError
    raise kind(f"{name} could not be downloaded from {', nor from '.join(failures)}")


def _reason(error: OSError) -> str:
    answer = getattr(error, "response", None)  # of the server, if it gave one
    return error.strerror or type(error).__name__ if answer is None else f"HTTP {answer.status_code}"


def _profiles(n_genes: int, n_groups: int, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """Give the share of every gene in every group (groups x genes), and the group that each gene marks or ''."""
    first = MITOCHONDRIAL + RIBOSOMAL
    base = rng.lognormal(0.0, 1.8, n_genes)
    base[:MITOCHONDRIAL] *= 0.05 * base.sum() / base[:MITOCHONDRIAL].sum()
    base[MITOCHONDRIAL:first] *= 0.15 * base.sum() / base[MITOCHONDRIAL:first].sum()
    each = min(40, (n_genes - first) // (2 * n_groups))
    chosen = rng.permutation(np.arange(first, n_genes))[: each * n_groups].reshape(n_groups, each)
    profiles = np.tile(base, (n_groups, 1))
    marker_of = np.full(n_genes, "", dtype=object)
    for group, genes in enumerate(chosen):
        profiles[group, genes] *= rng.uniform(4.0, 16.0, each)
        marker_of[genes] = str(group)
    return profiles / profiles.sum(1, keepdims=True), marker_of.tolist()


guard(globals())
