"""Pairs of a generator and a discriminator, one file each."""
