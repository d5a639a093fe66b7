"""Pairs of stimulus and fMRI, ready for a model."""
