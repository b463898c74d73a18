"""What every page is made of: charts, players, statistics."""
