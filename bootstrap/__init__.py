"""The two-command bootstrap: a private environment, a ComfyUI to run in, the demo and the tests."""
