"""Reader of a page, by the letter of its format and not by the package."""

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np


class ReadPage:
    """Contents and blocks of a page."""

    def __init__(self, path):
        self.text = Path(path).read_text(encoding="utf-8") if isinstance(path, Path) else path
        found = re.search(r'<script type="application/json" id="contents">(.*?)</script>', self.text, re.S)
        self.contents = json.loads(found.group(1))
        pattern = r'<script type="application/octet-stream" id="(b\d+)">([A-Za-z0-9+/=]*)</script>'
        self.blocks = dict(re.findall(pattern, self.text))

    def block(self, name, dtype=np.uint8):
        return np.frombuffer(zlib.decompress(base64.b64decode(self.blocks[name])), dtype)

    def column(self, key):
        entry = next(one for one in self.contents["columns"] if one["key"] == key)
        if entry["kind"] == "numbers":
            return entry, self.block(entry["block"])
        return entry, self.block(entry["block"], np.uint8 if entry["bytes"] == 1 else "<u2")

    def places(self, number=0):
        return self.block(self.contents["embeddings"][number]["block"], "<u2").reshape(-1, 2)

    def names(self):
        names = self.contents["names"]
        if "row_block" in names:
            return [str(row) for row in self.block(names["row_block"], "<u4")]
        return [name for block in names["blocks"] for name in json.loads(self.block(block).tobytes())]

    def gene(self, name):
        entry = next(one for one in self.contents["genes"] if one["name"] == name)
        raw = self.block(entry["block"])
        if entry.get("dense"):
            span = entry["high"] - entry["low"]
            return np.where(raw == 255, np.nan, entry["low"] + raw / 254 * span)
        values, place, at = np.zeros(self.contents["n"]), 0, 0
        places = []
        for _ in range(entry["n_stored"]):
            step = shift = 0
            while True:
                byte = int(raw[at])
                at += 1
                step |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            place += step
            places.append(place)
        values[places] = raw[at:] / 254 * entry["high"]
        return values
