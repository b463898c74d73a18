"""Where pretrained models come from: fetched, checked by hash, converted."""
