"""Whether an object is what the API server takes for its kind: fields it knows, of the type it wants, none missing.

Each kind's schema becomes a function (``validator``), made of those of its types (``types``), when the first object of
that kind comes; the function walks the object once and makes nothing unless something is wrong. What is checked is what
strict field validation of the API server checks, and what the schema itself requires: required fields, enumerations,
bounds. Patterns, ``oneOf`` and CEL rules of custom resources are left to the API server. ``definitions`` takes schemas
from CustomResourceDefinitions.
"""
