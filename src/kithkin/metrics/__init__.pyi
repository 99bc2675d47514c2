from . import calibration, embedding, explanation, hierarchy, mixing, partition

__all__ = ["calibration", "embedding", "explanation", "hierarchy", "mixing", "partition"]
