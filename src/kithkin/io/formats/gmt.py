"""Gene sets of a GMT file, as MSigDB and others publish them: a line for each set, with fields between tabs."""

from __future__ import annotations

from pathlib import Path

from kithkin.core.errors import FormatError, KithkinError
from kithkin.io.streams.textfile import read_lines


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    r"""Read gene sets: the name of each line, a description that is left out, and genes; compressed or not.

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
    {'T cells': ['CD3D', 'CD3E']}
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise KithkinError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: name a file of gene sets")
    sets: dict[str, list[str]] = {}
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
        sets[name] = list(dict.fromkeys(genes))
    if not sets:
        raise FormatError(f"{path.name} holds no gene sets")
    return sets
