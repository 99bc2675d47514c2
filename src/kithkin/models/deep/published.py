"""Names and forms of the published configuration files of gated clustering, translated to our own."""

from __future__ import annotations

from typing import Any

from kithkin.core.errors import brief, check

SCALERS = {"MinMaxScaler": "minmax", "StandardScaler": "standard", None: "none"}
DATA = ("filepath_samples", "dataset", "data_dir")
FORMS = {*DATA, "epochs", "scaler", "clustering_head", "aux_classifier"}  # that say something in another form
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
PUBLISHED = {  # behaviour of the published program, where its files are silent
    "start": "none",
    "refine": True,
    "mask_percentage": 0.9,
    "init_std": 0.001,
    "tolerance": 0.0,
    "n_features": None,
    "guide": 0.0,
    "focus": 0.0,
    "gates_by": "classifier",
    "settle": False,
    "n_global_features": 0.0,
    "clustering_hidden_dim": 2048,
    "aux_hidden_dim": 2048,
}


def translate(values: dict[str, Any], own: set[str]) -> dict[str, Any]:
    """Translate settings under the names of the published files to our own names, which pass.

    A file with a published key gets the published behaviour where it is silent: no start, the coding rate alone. An
    unknown key, or a published one of another form, raises ParameterError.
    """
    theirs = {*RENAMED, *NESTED, *FORMS}
    unknown = sorted(str(key) for key in set(values) - own - theirs)
    check(not unknown, f"unknown settings: {', '.join(unknown)}")
    out = dict(PUBLISHED) if set(values) & (theirs - own) else {}
    out |= {"max_epochs": values["epochs"]} if values.get("epochs") is not None else {}
    for key, value in values.items():
        if key in NESTED:
            check(isinstance(value, dict), f"{key} must be a mapping, got {brief(value)}")
            unknown = sorted(f"{key}.{name}" for name in set(value) - set(NESTED[key]))
            check(not unknown, f"unknown settings: {', '.join(unknown)}")
            out |= {NESTED[key][name]: inner for name, inner in value.items()}
        elif key not in FORMS:
            out[RENAMED.get(key, key)] = value
    out |= _reshape(values)
    kept = [values.get("save_seed_checkpoints"), (values.get("trainer") or {}).get("enable_checkpointing")]
    given = [value for value in kept if value is not None]
    wrong = [value for value in given if not isinstance(value, bool)]
    check(not wrong, f"keep_checkpoint must be true or false, got {brief(wrong)}")
    out |= {"keep_checkpoint": any(given)} if given else {}
    # the published program validates wherever its trainer says how often
    every = {"validate_every", "check_val_every_n_epoch"} & {*values, *(values.get("trainer") or {})}
    out |= {"validate": True} if every and values.get("validate") is None else {}
    sources = [brief(value) if not isinstance(value, str) else value for key in DATA if (value := values.get(key))]
    return out | ({"source": " ".join(sources)} if sources else {})


def _reshape(values: dict[str, Any]) -> dict[str, Any]:
    """Translate the scaler, which published files give by its class, and heads, which they give as lists of widths."""
    out: dict[str, Any] = {}
    if "scaler" in values:
        scaler = values["scaler"]
        named = isinstance(scaler, str) or scaler is None
        choices = ", ".join(map(repr, SCALERS))
        check(named and scaler in SCALERS, f"scaler must be one of {choices}, got {brief(scaler)}")
        out["scale"] = SCALERS[scaler]
    head, widths, width = (values.get(name) for name in ("clustering_head", "encdec", "aux_classifier"))
    if head is not None:
        two = isinstance(head, list) and len(head) == 2
        check(two, f"clustering_head must be two widths, got {brief(head)}")
        widths = widths if isinstance(widths, list) else []
        check(len(widths) > 0, "clustering_head needs encdec, whose middle it begins with")
        middle = widths[len(widths) // 2]
        begins = f"clustering_head must begin with the width of the embedding, {brief(middle)}"
        check(middle == head[0], f"{begins}, got {brief(head[0])}")
        out["clustering_hidden_dim"] = head[1]
    if width is not None:
        one = not isinstance(width, list) or len(width) == 1
        check(one, f"aux_classifier must be one width, got {brief(width)}")
        out["aux_hidden_dim"] = width[0] if isinstance(width, list) else width
    return out
