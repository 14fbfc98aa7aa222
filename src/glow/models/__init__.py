"""Models: load or build them, sample from them (transformers, vLLM), prompts, and scores of given
responses."""
