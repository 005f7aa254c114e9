"""The rules on manifests at the door of a cluster: a validating webhook and an image policy, over TLS (S3.6, S10)."""
