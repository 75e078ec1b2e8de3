"""Fuzzing: made programs against a reference, fixtures changed in ways that keep their meaning, and damaged bytes."""
