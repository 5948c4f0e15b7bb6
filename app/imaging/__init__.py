"""Bytes → Radiograph, and saliency → picture. Knows neither torch nor HTTP."""
