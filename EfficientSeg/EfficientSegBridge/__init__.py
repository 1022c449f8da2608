"""The bridge between 3D Slicer and EfficientSegLib: nodes, the worker's process, the overlay and the panel."""
