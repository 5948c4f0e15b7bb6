"""Sets of findings over which figures are averaged."""

ELEVEN = (
    "No Finding", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis",
    "Pneumothorax", "Pleural Effusion", "Pleural Other",
)  # fmt: skip
"""The findings over which means are taken: those with labels of their own in NIH ChestX-ray14."""
