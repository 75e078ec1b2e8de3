"""The abstract run of a project: every path of every training loop, with the gradients' state on it."""
