"""The processes of one Sluice: the supervisor and all that it starts, watches and stops."""
