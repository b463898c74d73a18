"""Adapters of pretrained models, one file a role, and where their weights come from."""
