"""Fitting a model by a recipe: loop, head, distillation, distributed runs."""
