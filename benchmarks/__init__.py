"""Speed, measured beside simpler code in the same run."""
