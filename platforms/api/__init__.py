"""The API's common ground: authentication, permissions, errors, pages, base view sets."""
