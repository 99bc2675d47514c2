"""Runs in a process of its own that the tests kill: `python killed.py WHAT SOURCE TARGET`."""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import kithkin as kk

if __name__ == "__main__":
    what, source, target = sys.argv[1:]
    if what == "convert":
        kk.read(source, to=target, overwrite=True)
    elif what == "samples":
        kk.read(dict.fromkeys("abcdefgh", source), to=target)
    elif what == "append":
        kk.append(target, dict.fromkeys("bcdefg", source))
    elif what == "subset":
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            kk.subset(kk.open(source, executor=pool), cells="n_genes >= 5", genes="n_cells >= 3", to=target)
    elif what == "publish":
        kk.publish(kk.open(source), target, overwrite=True)
    else:
        kk.run(source, to=target, cells="n_genes >= 5", n_components=20)
