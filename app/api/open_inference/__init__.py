"""The Open Inference Protocol: the analysis for clients of KServe and Triton."""
