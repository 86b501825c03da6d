"""One module per command with its arguments (``add_parser``); none imports a large library."""
