"""What operators see: Prometheus rules, Grafana dashboards, and what makes them."""
