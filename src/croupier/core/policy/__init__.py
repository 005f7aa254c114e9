"""Rules on Kubernetes manifests: what a rule is, what it sees, which there are, and what comes of them. Pure."""
