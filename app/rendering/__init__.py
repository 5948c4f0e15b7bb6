"""Drawing: radiographs and saliency as pictures. Knows neither torch nor HTTP."""
