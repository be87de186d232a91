"""What the pages share: the run picker, the guard of the four states, the job watcher, loaders and the thumbnail gallery."""
