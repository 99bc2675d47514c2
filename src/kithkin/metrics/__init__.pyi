from . import embedding, explanation, hierarchy, partition

__all__ = ["embedding", "explanation", "hierarchy", "partition"]
