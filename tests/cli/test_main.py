"""The command line: commands from signatures, what they print, exit codes."""

from __future__ import annotations

import inspect
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import sparse

import kithkin as kk
from kithkin.cli.main import COMMANDS, OTHERS, group, main, make_command
from kithkin.cli.printed import WIDTH, lines_of


def example(
    ds,
    by: str,
    *,
    size: int = 3,
    share: float | None = 0.5,
    key: str | None = "obs/example",
    cut: int | Literal["auto"] = "auto",
    method: Literal["fast", "exact"] = "fast",
    scale: bool = False,
    genes: Sequence[str] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    target: str | Path = "out",
    callback: Callable[[int], None] | None = None,
    seed: int = 0,
):
    """Do an example.

    More of it.

    Parameters
    ----------
    ds
        The dataset.
    by
        What to group by.
    size, seed
        Some numbers.
    """
    return None


def call(function, *arguments):
    """What the function receives when its command is given the arguments."""
    received = {}

    def spy(**values):
        received.update(values)

    spy.__signature__ = inspect.signature(function, eval_str=True)
    spy.__doc__ = function.__doc__
    result = CliRunner().invoke(make_command("example", spy), list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return received


@pytest.fixture
def opened(monkeypatch):
    """Opening a dataset gives its path and settings back."""
    monkeypatch.setitem(vars(kk), "open", lambda path, **settings: (path, settings))


def test_only_what_was_typed_is_passed_on(opened):
    assert call(example, "a.zarr", "--by", "obs/kind") == {
        "ds": ("a.zarr", {"executor": None, "memory": None, "threads": None}),
        "by": "obs/kind",
    }


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        ("--size 7", "size", 7),
        ("--share 0.25", "share", 0.25),
        ("--share none", "share", None),
        ("--key obs/other", "key", "obs/other"),
        ("--key none", "key", None),
        ("--cut 12", "cut", 12),
        ("--cut auto", "cut", "auto"),
        ("--method exact", "method", "exact"),
        ("--scale", "scale", True),
        ("--no-scale", "scale", False),
        ("--genes CD3E --genes CD4", "genes", ("CD3E", "CD4")),
        ("--limits 0.5 2", "limits", (0.5, 2.0)),
        ("--target there", "target", "there"),
    ],
)
def test_text_becomes_the_type_of_the_parameter(opened, typed, name, value):
    assert call(example, "a.zarr", "--by", "obs/kind", *typed.split())[name] == value


def test_memory_and_threads_are_settings_of_the_dataset(opened):
    received = call(example, "a.zarr", "--by", "b", "--memory", "2GB", "--threads", "2")
    assert received["ds"] == ("a.zarr", {"executor": None, "memory": "2GB", "threads": 2})


@pytest.mark.parametrize(
    "typed", ["", "a.zarr", "a.zarr --by b --size many", "a.zarr --by b --method slow", "a.zarr --by b --callback f"]
)
def test_wrong_usage_is_refused(typed):
    assert CliRunner().invoke(make_command("example", example), typed.split()).exit_code == 2


def test_help_comes_from_the_docstring():
    text = " ".join(CliRunner().invoke(make_command("example", example), ["--help"]).output.split())
    for part in ("Do an example.", "More of it.", "What to group by.", "Some numbers. [default: 3]", "DATASET"):
        assert part in text
    assert "----" not in text


def test_a_parameter_that_nobody_can_type_is_a_mistake_in_the_package():
    def function(ds, callback: Callable[[int], None]):
        """Nothing."""

    with pytest.raises(TypeError, match="callback cannot be given"):
        make_command("function", function)


# words of Python, which nobody types on a command line
PYTHON = re.compile(
    r"\b(None|True|False|Python|mapping|dict|tuple|DeepConfig|Series|DataFrame|ndarray|callable|NumPy|SciPy|pandas)\b"
    r"|\b(booleans? for|in memory|an array|n x s|object)\b|`|[\w)]\[\"|[{(]\"\w+\":|\b\w+=\"|\bkithkin\.\w|\bmodels\.\w"
)
SENTENCE = re.compile(r"[A-Z0-9\"][^`]* [^`]* [^`]*\.")  # three words at least


