"""The local stack: the real template on an emulator, behind one origin. See local/stack.py."""
