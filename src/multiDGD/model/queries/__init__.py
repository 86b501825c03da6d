"""Query cells and new categories of covariates."""
