"""One evaluation: inputs, features, measurements, results, protocol."""
