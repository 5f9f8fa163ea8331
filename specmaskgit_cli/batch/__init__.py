"""Many sounds from a table of jobs: read and checked, shared out among workers, and resumed where it stopped."""
