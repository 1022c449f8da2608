"""How good, how costly, and how it looks: measures and pictures of finished runs."""
