"""The split into training, validation and test cells."""

from __future__ import annotations

from scvi.dataloaders import DataSplitter


class CellSplitter(DataSplitter):
    """scvi-tools' splitter that splits once.

    The start of a model looks at the training cells before the trainer asks for them, and must
    see the same ones even where no seed is set.
    """

    def setup(self, stage: str | None = None) -> None:
        """Split, unless that has happened."""
        if not hasattr(self, "train_idx"):
            super().setup(stage)