@pytest.mark.parametrize("name", [*COMMANDS, *OTHERS])
def test_the_help_of_a_command_speaks_no_python(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: {'kithkin ' * (name in COMMANDS)}{name.replace('-', '_') * (name not in COMMANDS)}")
    assert [found[0] for found in PYTHON.finditer(" ".join(out.split()))] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_sentence_of_its_own(name):
    command = group.get_command(click.Context(group), name)
    texts = {p.name: p.help.partition("  [")[0] for p in command.params if isinstance(p, click.Option)}
    assert {option: text for option, text in texts.items() if not SENTENCE.fullmatch(text)} == {}
    assert len(set(texts.values())) == len(texts)


def test_every_public_function_of_the_stub_has_its_command():
    functions = {name for name in kk.__all__ if inspect.isfunction(getattr(kk, name))}
    assert functions - set(COMMANDS.values()) == {"open"}


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]], ids=["nothing", "--help", "-h"])
def test_the_list_of_commands_has_groups_with_a_line_each(words, capsys):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name in [*COMMANDS, *OTHERS]:
        assert len(re.findall(rf"^  {name} +\S.*[^.]$", out, re.MULTILINE)) == 1, name
    headings = re.findall(r"^(\S.*):\n  ", out.partition("\nkithkin COMMAND")[0], re.MULTILINE)
    assert headings[:3] == ["Options", "Start here", "Look at it"]
    assert headings[-1] == "Examples"
    assert out.count("\n  kithkin ") == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_required_options_first_and_examples_last(name, capsys):
    assert main([name, "-h"]) == 0
    out = capsys.readouterr().out
    above, _, rest = out.partition("Output and resources:")
    options = above.partition("\nOptions:\n")[2]
    assert re.search(r"\nExamples?:\n(  kithkin \S.*\n){1,3}$", rest)
    sections = [bool(re.search(r"\[required\]", text)) for text in re.split(r"^  --", options, flags=re.MULTILINE)[1:]]
    assert sections == sorted(sections, reverse=True)


def test_results_are_printed_briefly():
    index = ["a", "b", "c"]
    partition = pd.Series(pd.Categorical(["0", "1", "0"]), index=index, name="leiden")
    assert lines_of(partition) == ["leiden: 2 groups of 3", "  0: 2", "  1: 1"]
    assert lines_of(pd.Series([1.0, 2.0, 4.0], name="share")) == ["share: median 2, from 1 to 4"]
    assert lines_of(np.zeros((2000, 2), np.float32)) == ["2,000 x 2 float32"]
    assert lines_of(sparse.eye(3, format="csr")) == ["3 x 3 float64, 3 values stored"]
    assert lines_of(pd.DataFrame({"n": range(2000)}))[-1] == "... 2,000 rows"
    assert len(lines_of(pd.DataFrame({"n": range(20)}))) == 21
    markers = pd.DataFrame({"group": np.repeat(["a", "b"], 50), "gene": "x"})
    assert [line.split()[0] for line in lines_of(markers)] == ["group", *"aaabbb", "..."]
    assert lines_of({"cells": 3}) == ["cells: 3"]
    assert lines_of(None) == []


def test_a_refusal_is_one_sentence_and_exit_code_1(tmp_path, capsys):
    assert main(["leiden", str(tmp_path / "nowhere.zarr")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"kithkin: .*nowhere\.zarr does not exist\n", err)


def test_a_missing_result_names_the_command_to_run(dataset, capsys):
    assert main(["umap", str(dataset.path)]) == 1
    err = capsys.readouterr().err
    assert "Run kithkin neighbors DATASET first" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (kk.ParameterError("n must be in 2..9, got 0"), 1, "kithkin: n must be in 2..9, got 0\n"),
        (
            OSError(28, "No space left on device", "a.zarr"),
            1,
            "kithkin: the disk is full: what was finished is kept; make room",
        ),
        (RuntimeError("No space left on device (os error 28)"), 1, "kithkin: the disk is full: what was finished"),
        (MemoryError(), 1, "kithkin: there is not enough memory: give a smaller --memory, or fewer --threads\n"),
        (RuntimeError("odd"), 1, "kithkin: RuntimeError: odd (this should not happen: run it again with --debug"),
        (KeyboardInterrupt(), 130, "interrupted: what was finished is kept; run the same command again to continue\n"),
    ],
)
def test_exit_codes_and_sentences(error, code, sentence, monkeypatch, capsys):
    def fail(ds):
        """Fail."""
        raise error

    monkeypatch.setitem(vars(kk), "leiden", fail)
    monkeypatch.setitem(vars(kk), "open", lambda path, **settings: path)
    assert main(["leiden", "a.zarr"]) == code
    assert capsys.readouterr().err.lstrip("\n").startswith(sentence)


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(kk.KithkinError):
        main(["leiden", str(tmp_path / "nowhere.zarr"), "--debug"])


