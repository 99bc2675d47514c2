"""Gene sets of a GMT file, as MSigDB and others publish them: a line for each set, with fields between tabs."""

from __future__ import annotations

from pathlib import Path

from kithkin.core.errors import FormatError, KithkinError
from kithkin.io.streams.textfile import read_lines


def read_gmt(path: str | Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    r"""Read the gene sets of a file, compressed or not, and their descriptions: the second field of each line.

    Raises
    ------
    KithkinError
        If there is no such file.
    FormatError
        If a line has no genes, a name comes twice, or there is no set.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "sets.gmt"
    >>> _ = path.write_text("T cells\tfrom a paper\tCD3D\tCD3E\n")
    >>> read_gmt(path)
    ({'T cells': ['CD3D', 'CD3E']}, {'T cells': 'from a paper'})
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise KithkinError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: name a file of gene sets")
    sets: dict[str, list[str]] = {}
    descriptions: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        name, *fields = (field.strip() for field in line.split("\t"))
        genes = [gene for gene in fields[1:] if gene]
        if not name or not genes:
            raise FormatError(
                f"{path.name}: line {number} must hold a name, a description and genes, with tabs between"
            )
        if name in sets:
            raise FormatError(f"{path.name}: line {number} names the set {name!r} for the second time")
        sets[name], descriptions[name] = list(dict.fromkeys(genes)), fields[0]
    if not sets:
        raise FormatError(f"{path.name} holds no gene sets")
    return sets, descriptions
