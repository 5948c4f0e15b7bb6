"""Authentication and authorization: API keys, OIDC tokens and request rates."""
