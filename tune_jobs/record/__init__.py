"""A sweep's record: its ledger, which is the only state, and the folder around it."""
