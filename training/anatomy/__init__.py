"""The segmenter of lungs and heart: training, measuring, its artifact."""
