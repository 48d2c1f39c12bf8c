-- A reader is gone. ARGV: reader.
return redis.call('ZREM', KEYS[3], ARGV[1])
