-- Whether the store would take a write: a full one answers questions, too.
redis.call('SET', KEYS[1], '1', 'PX', 10000)
return 1
