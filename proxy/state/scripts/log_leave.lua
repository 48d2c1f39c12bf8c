-- Ends a reader's lease. ARGV: reader.
return redis.call('ZREM', KEYS[3], ARGV[1])
