"""What is read off processes and samples: CPU time, memory, distributions, the machine."""
