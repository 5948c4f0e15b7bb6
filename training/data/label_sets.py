"""Named sets of findings over which figures are averaged."""

ELEVEN = (
    "No Finding", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis",
    "Pneumothorax", "Pleural Effusion", "Pleural Other",
)  # fmt: skip
"""The findings with labels of their own in the NIH data; means are taken over them."""
