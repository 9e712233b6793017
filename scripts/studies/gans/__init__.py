"""The GANs that `study_gan.py` trains, one run of them, and the report of all runs."""