def test_a_day_from_the_command_line(small_counts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_counts.write_h5ad("cells.h5ad")
    for line in (
        "convert cells.h5ad --to cells.zarr --memory 200MB --threads 2",
        "quality cells.zarr",
        "variable-genes cells.zarr --n-genes 200",
        "pca cells.zarr --n-components 10",
        "neighbors cells.zarr --n-neighbors 10",
        "leiden cells.zarr",
        "markers cells.zarr --by obs/leiden",
        "history cells.zarr",
        "info cells.zarr",
        "check cells.zarr",
    ):
        assert main(line.split()) == 0, capsys.readouterr().err
        assert capsys.readouterr().out, line
    assert {"obs/leiden", "uns/rank_genes_groups"} <= set(kk.open("cells.zarr").keys())


def test_the_history_fits_a_terminal(small_counts, tmp_path, capsys, monkeypatch):
    ds = kk.read(small_counts, to=tmp_path / "cells.zarr")
    kk.variable_genes(ds, n_genes=200)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["history", str(ds.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[:2] for line in lines if line[0] != " "] == [
        [step, "current"] for step in ("read", "quality", "variable_genes")
    ]


def test_messages_speak_of_options(tmp_path, capsys):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "table.csv").write_text("x,y\n1,2.5\n3,4\n")
    assert main(["convert", str(tmp_path / "table.csv"), "--to", str(tmp_path / "a.zarr")]) == 1
    assert capsys.readouterr().err.endswith("Choose another name, or use --overwrite to replace it.\n")


def test_the_module_runs_without_a_terminal(tmp_path):
    command = [sys.executable, "-m", "kithkin.cli", "info", "nowhere.zarr"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kithkin: nowhere.zarr does not exist\n"


INTERRUPTED = """
import os, signal, sys, time
from kithkin.cli import main
from kithkin.models.pca.pca import PCA

def interrupt(*arguments, **settings):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)  # until it arrives

signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background inherits as ignored
PCA.fit = PCA.fit_transform = interrupt
sys.exit(main())
"""


def test_an_interrupted_run_exits_with_130_and_goes_on_when_run_again(tmp_path):
    kk.datasets.simulate_counts(500, 400, 4).write_h5ad(tmp_path / "cells.h5ad")
    arguments = ["run", "cells.h5ad", "--to", "cells.zarr", "--threads", "1", "--cells", "n_genes >= 50"]
    settings = {"capture_output": True, "text": True, "cwd": tmp_path}
    first = subprocess.run([sys.executable, "-c", INTERRUPTED, *arguments], check=False, **settings)
    assert first.returncode == 130, first.stderr
    said, command = first.stderr, [sys.executable, "-m", "kithkin.cli", *arguments]
    assert said.endswith("interrupted: what was finished is kept; run the same command again to continue\n")
    second = subprocess.run(command, check=True, **settings)
    assert re.search(r"convert +is there already\n", second.stderr)
    assert re.search(r"subset +is there already\n", second.stderr)
    assert second.stdout.endswith("dataset: cells.zarr\nfigures: cells.figures\npage: cells.html\n")


@pytest.mark.parametrize("name", OTHERS)
def test_a_command_with_an_argument_line_of_its_own_gets_all_of_it(name, monkeypatch, capsys):
    heard = []
    monkeypatch.setattr(f"kithkin.cli.cut_cells.{OTHERS[name].run}", lambda words: heard.append(words) or 1)
    words = ["-p", "2", "image.tif", "--channels", "1", "3", "--help", "-z", "--", "out.zarr"]
    assert main([name, *words]) == 1
    assert heard == [words]
    assert main(["--help"]) == 0
    assert re.search(rf"^  {name} +{OTHERS[name].help}$", capsys.readouterr().out, re.MULTILINE)


@pytest.fixture(scope="module")
def _neighboured_path(_dataset_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("neighboured") / "cells.zarr"
    shutil.copytree(_dataset_path, path)
    ds = kk.open(path)
    kk.pca(ds, 5)
    kk.neighbors(ds, 5)
    return path


@pytest.fixture
def neighboured(_neighboured_path, copy_of):
    """The small counts with components and neighbours, for each test anew."""
    return copy_of(_neighboured_path)


FEW = 'kithkin: n_genes >= 9000 keeps 0 of 600 cells; the median is 127: --cells "n_genes >= 90"\n'
NUMBERS = "must be numbers such as obs/n_counts, but obs/group holds labels"
SEEDS = "0..4294967295"
METHODS = "'auto', 'robust', 'standard', 'none'"
ANOTHER = "must be another path than cells.zarr, which is read: choose another name"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("leyden a.zarr", "kithkin: there is no command 'leyden': did you mean leiden?\n"),
        ("xyz", "kithkin: there is no command 'xyz'; see kithkin --help\n"),
        ("read x.h5ad", "kithkin: there is no command 'read': did you mean convert?\n"),
        ("leiden {} --resolutoin 2", "kithkin leiden: there is no option '--resolutoin': did you mean --resolution?\n"),
        ("leiden {} --key-added x", "kithkin leiden: there is no option '--key-added': did you mean --key?\n"),
        (
            "scale {} --method robst",
            f"kithkin scale: --method must be one of {METHODS}, got 'robst': did you mean robust?\n",
        ),
        ("leiden {} --xyz x", "kithkin leiden: there is no option '--xyz'; see kithkin leiden --help\n"),
        ("subset {} --cells 'n_genes >= 9000' --to b.zarr", FEW),
        ("history {} --format parquet", "kithkin: --format parquet needs a file: add --output FILE\n"),
        (
            "history {} --output x.txt",
            "kithkin: --output must end in .tsv, .csv, .json or .parquet, or add --format, got 'x.txt'\n",
        ),
        ("leiden", "kithkin leiden: Missing argument 'DATASET'; see kithkin leiden --help\n"),
        ("convert x.h5ad", "kithkin convert: Missing option '--to'; see kithkin convert --help\n"),
        ("leiden {} --max-iter 0", "kithkin: --max-iter must be at least 1, or -1, got 0\n"),
        ("leiden {} --key uns/x", "kithkin: --key must lie in obs, such as 'obs/x', got 'uns/x'\n"),
        (
            "neighbors {} --on X_pca",
            "kithkin: --on must be a key such as 'obsm/X_pca', got 'X_pca'. Did you mean 'obsm/X_pca'?\n",
        ),
        ("subset {} --cells 'group < 2' --to b.zarr", "kithkin: --cells: group holds text, got 2: write '2'\n"),
        ("leiden {} --key ''", "kithkin: --key must be a name such as 'obs/leiden', got ''\n"),
        ("leiden {} --seed -1", f"kithkin: --seed must be in {SEEDS}, got -1\n"),
        ("leiden {} --seed 99999999999999999999", f"kithkin: --seed must be in {SEEDS}, got 99999999999999999999\n"),
        ("run {} --to b.zarr --seed -1", f"kithkin: --seed must be in {SEEDS}, got -1\n"),
        ("animate {} --what umap --to a.gif --seed -1", f"kithkin: --seed must be in {SEEDS}, got -1\n"),
        (
            "smooth {} --values obs/group",
            f"kithkin: --values {NUMBERS}\n",
        ),
        ("markers {} --by uns/x", "kithkin: --by must lie in obs, such as 'obs/x', got 'uns/x'\n"),
        ("subset {} --to {} --overwrite", f"kithkin: --to {ANOTHER}\n"),
        ("convert {} --to {} --overwrite", f"kithkin: --to {ANOTHER}\n"),
        ("run {} --to {} --overwrite", f"kithkin: --to {ANOTHER}\n"),
        ("leiden x.h5ad", "kithkin: x.h5ad is a file, not a dataset. Import it: kithkin convert INPUT --to DATASET\n"),
    ],
)
def test_what_is_wrong_is_one_sentence(neighboured, line, sentence, capsys, monkeypatch):
    dataset = neighboured
    monkeypatch.chdir(dataset.path.parent)
    Path("x.h5ad").touch()
    wrong_usage = "--help" in sentence or "did you mean" in sentence
    assert main(shlex.split(line.replace("{}", dataset.path.name))) == (2 if wrong_usage else 1)
    assert capsys.readouterr().err == sentence


def test_a_table_is_written_whole_where_no_terminal_shows_it(dataset, capsys, monkeypatch, tmp_path):
    expected = kk.markers(dataset, by="obs/group")
    line = ["markers", str(dataset.path), "--by", "obs/group"]
    assert main(line) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out), sep="\t")
    assert len(found) == 4 * 500
    assert list(found) == list(expected)
    assert found["gene"].tolist() == expected["gene"].tolist()
    for column in ("score", "pval", "pval_adj", "auc"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-6)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(line) == 0
    assert capsys.readouterr().out.endswith("... 2,000 rows\n")
    assert main([*line, "--format", "json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["pval"] for record in records] == pytest.approx(expected["pval"].tolist(), rel=1e-12)


def test_a_table_goes_to_a_file_in_the_form_of_its_name(dataset, capsys, tmp_path):
    pytest.importorskip("pyarrow")
    expected = kk.quality(dataset)
    read = {"tsv": partial(pd.read_csv, sep="\t"), "csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}
    for form, reader in read.items():
        path = tmp_path / f"q.{form}"
        path.touch()  # is replaced
        assert main(["quality", str(dataset.path), "--output", str(path)]) == 0
        found = reader(path).set_index("name")
        assert found.index.astype(str).tolist() == expected.index.tolist()
        np.testing.assert_allclose(found["n_counts"], expected["n_counts"])
    assert capsys.readouterr().out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"cells.zarr", *(f"q.{form}" for form in read)}


def test_labels_are_written_whole_where_a_form_is_named(dataset, capsys):
    line = ["kmeans", str(dataset.path), "--on", "X", "--n-clusters", "2"]
    assert main(line) == 0
    assert capsys.readouterr().out.startswith("kmeans: 2 groups of 600\n")
    assert main([*line, "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name,kmeans"
    assert len(lines) == 601


def test_genes_go_by_their_symbols(small_counts, tmp_path, capsys):
    small_counts.var["gene_symbols"] = [f"S{i}" for i in range(500)]
    ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    assert main(["markers", str(ds.path), "--by", "obs/group", "--format", "tsv"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out), sep="\t")
    assert dict(zip(small_counts.var_names, small_counts.var["gene_symbols"], strict=True)) == dict(
        zip(found["gene_id"].astype(str), found["gene"], strict=True)
    )


def test_who_reads_a_few_lines_only_hears_no_complaint(dataset):
    line = f"{shlex.quote(sys.executable)} -m kithkin.cli markers {shlex.quote(str(dataset.path))} --by obs/group"
    done = subprocess.run(["bash", "-c", f"{line} | head -n 1"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("group\treference\tgene\t")
    assert done.stderr == ""


def test_datasets_and_files_complete(monkeypatch, capsys):
    for words, last in (("kithkin leiden ", 2), ("kithkin convert a --to ", 4)):
        monkeypatch.setenv("_KITHKIN_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(last))
        with pytest.raises(SystemExit):
            main([])
        assert capsys.readouterr().out == "file,\n"
    monkeypatch.setenv("COMP_WORDS", "kithkin lei")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == "plain,leiden\n"


def test_keys_complete_from_the_dataset_of_the_line(dataset, monkeypatch, capsys):
    def completed(line):
        monkeypatch.setenv("_KITHKIN_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        with pytest.raises(SystemExit):
            main([])
        return capsys.readouterr().out.splitlines()

    assert completed(f"kithkin markers {dataset.path} --by obs/gr") == ["plain,obs/group"]
    assert completed(f"kithkin markers {dataset.path} --by gro") == ["plain,obs/group"]
    assert "plain,X" in completed(f"kithkin kmeans {dataset.path} --on ")
    assert completed("kithkin markers nowhere.zarr --by gro") == ["file,gro"]


def test_a_pseudobulk_is_listed_and_kept_or_written_whole(dataset, tmp_path, capsys, monkeypatch):
    dataset["obs/sample"] = np.array(["s1", "s2", "s3"])[np.arange(600) % 3]
    command = ["pseudobulk", str(dataset.path), "--by", "sample"]
    assert main([*command, "--to", str(tmp_path / "bulk.csv")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["sums: 3 x 500 int64", f"written to {tmp_path / 'bulk.csv'}"]
    assert said[1].split() == ["s1", "s1", "200"]
    assert main([*command, "--output", str(tmp_path / "bulk.tsv")]) == 0
    assert main(command) == 0  # to a pipe
    assert capsys.readouterr().out == (tmp_path / "bulk.tsv").read_text()
    kept = pd.read_csv(tmp_path / "bulk.csv", index_col=0)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "bulk.tsv", sep="\t", index_col=0), kept)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is kept: add --to FILE or --output FILE"


def test_advice_can_be_followed(dataset, capsys):
    dataset["obs/sample"], dataset["obs/drug"] = [np.array(list(pair))[np.arange(600) % 2] for pair in ("st", "yn")]
    assert main(["contrast", str(dataset.path), "--by", "drug", "--sample", "sample"]) == 1
    assert "list candidates with kithkin markers DATASET --by obs/drug, or add samples" in capsys.readouterr().err
