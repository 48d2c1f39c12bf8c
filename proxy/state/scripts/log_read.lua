-- Entries after one. ARGV: the entry's id, how many at most.
return redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+', 'COUNT', tonumber(ARGV[2]))
