import numpy as np

import kithkin as kk
from kithkin.reports.partition import usual_partition


def test_the_first_of_the_usual_partitions_is_chosen(tmp_path):
    ds = kk.read(np.eye(4), to=tmp_path / "a.zarr")
    assert usual_partition(ds) is None
    for key in ("kmeans", "latent", "mixture", "leiden"):
        ds[f"obs/{key}"] = ["0", "1", "0", "1"]
        assert usual_partition(ds) == f"obs/{key}"
    ds["obs/leiden"] = [0.5, 1.5, 2.5, 3.5]  # measurements are no groups
    assert usual_partition(ds) == "obs/mixture"
