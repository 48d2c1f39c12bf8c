"""Makes the Grafana dashboards: `python -m monitoring.generate` writes them anew.

Their JSON is under version control too, since that is what Grafana reads; a test holds both
together. Panels are described in Python because thirty of them share their selectors, their
units and their legends.
"""
