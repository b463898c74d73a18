"""Language models: prompts in, texts out; captioners that hear audio."""
