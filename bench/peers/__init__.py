"""Other engines at the same job: the same topics and records, each configured as its own documentation advises."""
