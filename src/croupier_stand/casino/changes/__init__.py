"""What versions change against stable: one module a change, one function a service it applies to.

A change replaces a part of the service by other code; the harmful ones are mistakes that people make, not dice. The
function has the service's name, takes the service's parts and gives the changed parts back.
"""
