"""What lies on disk: JSON Lines, the rows in it, users' own rows, manifests, progress bars. Nothing about
models."""
