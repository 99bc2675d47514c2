from . import embedding, explanation, hierarchy, mixing, partition

__all__ = ["embedding", "explanation", "hierarchy", "mixing", "partition"]
