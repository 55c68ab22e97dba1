"""The results of a sweep so far, read from its ledger alone."""
