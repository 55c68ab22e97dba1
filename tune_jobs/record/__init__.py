"""A sweep's record: its ledger, which holds the only state, and the folder around it."""
