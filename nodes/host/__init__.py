"""The only code that knows the host's internals: sampling hooks, the gradient pass, noise levels, messages."""
