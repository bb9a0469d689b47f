"""A stand-in for Microsoft Entra ID: applications, the token endpoint, the discovery documents, access tokens."""
