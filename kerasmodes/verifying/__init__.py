"""`km.verify`: whether a model's steps have the same numbers in every way, and what makes them
differ.

`verification.py` says what is run; `causes.py` and `replica_causes.py`, why numbers differ.
"""

from kerasmodes.verifying.reports import Finding, VerificationReport
from kerasmodes.verifying.verification import verify

__all__ = ["Finding", "VerificationReport", "verify"]
