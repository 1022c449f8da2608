"""What one training sample costs, per kind of model."""
