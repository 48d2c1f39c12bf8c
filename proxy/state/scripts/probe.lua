-- Writes: a full store still answers reads, so a read would prove nothing.
redis.call('SET', KEYS[1], '1', 'PX', 10000)
return 1
