# Tests, lint and the measuring targets.
