"""A schema as `identity -> definition`: what two of them differ in, and whom one serves."""
