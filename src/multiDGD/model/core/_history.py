"""The history of a training, for users."""

from __future__ import annotations

from typing import NoReturn

import pandas as pd

from multiDGD._names import nearest

# Beginnings of names that scvi-tools logs, with the names here.
_OTHER_NAMES = {
    "elbo": "a MAP fit has no ELBO; see '{split}_loss'",
    "kl_local": "there is no KL divergence; see 'representation_loss_{split}'",
    "kl_global": "there is no KL divergence; see 'prior_loss_train'",
}


class LoggedTerms(dict[str, pd.DataFrame]):
    """Tables of logged quantities by name, with suggestions for unknown names.

    Parameters
    ----------
    *args, **kwargs
        As for `dict`.

    Examples
    --------
    >>> LoggedTerms(train_loss=pd.DataFrame())["train_los"]
    Traceback (most recent call last):
    KeyError: "'train_los' was not logged. Nearest: ['train_loss']."
    """

    def __missing__(self, name: object) -> NoReturn:
        term, _, split = str(name).rpartition("_")
        if term in _OTHER_NAMES:
            raise KeyError(f"{name!r} was not logged: {_OTHER_NAMES[term].format(split=split)}.")
        raise KeyError(f"{name!r} was not logged. Nearest: {nearest(name, self)}.")
