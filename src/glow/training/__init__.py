"""The method (start with `weighting`), the trainer around it, and the SFT and GRPO stages."""
