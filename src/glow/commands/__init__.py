"""The subcommands of `glow`: what one is, the table of all, and those of a whole experiment."""
