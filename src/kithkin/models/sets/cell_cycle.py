"""Phases of the cell cycle from the scores of two sets of genes, and the sets that are used where none is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array

PHASES = ("G1", "S", "G2M")
# Tirosh et al. 2016, doi:10.1126/science.aad0501, under the symbols of today
SYMBOLS = {
    "S": """
    MCM5 PCNA TYMS FEN1 MCM2 MCM4 RRM1 UNG GINS2 MCM6 CDCA7 DTL PRIM1 UHRF1 CENPU HELLS RFC2 RPA2 NASP RAD51AP1 GMNN
    WDR76 SLBP CCNE2 UBR7 POLD3 MSH2 ATAD2 RAD51 RRM2 CDC45 CDC6 EXO1 TIPIN DSCC1 BLM CASP8AP2 USP1 CLSPN POLA1 CHAF1B
    BRIP1 E2F8
    """,
    "G2M": """
    HMGB2 CDK1 NUSAP1 UBE2C BIRC5 TPX2 TOP2A NDC80 CKS2 NUF2 CKS1B MKI67 TMPO CENPF TACC3 PIMREG SMC4 CCNB2 CKAP2L CKAP2
    AURKB BUB1 KIF11 ANP32E TUBB4B GTSE1 KIF20B HJURP CDCA3 JPT1 CDC20 TTK CDC25C KIF2C RANGAP1 NCAPD2 DLGAP5 CDCA2
    CDCA8 ECT2 KIF23 HMMR AURKA PSRC1 ANLN LBR CKAP5 CENPE CTCF NEK2 G2E3 GAS2L3 CBX5 CENPA
    """,
}
GENES = {name: symbols.split() for name, symbols in SYMBOLS.items()}
FORMER = {"CENPU": "MLF1IP", "PIMREG": "FAM64A", "JPT1": "HN1"}  # symbols in the paper, and in older annotations


def assign_phases(s_scores: Any, g2m_scores: Any) -> Array:
    """Assign the phase with the higher score, and G1 where both are below 0; as positions in PHASES, int32.

    Parameters
    ----------
    s_scores, g2m_scores
        Scores of the genes of S and of G2 and M, n numbers each.

    Examples
    --------
    >>> [PHASES[one] for one in assign_phases([0.3, -0.1, -0.2], [0.1, 0.2, -0.1])]
    ['S', 'G2M', 'G1']
    """
    s, g2m = np.asarray(s_scores), np.asarray(g2m_scores)
    phases: Array = np.where((s < 0) & (g2m < 0), 0, np.where(g2m > s, 2, 1)).astype(np.int32)
    return phases
