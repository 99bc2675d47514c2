"""Names that are those of genes: stable identifiers, symbols of gene families, and well-known symbols."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from kithkin.core.keys import SYMBOLS

FEW, SHARE, MANY = 3, 0.2, 50  # columns that must be named like genes: so many, and this share of all or many
# of Ensembl, FlyBase, WormBase, TAIR and SGD
STABLE_IDS = r"ENS[A-Z]*G\d{11}(\.\d+)? FBGN\d{7} WBGENE\d{8} AT[1-5CM]G\d{5} Y[A-P][LR]\d{3}[WC](-[A-Z])?"
# families of man and mouse whose members are numbered or lettered
FAMILIES = (
    r"CD\d{1,3}[A-HL]?\d? IL\d{1,2}[A-Z]? IL\d{1,2}R[ABGL]?\d? CC[LR]\d{1,2}L?\d? CXC[LR]\d{1,2} CX3C[LR]1 "
    r"XC[LR]\d HLA-[A-Z0-9]+ H2-[A-Z0-9]+ MT-[A-Z0-9]+ RP[LS]\d{1,2}[AXYL]?\d? MRP[LS]\d{1,2} KRT\d{1,2}[A-C]? "
    r"COL\d{1,2}A\d IG[HKL][ADEGMCVJ]\d?[A-Z0-9-]* TR[ABDG][CVJ]\d?[A-Z0-9-]* S100A\d{1,2} S100[BP] GZM[ABCHKM] "
    r"KLR[BCDFGK]\d FCGR\d[ABC] FCER[12][AG] FCRL\d MS4A\d{1,2}[A-Z]? TNF TNFRSF\d{1,2}[A-D]? TNFSF\d{1,2}[A-Z]? "
    r"IFN[ABGL]\d{0,2} IFNGR\d IFI\d{1,2}[A-Z]?\d? IFIT\d[A-Z]? ISG\d{2} STAT\d[AB]? IRF\d SOX\d{1,2} "
    r"FOX[A-Z]\d{1,2} PAX\d GATA\d HOX[A-D]\d{1,2} TBX\d{1,2} ZNF\d{1,3} ZFP\d{1,3} SLC\d{1,2}A\d{1,2} LINC\d{5} "
    r"MIR\d+[A-Z-]*\d* TMEM\d{1,3}[A-Z]? NDUF[ABCSV]\d{1,2} ATP\d[A-Z]\w* COX\d[A-Z]?\d? PSM[A-E]\d{1,2} "
    r"EIF\d[A-Z]?\w* HIST\w+ UBE2[A-Z]\d? MAPK\d{1,2} WNT\d{1,2}[AB]? NOTCH\d FGF\d{1,2} FGFR\d BMP\d{1,2} "
    r"TGFB\d TGFBR\d VEGF[A-D] MMP\d{1,2} CDK\d{1,2} CDKN\d[A-D] CCN[ABDE]\d AQP\d{1,2} CLDN\d{1,2} CDH\d{1,2} "
    r"ITG[AB]\w{1,2} LGALS\d TLR\d{1,2} GPR\d{1,3} OR\d{1,2}[A-Z]\d{1,2} CYP\d{1,2}[A-Z]\d{1,2} APO[ABCEL]\d? "
    r"GENE[ _.-]?\d+ "
)
ALONE = (
    "LYZ NKG7 GNLY PPBP PF4 CST3 PRF1 LST1 AIF1 FTL FTH1 B2M ACTB GAPDH MALAT1 NEAT1 XIST SELL LEF1 TCF7 BCL2 "
    "BCL6 FOXP3 CTLA4 PDCD1 LAG3 TIGIT HAVCR2 MKI67 TOP2A PCNA TP53 MYC MYCN EGFR ERBB2 ESR1 PGR AR BRCA1 BRCA2 "
    "KRAS NRAS BRAF PTEN RB1 APC PECAM1 VWF CDH5 ACTA2 TAGLN VIM DCN LUM PDGFRA PDGFRB EPCAM MUC1 ALB INS GCG "
    "SST PPY NES DCX GFAP AQP4 MBP MOG PLP1 SNAP25 SLC17A7 GAD1 GAD2 RBFOX3 OLIG1 OLIG2 P2RY12 CSF1R ITGAM "
    "PTPRC JCHAIN MZB1 XBP1 PRDM1 EBF1 BANK1 HBA1 HBA2 HBB ALAS2 GYPA KIT CPA3 TPSAB1 TPSB2 CLEC4C CLEC9A "
    "CLEC10A LILRA4 CCR7 TRAC TRBC1 TRBC2 NCAM1 KLRB1 "
)
GENE = re.compile("|".join(f"{STABLE_IDS} {FAMILIES} {ALONE}".split()), re.IGNORECASE)
STABLE_ID = re.compile("|".join([r"ENS[A-Z]*G\d{6,}", *STABLE_IDS.split()]), re.IGNORECASE)
SAMPLE = 1000  # names by which a list is told
SHORT = {name for name in ALONE.split() if len(name) <= 3}
CYTOMETER = re.compile(r"(FSC|SSC)[ .-]?[AHW]?", re.IGNORECASE)  # scatter of light, beside channels named CD3 and CD4
# what names of several genomes, versions and types of features put around a symbol
AROUND = re.compile(r"^(GRCh\d+|GRCm\d+|hg\d+|mm\d+)_+|[_.-](TotalSeq\w*|ADT|\d+)$", re.IGNORECASE)


def are_ids(names: Sequence[str]) -> bool:
    """Tell whether most of the first names are stable identifiers of genes.

    Examples
    --------
    >>> are_ids(["ENSG00000000003", "ENSMUSG00000000001.4"]), are_ids(["CD3E", "LYZ"])
    (True, False)
    """
    first = list(names[:SAMPLE])
    return 2 * sum(STABLE_ID.match(text) is not None for text in first) > len(first)


def genes_among(var: pd.DataFrame) -> list[str]:
    """List the names of variables that are those of genes; none, unless enough of all are.

    Examples
    --------
    >>> genes_among(pd.DataFrame(index=["CD3D", "MS4A1", "LYZ"])), genes_among(pd.DataFrame(index=["Q1", "Q2", "AGE"]))
    (['CD3D', 'MS4A1', 'LYZ'], [])
    """
    symbols = next((name for name in SYMBOLS if name in var.columns), None)
    names: Sequence[Any] = list(var.index if symbols is None else var[symbols])
    if any(CYTOMETER.fullmatch(str(name)) for name in names):
        return []
    found = [text for text in map(str, names) if GENE.fullmatch(text) or GENE.fullmatch(AROUND.sub("", text))]
    if 0 < len(names) < FEW:  # all of a few, and none so short that it may stand for something else
        return found if len(found) == len(names) and min(map(len, found)) >= FEW and not SHORT & {*found} else []
    return found if len(found) >= FEW and (len(found) >= SHARE * len(names) or len(found) >= MANY) else []
