"""Fitting a model to a recipe: loop, head, distillation, distributed runs."""
