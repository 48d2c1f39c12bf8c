"""The demo upstream and its fault kit; see `proxy.demo.app`."""
