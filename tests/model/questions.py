"""Calls of the methods that answer questions about cells, by name."""

import numpy as np

# The arguments are a model of toy_mudata with labels and batches, and an object of cells or None.
QUESTIONS = {
    "representation": lambda m, x: m.get_latent_representation(x),
    "moments": lambda m, x: np.stack(m.get_latent_representation(x, return_dist=True)),
    "covariate": lambda m, x: m.get_covariate_representation("batch", adata=x),
    "expression": lambda m, x: m.get_normalized_expression(x, modality="rna"),
    "drawn expression": lambda m, x: m.get_normalized_expression(x, modality="rna", n_samples=2),
    "interval": lambda m, x: m.get_expression_interval(x, modality="atac"),
    "clusters": lambda m, x: m.get_cluster_assignments(x),
    "labels": lambda m, x: m.predict(x, soft=True),
    "typicality": lambda m, x: m.get_typicality(x),
    "loss": lambda m, x: np.array(list(m.get_reconstruction_error(x).values())),
    "elbo": lambda m, x: np.asarray(m.get_elbo(x, return_mean=False)),
    "marginal": lambda m, x: np.asarray(m.get_marginal_ll(x, n_mc_samples=20, return_mean=False)),
    "count split": lambda m, x: m.get_count_split_score(x),
    "imputed": lambda m, x: m.impute(x, modality="atac"),
    "imputed draws": lambda m, x: m.impute(x, modality="atac", n_samples=2),
    "predictive": lambda m, x: np.concatenate(
        [a.todense() for a in m.posterior_predictive_sample(x, n_samples=1).values()], axis=1
    ),
    "simulated": lambda m, x: m.sample(5)["rna"].X.toarray(),
    "differential": lambda m, x: m.differential_expression(x, groupby="label", silent=True),
    "densities": lambda m, x: m.differential_abundance(x, sample_key="site", silent=True),
    "perturbed": lambda m, x: m.perturb("rna0", adata=x),
}
