"""brainreel: the two-way map between what people watch and hear and their fMRI."""

__version__ = "0.1.0"
