"""Evidence in, verdict out: has the canary been shown to be worse, no worse, or neither (S4.6, S9.4, S9.7).

Pure and plain Python: no I/O, no clock, no numpy. The engine folds one sample per scrape and assesses; the forecast
says before the start how long that will take. docs/explanation/gates.md explains it without formulas.
"""

from __future__ import annotations

from croupier.core.gates.assess import assess, fails
from croupier.core.gates.dispersion import DispersionHistory
from croupier.core.gates.evidence import Evidence, fold, new_evidence
from croupier.core.gates.forecast import forecast
from croupier.core.gates.recent import Incident, Rate

__all__ = ["DispersionHistory", "Evidence", "Incident", "Rate", "assess", "fails", "fold", "forecast", "new_evidence"]
