-- Wakes a worker's blocking read. KEYS[1] what it reads besides logs; ARGV: how long that is kept.
-- What makes room comes first, so that a full store takes it, too.
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', 0)
redis.call('XADD', KEYS[1], '*', 'wake', '1')
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
