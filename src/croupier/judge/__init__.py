"""Judge mode: croupier's verdicts for releases that another controller carries out (Argo Rollouts, Flagger)."""
