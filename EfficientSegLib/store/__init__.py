"""The user's own bundles: where they lie, how they get there (a folder, a file, an address), and how they go again.

Standard library alone: a model can be fetched before PyTorch is installed.
"""
