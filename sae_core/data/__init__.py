"""Where the images come from: sources, the manifest that freezes them, the drawn world."""
