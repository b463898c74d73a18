"""Results for people: report, tables, comparison."""
