"""Figures of the curation line, its captions, its search; kills at random moments."""
