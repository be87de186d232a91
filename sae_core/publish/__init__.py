"""Publication: what a run made, as files that others can load without this project."""
