"""Who may ask for what: API keys, OIDC tokens, rates. Knows no routes."""
