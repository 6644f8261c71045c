"""What is done by the clock: each job a function over the spool, the settings and the journal."""
