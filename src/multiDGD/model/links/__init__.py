"""Links between genes and peaks."""
