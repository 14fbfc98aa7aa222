"""What a study costs, and whether it fits: hours, memory and disk by stage, before anything runs."""
