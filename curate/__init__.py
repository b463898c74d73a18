"""The stations of curation: ingest, score, quantize, refine, filter, export, report."""
