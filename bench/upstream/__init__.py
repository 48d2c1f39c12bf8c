"""The paced upstream: OpenAI chat chunks on an absolute schedule, each with its own stamp."""
