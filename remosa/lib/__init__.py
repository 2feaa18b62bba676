"""What every app may rely on: no models, no app imports, one noun per module."""
