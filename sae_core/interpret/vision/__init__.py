"""Names from a vision model: how it is asked (endpoint, client, budget, call cache) and what it is asked. Start at `client`."""
