"""One module per command: its arguments (``add_parser``) and its action (``run``)."""
