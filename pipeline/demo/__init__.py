"""The demo: a real neural network, served over HTTP, whose inputs really shift."""
