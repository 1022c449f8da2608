"""Evidence on real and drawn data: NMSW beside what it claims to replace, from equal training minutes.

`splits` -> `configs` -> `train_all` -> `evaluate` -> `report`; `../results/README.md` has commands and findings.
"""
