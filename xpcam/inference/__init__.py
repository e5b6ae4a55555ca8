"""Engines: .onnx files run on the best device that works."""
