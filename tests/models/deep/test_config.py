import re
from dataclasses import fields
from pathlib import Path

import pytest

import kithkin as kk
from kithkin.core.errors import FormatError, ParameterError
from kithkin.models.deep import published
from kithkin.models.deep.config import NAMES, DeepConfig, checked_config
from kithkin.models.deep.published import translate

ROOT = Path(__file__).parents[3]
PUBLISHED = """
dataset: MNIST10K
data_dir: data
scaler: MinMaxScaler
validate: true
num_clusters: 10
batch_size: 100
seeds: 1
epochs: &epochs 700
ae_non_gated_epochs: 10
ae_pretrain_epochs: 300
start_global_gates_training_on_epoch: 400
mask_percentage: 0.9
latent_noise_std: 0.01
gtcr_loss: true
use_gating: true
gtcr_projection_dim: null
gtcr_eps: 1
gtcr_lambda: 0.01
eps: 0.1
tau: 100
gates_hidden_dim: 784
encdec: [512, 512, 2048, 10, 2048, 512, 512]
clustering_head: [10, 2048]
aux_classifier: [2048]
local_gates_lambda: 1
global_gates_lambda: 1e-4
lr: {pretrain: 1e-3, clustering: 1e-2, aux_classifier: 1e-2}
sched: {pretrain_min_lr: 1e-6, clustering_min_lr: 1e-6}
save_seed_checkpoints: false
trainer:
  devices: 1
  accelerator: cpu
  max_epochs: *epochs
  deterministic: true
  logger: false
  log_every_n_steps: 10
  check_val_every_n_epoch: 10
  enable_checkpointing: false
  num_sanity_val_steps: 0
"""


def test_a_published_file_is_taken_with_every_key():
    pytest.importorskip("yaml")
    config = DeepConfig.from_yaml(PUBLISHED)
    assert (config.n_clusters, config.batch_size, config.scale, config.device) == (10, 100, "minmax", "cpu")
    assert (config.lr_clustering, config.min_lr_pretrain, config.global_gates_lambda) == (1e-2, 1e-6, 1e-4)
    assert (config.clustering_hidden_dim, config.aux_hidden_dim, config.gates_hidden_dim) == (2048, 2048, 784)
    assert (config.start, config.refine, config.validate, config.validate_every) == ("none", True, True, 10)
    assert (config.gtcr_of, config.focus, config.guide) == ("open", 0.0, 0.0)
    assert config.source == "MNIST10K data"
    assert config.encdec == (512, 512, 2048, 10, 2048, 512, 512)
    assert config.phases() == {"autoencoder": 11, "gates": 290, "head": 99, "classifier": 300}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"num_cluster": 3}, "num_cluster"),
        ({"lr": {"pretain": 1}}, "lr.pretain"),
        ({"trainer": {"gpus": 1}}, "trainer.gpus"),
        ({"num_clusters": 3, "trainer": {"max_epochs": 1}, "wandb": True}, "wandb"),
    ],
)
def test_unknown_keys_are_refused(given, named):
    with pytest.raises(ParameterError, match=f"unknown settings: {named}"):
        translate(given, NAMES)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mask_percentage": 2.0}, "mask_percentage must be in"),
        ({"gates": False, "n_features": 5}, "n_features needs gates"),
        ({"start": "none"}, "needs refine"),
        ({"max_epochs": 3}, "must all be given"),
        ({"encdec": (3, 2)}, "odd number"),
        ({"scale": "log"}, "scale must be one of"),
        ({"gates_by": "rows"}, "gates_by must be one of"),
        ({"gtcr_of": "closed"}, "gtcr_of must be one of"),
        ({"init_std": -1.0}, "init_std must be in"),
        ({"clustering_hidden_dim": 0}, "clustering_hidden_dim must be in"),
        ({"encdec": (8, 0, 8)}, "encdec must be in"),
    ],
)
def test_what_is_impossible_is_named(settings, words):
    with pytest.raises(ParameterError, match=words):
        DeepConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_clusters": 2.5}, "n_clusters must be a whole number, got 2.5"),
        ({"gates": "false"}, "gates must be true or false"),
        ({"encdec": 512}, "encdec must be a list of widths"),
        ({"encdec": [16, "a", 16]}, "encdec must be a whole number, got 'a'"),
        ({"device": 3}, "device must be a text"),
        ({"clustering_head": [10, 2048]}, "clustering_head needs encdec"),
        ({"aux_classifier": [8, 8]}, "aux_classifier must be one width"),
        ({"ae_non_gated_epochs": -5}, "ae_non_gated_epochs must be in|must all be given"),
    ],
)
def test_values_of_the_wrong_kind_are_named(settings, words):
    with pytest.raises(ParameterError, match=words):
        checked_config(settings)


def test_whole_numbers_may_be_written_otherwise():
    assert checked_config({"batch_size": "1e2", "n_clusters": 3.0}).batch_size == 100


