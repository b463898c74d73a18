"""Fine-tuning a p-MOS scorer of one's own from a wav2vec 2.0, HuBERT or WavLM checkpoint."""
