"""Building blocks of the slice networks."""
