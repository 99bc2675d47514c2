"""Recall of clusters by each modality of their cells, alone and together."""
