"""The services of Cartera: ingest, profile, segment, campaign. All the same shape, none imports another."""
