"""Names that were probably meant, where one is not found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches

NEAR = 0.7  # share of letters in common, as difflib counts it
FAR = 0.12  # less of it than the best spelling has, and the word is another one
SHORTEST = 3  # letters of a beginning that stands for a longer name


def suggest(name: str, candidates: Iterable[str] | Mapping[str, str], n: int = 3) -> list[str]:
    """Find the names that a person probably meant, best first.

    Names that differ by capitals and punctuation only come alone; else those of which this one is the last part or the
    beginning, then close spellings.

    Parameters
    ----------
    name
        The name that was not found.
    candidates
        Names that there are; or a mapping of any words to them, such as gene identifiers to symbols.
    n
        Suggestions at most.

    Examples
    --------
    >>> suggest("cd3d", ["CD3D", "CD3E"]), suggest("ledien", ["obs/leiden", "leiden"])
    (['CD3D'], ['leiden'])
    >>> suggest("leiden", ["obs/leiden"]), suggest("ENSG01", {"ENSG01": "CD3D"})
    (['obs/leiden'], ['CD3D'])
    """
    words = dict(candidates) if isinstance(candidates, Mapping) else {word: word for word in candidates}
    by_letters: dict[str, list[str]] = {}
    for word, meant in words.items():
        by_letters.setdefault(_letters(word), []).append(meant)
    wanted = _letters(str(name))
    if wanted in by_letters:
        return list(dict.fromkeys(by_letters[wanted]))[:n]
    parts = [meant for word, meant in words.items() if _letters(re.split(r"[/.]", word)[-1]) == wanted]
    longer = len(wanted) >= SHORTEST
    begun = [
        meant for word, all_meant in by_letters.items() if longer and word.startswith(wanted) for meant in all_meant
    ]
    near = get_close_matches(wanted, by_letters, n, NEAR)
    matches = {word: SequenceMatcher(None, word, wanted).ratio() for word in near}
    best = max(matches.values(), default=0.0)
    close = [meant for word, ratio in matches.items() if ratio > best - FAR for meant in by_letters[word]]
    return list(dict.fromkeys([*parts, *(begun if len(begun) <= n else []), *close]))[:n]


def did_you_mean(name: str, candidates: Iterable[str] | Mapping[str, str]) -> str:
    """Put the names that were probably meant into a sentence that follows another; "" if there are none.

    Examples
    --------
    >>> "there is no 'n_gens'" + did_you_mean("n_gens", ["n_genes", "pct_mito"])
    "there is no 'n_gens'. Did you mean 'n_genes'?"
    """
    found = suggest(name, candidates)
    return f". Did you mean {' or '.join(repr(one) for one in found)}?" if found else ""


def _letters(word: str) -> str:
    return re.sub(r"[\W_]", "", word).casefold()
