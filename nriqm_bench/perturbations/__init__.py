"""Controlled damage to images: each perturbation with a level, 0 being the identity."""