@pytest.mark.parametrize(
    ("saved", "enabled", "kept"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_two_published_keys_keep_the_checkpoint(saved, enabled, kept):
    given = {"save_seed_checkpoints": saved, "trainer": {"enable_checkpointing": enabled}}
    assert checked_config(given).keep_checkpoint is kept


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "a.yaml").write_text("a: [1, 2", encoding="utf-8")
    with pytest.raises(FormatError, match=r"a\.yaml is not YAML"):
        checked_config(tmp_path / "a.yaml")


def test_the_embedding_must_fit_the_head():
    with pytest.raises(ParameterError, match="must begin with the width of the embedding, 4"):
        translate({"encdec": [8, 4, 8], "clustering_head": [5, 16]}, NAMES)


def test_what_is_open_is_chosen_from_the_size():
    small, large = DeepConfig(3).resolved(60, 5000), DeepConfig(3).resolved(100_000, 10)
    assert small.batch_size == 60
    assert small.phases()["gates"] > large.phases()["gates"] >= 6
    assert DeepConfig(3, classifier=False).resolved(60, 9).phases()["classifier"] == 0


def test_changes_go_before_the_file(tmp_path):
    pytest.importorskip("yaml")
    path = tmp_path / "a.yaml"
    path.write_text("n_clusters: 3\nlr_pretrain: 1e-4\n", encoding="utf-8")
    config = checked_config(path, n_clusters=5)
    assert (config.n_clusters, config.lr_pretrain, config.start) == (5, 1e-4, "map")
    assert checked_config(config, n_features=4).n_features == 4
    with pytest.raises(ParameterError, match="no such configuration file"):
        checked_config(tmp_path / "b.yaml")


ODD = (
    *(
        b"[]",
        b"{a: {b: c}}",
        b"~",
        b"1e400",
        b".nan",
        b"2020-13-45",
        b"!!binary aGk=",
        b"!!timestamp x",
        b"!!bool maybe",
    ),
    *(b"!!int ''", b"!!python/object:os.system x", b"&a [*a]", b"\xff\xfe", b"\x00", b"<<: 3", b"'", b"@", b"- -"),
    *(b"9" * 5000, b"0x" + b"F" * 6000, b"[" * 1500, b"12:30:45", b"!!bool maybe"),
)


@pytest.mark.parametrize("own", [False, True])
def test_a_damaged_file_is_refused_in_a_sentence_or_means_something(tmp_path, own):
    pytest.importorskip("yaml")
    settings = {name: value for name, value in DeepConfig().to_dict().items() if value is not None}
    whole = "\n".join(f"{name}: {str(value).lower()}" for name, value in settings.items()) if own else PUBLISHED
    path, sentences = tmp_path / "a.yaml", []
    lines = whole.strip().encode().split(b"\n")
    for turn, odd in enumerate(3 * ODD):
        number = 11 * turn % len(lines)
        key, _, value = lines[number].partition(b":")
        line = (key + b": " + odd, odd + b":" + value, key + odd)[turn // len(ODD)]
        path.write_bytes(b"\n".join([*lines[:number], line, *lines[number + 1 :]]))
        try:
            checked_config(path).resolved(100, 20).phases()
        except (ParameterError, FormatError) as error:
            sentences.append(str(error))
    assert len(sentences) > len(ODD)
    assert all(len(sentence) < 600 and "\n" not in sentence for sentence in sentences)


def test_aliases_that_multiply_without_end_are_refused_at_once(tmp_path):
    pytest.importorskip("yaml")
    nested = ",".join(f"&{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]" for i in range(9))
    for key in ("n_clusters", "scaler", "lr", "trainer", "clustering_head", "scale", "devices", "gates", "dataset"):
        (tmp_path / "a.yaml").write_text(f"encdec: [&a [1, 1], {nested}]\n{key}: *j\n", encoding="utf-8")
        with pytest.raises(ParameterError, match="must be"):
            checked_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("given", [{"trainer": {"check_val_every_n_epoch": 5}}, {"validate_every": 5}])
def test_to_say_how_often_is_to_ask_for_validation(given):
    config = checked_config(given)
    assert (config.validate, config.validate_every) == (True, 5)
    assert not checked_config(given | {"validate": False}).validate
    assert not checked_config({}).validate


def test_the_chapter_has_every_setting_with_its_default_and_published_key():
    text = (ROOT / "docs" / "deep.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| `(.*?)` \| (.*?) \| .+ \|$", text, re.MULTILINE)
    shown = [
        (field.name, f'"{field.default}"' if isinstance(field.default, str) else str(field.default))
        for field in fields(kk.models.DeepConfig)
    ]
    assert [(name, default) for name, default, _ in table] == shown
    told = {key for _, _, keys in table for key in re.findall(r"`([\w.]+)`", keys)}
    nested = {f"{section}.{key}" for section, keys in published.NESTED.items() for key in keys}
    assert told >= {*published.RENAMED, *nested, *published.FORMS}
    assert told - {*published.RENAMED, *nested, *published.FORMS} <= NAMES


def test_the_settings_are_among_the_models():
    assert kk.models.DeepConfig is DeepConfig
    described = set(re.findall(r"^    (\w+(?:, \w+)*)$", DeepConfig.__doc__, re.MULTILINE))
    assert {name for line in described for name in line.split(", ")} >= NAMES
