-- The last entry, if there is any.
return redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
