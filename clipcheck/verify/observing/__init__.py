"""What runs inside a training process: it watches gradients, and records without judging."""
