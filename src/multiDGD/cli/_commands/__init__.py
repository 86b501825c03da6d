"""One module per command with its action (``run``)."""
