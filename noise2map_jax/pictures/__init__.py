"""Pictures of predictions as arrays, and the colours of classes."""
