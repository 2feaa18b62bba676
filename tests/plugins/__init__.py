"""What the test run itself is made of; pyproject.toml loads each module as a pytest plugin."""
