"""The checklist of a release (S15): what was gathered -> nine lines with their proofs."""
