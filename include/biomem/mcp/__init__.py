"""A server of the Model Context Protocol: what an agent may do with its own memory, and with nobody else's."""
