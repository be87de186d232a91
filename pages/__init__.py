"""The app's pages: one thin file a stage."""
