-- Returns the entries after one. ARGV: the entry's id, the maximum of entries.
return redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+', 'COUNT', tonumber(ARGV[2]))
