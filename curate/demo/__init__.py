"""The demo set: real compositions, rendered, with planted defects and a truth to compare with."""
