"""Fitted networks for counts in safetensors files: numbers and JSON, nothing that runs when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from kithkin.core.errors import FormatError, KithkinError
from kithkin.models.latent.networks import CountNetworks, Sizes
from kithkin.models.nn.tensors import read_tensors, write_tensors


def save_model(path: Path, kind: str, networks: CountNetworks, given: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Write networks, the parameters of the model, and what was fitted beside them."""
    metadata = {"kind": kind, "sizes": asdict(networks.sizes), "given": given, "fitted": fitted}
    write_tensors(path, networks.state_dict(), metadata)


def load_model(
    path: Path, kind: str, names: Sequence[str], device: str
) -> tuple[CountNetworks, dict[str, Any], dict[str, Any]]:
    """Read networks, parameters and fitted values of the given names.

    A damaged file, or one of another kind, raises FormatError.
    """
    tensors, metadata = read_tensors(path, kind)
    try:
        sizes = Sizes(**metadata["sizes"])
        blank = torch.zeros(sizes.n_batches, sizes.n_genes), torch.zeros(sizes.n_batches, 2)
        networks = CountNetworks(sizes, *blank, torch.Generator().manual_seed(0))
        networks.load_state_dict(tensors)
        networks.train_prior(True)
        given, fitted = dict(metadata["given"]), {name: metadata["fitted"][name] for name in names}
    except (KeyError, TypeError, ValueError, RuntimeError, KithkinError) as error:
        raise FormatError(f"{path.name} does not hold the model that it announces") from error
    return networks.to(device), given, fitted
