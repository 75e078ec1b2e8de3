"""The version, for what must name it without importing the rest."""

__version__ = "0.1.0"
